"""A traced pipeline over fakes: spans land in the SDK's in-memory exporter."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.delivery.conftest import calm
from tests.delivery.fakes import (
    Clock,
    FakeAdmission,
    FakeMessage,
    FakePublisher,
    FakeReceivers,
    FakeRecorder,
    FakeSender,
    FakeWebhooks,
    Published,
)
from worker.basics.clock import Clocks
from worker.delivery.failure_watch import FailureWatch
from worker.delivery.pipeline import Pipeline
from worker.delivery.ports import Ports
from worker.domain.backoff import schedule
from worker.domain.policy import Policy
from worker.domain.webhook import Webhook
from worker.telemetry.otel import Otel


class TracedPublisher(FakePublisher):
    """As the broker's: each publish carries what `trace` says at that moment."""

    def __init__(self, trace: Callable[[], Mapping[str, str]]) -> None:
        super().__init__()
        self._trace = trace

    async def _confirm(self, published: Published) -> object:
        published.headers.update(self._trace())
        return await super()._confirm(published)


class Traced:
    """The flow over fakes, wrapped as the composition root does it."""

    def __init__(self, *webhooks: Webhook, global_webhook: Webhook | None = None) -> None:
        self.memory = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.memory))
        otel = Otel(self.provider.get_tracer("test"), time.time_ns, calm)
        self.clock = Clock()
        self.webhooks, self.admission = FakeWebhooks(*webhooks, global_webhook=global_webhook), FakeAdmission()
        self.sender, self.records = FakeSender(), FakeRecorder()
        self.publisher = TracedPublisher(otel.headers)
        admission, sender, recorder = (
            otel.admission(self.admission),
            otel.sender(self.sender),
            otel.recorder(self.records),
        )
        self.pipeline = Pipeline(
            Policy(schedule(4, 5, 3, 21600)),
            Ports(self.webhooks, admission, sender, self.publisher, recorder),
            FailureWatch(FakeReceivers(), self.clock),
            Clocks(self.clock, Clock()),
        )
        self._take = otel.handler(self.pipeline.take)

    async def take(self, *messages: FakeMessage) -> None:
        for message in messages:
            self._take(message)
        await calm()

    @property
    def spans(self) -> list[ReadableSpan]:
        """Those that have ended, in the order of their start."""
        return sorted(self.memory.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]


MakeTraced = Callable[..., Traced]


@pytest.fixture
def traced() -> Iterator[MakeTraced]:
    made: list[Traced] = []

    def make(*webhooks: Webhook, global_webhook: Webhook | None = None) -> Traced:
        made.append(Traced(*webhooks, global_webhook=global_webhook))
        return made[-1]

    yield make
    for one in made:
        one.provider.shutdown()
