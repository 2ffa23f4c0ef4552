"""A pause has a way back also where nothing is kept any more; what is lost is told and must be accepted."""

from dataclasses import replace
from pathlib import Path

import pytest

from worker.domain.webhook import Endpoint, Webhook
from worker.process.replays import Replays
from worker.replay.jobs import CannotReplay
from worker.settings.settings import load
from worker.stores.own.store import SqlStore

ACME = Webhook("acme", "https://h.example/", paused_at=1_795_867_200_000)
DEFAULT = Endpoint("acme", "default")


async def replays(tmp_path: Path, **given: str) -> tuple[Replays, SqlStore]:
    """With ACME paused, and no RabbitMQ."""
    uri = f"sqlite:///{tmp_path}/webhooks.db"
    environ = {"DATABASE_CONNECTION_URI": uri, "RABBITMQ_URI": "amqp://127.0.0.1:1/", "ARCHIVE": "true"}
    settings, _ = load({**environ, "HISTORY_DATABASE_URI": f"sqlite:///{tmp_path}/history.db", **given}, None)
    store = SqlStore(uri, lambda: 0)
    await store.migrate()
    await store.put(ACME)

    async def changed(instance: str, revision: int) -> None:
        assert (instance, revision > 0) == ("acme", True)

    return Replays(settings, store, changed), store


@pytest.mark.parametrize(("name", "value"), [("ARCHIVE", "false"), ("HISTORY", "failures"), ("HISTORY", "off")])
async def test_without_what_a_resume_needs_the_loss_must_be_accepted(tmp_path: Path, name: str, value: str) -> None:
    found, store = await replays(tmp_path, **{name: value})
    with pytest.raises(CannotReplay, match=rf"{name} is {value}.*2026-11.* is lost; with --accept-gap"):
        await found.resume(DEFAULT, accept_gap=False)
    assert await store.load("acme") == (ACME,)
    resumed = await found.resume(DEFAULT, accept_gap=True)
    assert (resumed.job, f"{name} is {value}" in str(resumed.lost)) == (None, True)
    assert [webhook.paused_at for webhook in await store.load("acme")] == [None]
    await found.close()
    await store.close()


async def test_a_broker_that_is_away_is_no_loss_that_can_be_accepted(tmp_path: Path) -> None:
    found, store = await replays(tmp_path)
    with pytest.raises(CannotReplay, match="RabbitMQ cannot be asked"):
        await found.resume(DEFAULT, accept_gap=True)
    assert await store.load("acme") == (ACME,)
    await found.close()
    await store.close()


async def test_a_second_pause_hides_no_gap_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one's replay waits while the webhook is paused again, and the archive goes on losing its beginning."""
    found, store = await replays(tmp_path, DISABLED_WEBHOOK="replay")
    assert ACME.paused_at is not None
    first = ACME.paused_at - 7_200_000
    asked_about: list[int] = []

    async def archived(*_: object) -> None:
        """RabbitMQ has all that is asked for."""

    async def gone(since: int) -> str:
        asked_about.append(since)
        return "the archive begins later"

    monkeypatch.setattr(found, "_refuse", archived)
    monkeypatch.setattr(found, "_gone", gone)
    await found.enabling(replace(ACME, id="other", disabled_at=first - 1))
    await found.enabling(replace(ACME, disabled_at=first))
    with pytest.raises(CannotReplay, match="the archive begins later; with --accept-gap"):
        await found.resume(DEFAULT, accept_gap=False)
    assert asked_about == [first]
    assert (await found.resume(DEFAULT, accept_gap=True)).job is not None
    kept = [(job.asked.webhook, job.asked.accept_gap) for job in await found.jobs("acme", 9)]
    assert sorted(kept) == [("default", False), ("default", True), ("other", False)]
    await found.close()
    await store.close()
