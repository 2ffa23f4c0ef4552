"""A pipeline over fakes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.delivery.fakes import (
    Clock,
    FakeAdmission,
    FakeHistory,
    FakeMessage,
    FakePublisher,
    FakePulses,
    FakeReceivers,
    FakeRecorder,
    FakeSender,
    FakeWebhooks,
)
from worker.basics.clock import Clocks
from worker.delivery.duplicates import Duplicates
from worker.delivery.failure_watch import FailureWatch
from worker.delivery.pipeline import Pipeline
from worker.delivery.ports import Ports
from worker.domain.backoff import schedule
from worker.domain.notices.receivers import NoticeReceiver
from worker.domain.policy import Policy
from worker.domain.webhook import Webhook


class Rig:
    """One pipeline and everything around it."""

    def __init__(
        self,
        *webhooks: Webhook,
        global_webhook: Webhook | None = None,
        duplicates: bool = False,
        failures_only: bool = False,
        operators_notices: NoticeReceiver | None = None,
        **policy: object,
    ) -> None:
        self.clock, self.monotonic = Clock(), Clock(1000.0)
        self.webhooks = FakeWebhooks(*webhooks, global_webhook=global_webhook)
        self.admission, self.sender = FakeAdmission(), FakeSender()
        self.publisher, self.recorder = FakePublisher(), FakeRecorder()
        self.pulses = FakePulses()
        self.receivers, self.history = FakeReceivers(), FakeHistory(failures_only=failures_only)
        self.pipeline = Pipeline(
            Policy(schedule(4, 5, 3, 21600), **policy),  # type: ignore[arg-type]
            Ports(self.webhooks, self.admission, self.sender, self.publisher, self.recorder, self.history, self.pulses),
            FailureWatch(self.receivers, self.clock),
            Clocks(self.clock, self.monotonic),
            Duplicates() if duplicates else None,
            operators_notices,
        )
        self.settler = self.pipeline._settler

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
