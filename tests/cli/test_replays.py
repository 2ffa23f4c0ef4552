"""`webhook-worker replays`: what it says of one that is not there, or has ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from worker.cli import parser, replay
from worker.cli.common import FAILED
from worker.replay.jobs import Asked, Job, State


class NothingToStop:
    """Has this job alone, which has ended."""

    def __init__(self, job: Job) -> None:
        self._job = job

    async def stop(self, job_id: str, owner: str | None) -> bool:
        return False

    async def job(self, job_id: str, owner: str | None) -> Job | None:
        return self._job if job_id == self._job.id else None


@pytest.mark.parametrize(
    ("job_id", "words"), [("replay_1", "the replay replay_1 has ended"), ("replay_2", "there is no replay 'replay_2'")]
)
async def test_why_nothing_is_stopped(
    job_id: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replays = NothingToStop(Job("replay_1", Asked("acme", "default", 0, 1), 1, State.DONE, ended_at=2))

    def with_replays(_: object, work: Callable[[Any, Any], Awaitable[int]]) -> Awaitable[int]:
        return work(replays, None)

    monkeypatch.setattr(replay, "_with_replays", with_replays)
    options: Any = parser().parse_args(["replays", "stop", job_id])
    assert await options.command(options, None) == FAILED
    assert capsys.readouterr().err.strip() == f"webhook-worker: {words}"
