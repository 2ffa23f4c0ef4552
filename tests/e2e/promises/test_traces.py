"""Traces: one from the published event to each POST, across retries; and nothing of it while they are off."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.conftest import StartWorker
from tests.e2e.conftest import PutWebhooks
from tests.support.amqp import Amqp, Names
from tests.support.collector import Collector
from tests.support.events import event
from tests.support.local_process import free_port
from tests.support.receiver import Receiver
from worker.domain.webhook import Webhook

FAST = {"WEBHOOK_RETRY_INITIAL_DELAY_SECONDS": "1", "WEBHOOK_RETRY_MAX_ATTEMPTS": "2"}
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CARRIED = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}
IMPORTS = {"PYTHONPROFILEIMPORTTIME": "1"}
"""Python then writes a line for each import."""


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with Collector() as collector:
        yield collector


def traced(collector: Collector) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }


async def test_one_trace_from_the_event_over_a_failed_attempt_to_the_receiver(
    worker: StartWorker, webhooks: PutWebhooks, receiver: Receiver, amqp: Amqp, names: Names, collector: Collector
) -> None:
    await webhooks(Webhook("acme", receiver.url("/flaky").replace("//", "//u:hunter2@") + "?token=hunter2"))
    receiver.answer("/flaky", 500)
    daemon = await worker(**FAST, **IMPORTS, **traced(collector))
    await amqp.publish(names.exchange, "messages.upsert", event(data="hunter2"), headers=CARRIED)
    posts = await receiver.wait_for(2, path="/flaky")
    first, failed, second, delivered = await collector.wait_for(4)
    assert [span.name for span in (first, failed, second, delivered)] == [
        f"process {names.events}",
        "POST",
        f"process {names.retries}",
        "POST",
    ]
    assert {span.trace for span in collector.spans} == {TRACE}
    assert [span.parent for span in (first, failed, second, delivered)] == [PARENT, first.id, first.id, second.id]
    assert [post.header("traceparent") for post in posts] == [f"00-{TRACE}-{s.id}-01" for s in (failed, delivered)]
    assert [post.header("tracestate") for post in posts] == ["vendor=1"] * 2
    assert [span.kind for span in (first, failed)] == [Span.SPAN_KIND_CONSUMER, Span.SPAN_KIND_CLIENT]
    told = [(s.attributes["http.response.status_code"], s.attributes["webhook.outcome"]) for s in (failed, delivered)]
    assert told == [(500, "Retried"), (200, "Delivered")]
    assert failed.attributes["url.full"] == receiver.url("/flaky")
    assert "hunter2" not in repr(collector.spans)
    assert first.resource["service.name"] == "evolution-webhook-worker"
    assert first.resource["deployment.environment.name"] == "test"
    assert await daemon.stop() == 0
    assert any("opentelemetry" in line for line in daemon.lines), "what the next test does not find is here"


@pytest.mark.parametrize("off", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318", "OTEL_TRACES_EXPORTER": "none"}])
async def test_without_the_endpoint_nothing_is_added_and_nothing_imported(
    worker: StartWorker, webhooks: PutWebhooks, receiver: Receiver, amqp: Amqp, names: Names, off: dict[str, str]
) -> None:
    await webhooks(Webhook("acme", receiver.url("/flaky")))
    receiver.answer("/flaky", 500)
    daemon = await worker(**FAST, **IMPORTS, **off, OTEL_SERVICE_NAME="worker")
    await amqp.publish(names.exchange, "messages.upsert", event(), headers=CARRIED)
    posts = await receiver.wait_for(2, path="/flaky")
    assert await daemon.stop() == 0
    assert [post.header(name) for post in posts for name in CARRIED] == [None] * 4
    assert any("import time:" in line and "aiohttp" in line for line in daemon.lines)
    assert not [line for line in daemon.lines if "opentelemetry" in line]


async def test_a_dead_collector_disturbs_nothing(
    worker: StartWorker, webhooks: PutWebhooks, receiver: Receiver, amqp: Amqp, names: Names
) -> None:
    await webhooks(Webhook("acme", receiver.url("/in")))
    dead = f"http://127.0.0.1:{free_port()}"
    quick = {"OTEL_BSP_SCHEDULE_DELAY": "20", "OTEL_EXPORTER_OTLP_TIMEOUT": "0.2"}
    daemon = await worker(**quick, OTEL_EXPORTER_OTLP_ENDPOINT=dead)
    for _ in range(3):
        await amqp.publish(names.exchange, "messages.upsert", event())
        await daemon.wait_for_line("traces cannot be sent to", dead)
    await receiver.wait_for(3)
    await daemon.wait_metric("deliveries_total", 3, outcome="Delivered")
    assert await daemon.stop() == 0
    warnings = [record["message"] for record in daemon.records if record["level"] not in ("debug", "info")]
    assert [text.partition(" to ")[0] for text in warnings] == ["traces cannot be sent"]


async def test_what_cannot_be_used_is_told_at_the_start_and_by_check(worker: StartWorker) -> None:
    wrong = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    daemon = await worker(ready=False, **wrong)
    assert await daemon.wait() == 2
    assert daemon.lines == [
        "webhook-worker: OTEL_EXPORTER_OTLP_PROTOCOL='grpc': must be http/protobuf (a collector's port 4318)"
    ]
    check = await worker(arguments=("check",), ready=False, **wrong)
    assert await check.wait() == 1
    assert "PROBLEM traces: OTEL_EXPORTER_OTLP_PROTOCOL='grpc'" in check.output()


async def test_a_redriven_letter_goes_on_in_its_trace(
    worker: StartWorker, webhooks: PutWebhooks, receiver: Receiver, amqp: Amqp, names: Names, collector: Collector
) -> None:
    await webhooks(Webhook("acme", receiver.url("/in")))
    receiver.answer("/in", 404)
    await worker(**traced(collector))
    await amqp.publish(names.exchange, "messages.upsert", event(), headers=CARRIED)
    await amqp.wait_depth(names.dead, 1)
    redrive = await worker(arguments=("dead", "redrive", "--all"), ready=False)
    assert await redrive.wait() == 0
    refused, delivered = await receiver.wait_for(2, path="/in")
    first, _, second, last = await collector.wait_for(4)
    assert {span.trace for span in collector.spans} == {TRACE}
    assert (second.parent, last.parent) == (first.id, second.id)
    assert delivered.header("traceparent") == f"00-{TRACE}-{last.id}-01"
    assert refused.header("webhook-id") == delivered.header("webhook-id")
