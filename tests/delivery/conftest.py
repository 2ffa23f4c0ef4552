"""A pipeline over fakes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.delivery.fakes import (
    Clock,
    FakeIsolation,
    FakeMessage,
    FakePublisher,
    FakeRecorder,
    FakeSender,
    FakeWebhooks,
)
from worker.delivery.attempt import Attempter, AttemptRules
from worker.delivery.duplicates import Duplicates
from worker.delivery.pipeline import Pipeline
from worker.delivery.policy import Policy
from worker.delivery.settle import Settler
from worker.domain.backoff import schedule
from worker.domain.verdict import Rules
from worker.domain.webhook import Webhook


class Rig:
    """One pipeline and everything around it."""

    def __init__(
        self, *webhooks: Webhook, global_webhook: Webhook | None = None, duplicates: bool = False, **policy: object
    ) -> None:
        rules = Rules(schedule(4, 5, 3, 21600))
        self.clock, self.monotonic = Clock(), Clock(1000.0)
        self.webhooks = FakeWebhooks(*webhooks)
        self.isolation, self.sender = FakeIsolation(), FakeSender()
        self.publisher, self.recorder = FakePublisher(), FakeRecorder()
        self.settler = Settler(self.publisher, self.recorder, self.clock)
        chosen = Policy(rules.schedule, **policy)  # type: ignore[arg-type]
        self.pipeline = Pipeline(
            policy=chosen,
            webhooks=self.webhooks,
            global_webhook=global_webhook,
            isolation=self.isolation,
            attempter=Attempter(
                AttemptRules(rules), chosen, self.isolation, self.sender, self.recorder, self.clock, self.monotonic
            ),
            settler=self.settler,
            recorder=self.recorder,
            now=self.clock,
            monotonic=self.monotonic,
            duplicates=Duplicates() if duplicates else None,
        )

    async def take(self, *messages: FakeMessage) -> None:
        """Takes them, and lets everything run that waits for nothing outside."""
        for message in messages:
            self.pipeline.take(message)
        await calm()

    @property
    def posted(self) -> list[str]:
        return [request.url for request, _ in self.sender.sent]


async def calm() -> None:
    for _ in range(12):
        await asyncio.sleep(0)


MakeRig = Callable[..., Rig]


@pytest.fixture
def rig() -> MakeRig:
    return Rig
