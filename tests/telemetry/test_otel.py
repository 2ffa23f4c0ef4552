"""Spans and their links, over fakes: which trace a delivery belongs to, whatever way it takes."""

from __future__ import annotations

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from tests.delivery.conftest import calm
from tests.delivery.fakes import FakeMessage
from tests.support.events import event
from tests.telemetry.conftest import MakeTraced
from worker.domain.outcome import Parked, ParkReason
from worker.domain.verdict import Answered, Failure, Unanswered
from worker.domain.webhook import GLOBAL_ID, Webhook

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
ACME = Webhook("acme", "http://h/acme")
AUDIT = Webhook("acme", "http://h/audit", id="audit")
EVERYBODYS = Webhook("", "http://h/global", id=GLOBAL_ID)


def message(instance: str = "acme", **headers: object) -> FakeMessage:
    return FakeMessage(event(instance=instance), headers)


def ids(span: ReadableSpan) -> tuple[str, str]:
    """Trace and span, as `traceparent` writes them."""
    assert span.context is not None
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


def parent(span: ReadableSpan) -> str | None:
    return f"{span.parent.span_id:016x}" if span.parent else None


def facts(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


# Links


async def test_one_trace_from_the_message_to_the_post(traced: MakeTraced) -> None:
    found = traced(ACME, AUDIT, global_webhook=EVERYBODYS)
    await found.take(message(traceparent=TRACEPARENT, tracestate="vendor=1"))
    (process,), posts = found.named("process webhooks.events"), found.named("POST")
    assert (ids(process)[0], parent(process), process.kind) == (TRACE, PARENT, SpanKind.CONSUMER)
    assert [(ids(post)[0], parent(post), post.kind) for post in posts] == [
        (TRACE, ids(process)[1], SpanKind.CLIENT)
    ] * 3
    carried = [(request.headers["traceparent"], request.headers["tracestate"]) for request, _ in found.sender.sent]
    assert sorted(carried) == sorted((f"00-{TRACE}-{ids(post)[1]}-01", "vendor=1") for post in posts)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"traceparent": "nonsense"},
        {"traceparent": 7, "tracestate": ["a"]},
        {"traceparent": f"00-{'0' * 32}-{PARENT}-01"},
        {"traceparent": "\ud800" * 600},
    ],
)
async def test_without_a_usable_traceparent_a_trace_begins(traced: MakeTraced, headers: dict[str, object]) -> None:
    found = traced(ACME)
    await found.take(message(**headers))
    process, post = found.spans
    assert (process.parent, parent(post)) == (None, ids(process)[1])
    assert ids(post)[0] == ids(process)[0] != TRACE


async def test_a_byte_array_is_text_too(traced: MakeTraced) -> None:
    found = traced(ACME)
    await found.take(message(traceparent=TRACEPARENT.encode()))
    assert {ids(span)[0] for span in found.spans} == {TRACE}


async def test_what_is_not_sampled_is_propagated_as_such(traced: MakeTraced) -> None:
    found = traced(ACME)
    await found.take(message(traceparent=f"00-{TRACE}-{PARENT}-00"))
    ((request, _),) = found.sender.sent
    assert found.spans == []
    assert request.headers["traceparent"].startswith(f"00-{TRACE}-")
    assert request.headers["traceparent"].endswith("-00")


async def test_a_traceparent_of_the_webhooks_own_wins(traced: MakeTraced) -> None:
    found = traced(Webhook("acme", "http://h/", headers=(("TraceParent", "mine"),)))
    await found.take(message(traceparent=TRACEPARENT, tracestate="vendor=1"))
    ((request, _),) = found.sender.sent
    assert request.headers["TraceParent"] == "mine"
    assert not {"traceparent", "tracestate"} & set(request.headers)


async def test_a_tracestate_of_the_webhooks_own_is_not_doubled(traced: MakeTraced) -> None:
    found = traced(Webhook("acme", "http://h/", headers=(("TraceState", "own=1"),)))
    await found.take(message(traceparent=TRACEPARENT, tracestate="vendor=1"))
    ((request, _),) = found.sender.sent
    carried = {name: value for name, value in request.headers.items() if name.lower().startswith("trace")}
    assert carried == {"TraceState": "own=1", "traceparent": f"00-{TRACE}-{ids(found.named('POST')[0])[1]}-01"}


async def test_messages_that_come_together_keep_their_own_traces(traced: MakeTraced) -> None:
    found = traced(ACME)
    traces = [f"{number:032x}" for number in (1, 2, 3)]
    await found.take(*(message(traceparent=f"00-{trace}-{PARENT}-01") for trace in traces))
    for name in ("process webhooks.events", "POST"):
        assert sorted(ids(span)[0] for span in found.named(name)) == traces
    assert [request.headers["traceparent"][3:35] for request, _ in found.sender.sent] == traces


async def test_deliveries_that_wait_for_each_other_keep_their_own_traces(traced: MakeTraced) -> None:
    found = traced(ACME)
    found.admission.holding = True
    traces = [f"{number:032x}" for number in (1, 2, 3)]
    await found.take(*(message(traceparent=f"00-{trace}-{PARENT}-01") for trace in traces))
    finished = found.admission.finished

    def next_one(*arguments: object) -> Parked | None:
        outcome = finished(*arguments)  # type: ignore[arg-type]
        if found.admission.turns:
            found.admission.start_next()  # within the task of the one before, as the lanes do it
        return outcome

    found.admission.finished = next_one  # type: ignore[method-assign]
    found.admission.start_next()
    await calm()
    await calm()
    processes = {ids(span)[0]: ids(span)[1] for span in found.named("process webhooks.events")}
    assert sorted(processes) == traces
    assert sorted((ids(post)[0], parent(post)) for post in found.named("POST")) == sorted(processes.items())


async def test_one_that_is_sent_away_by_anothers_end_is_parked_in_its_own_trace(traced: MakeTraced) -> None:
    found = traced(ACME)
    found.admission.holding = True
    traces = [f"{number:032x}" for number in (1, 2)]
    await found.take(*(message(traceparent=f"00-{trace}-{PARENT}-01") for trace in traces))
    finished = found.admission.finished

    def opened(*arguments: object) -> Parked | None:
        found.admission.turns.popleft().park(Parked(ParkReason.CIRCUIT_OPEN, 5))
        return finished(*arguments)  # type: ignore[arg-type]

    found.admission.finished = opened  # type: ignore[method-assign]
    found.admission.start_next()
    await calm()
    (published,) = found.publisher.published
    parked = next(span for span in found.named("process webhooks.events") if ids(span)[0] == traces[1])
    assert published.headers["traceparent"] == f"00-{traces[1]}-{ids(parked)[1]}-01"
    assert [dict(happened.attributes or {})["webhook.reason"] for happened in parked.events] == ["circuit_open"]
    (post,) = found.named("POST")
    assert (ids(post)[0], facts(post)["webhook.outcome"]) == (traces[0], "Delivered")


# Retries


async def test_a_retry_continues_the_trace(traced: MakeTraced) -> None:
    found = traced(ACME)
    found.sender.answers["http://h/acme"] = Answered(500)
    await found.take(message(traceparent=TRACEPARENT, tracestate="vendor=1"))
    (published,) = found.publisher.published
    first, failed = found.spans
    assert published.headers["traceparent"] == f"00-{TRACE}-{ids(first)[1]}-01"
    assert published.headers["tracestate"] == "vendor=1"
    del found.sender.answers["http://h/acme"]
    again = FakeMessage(
        published.body, published.headers, exchange="", routing_key="webhooks.retries", queue="webhooks.retries"
    )
    await found.take(again)
    *_, second, delivered = found.spans
    assert (second.name, ids(second)[0], parent(second)) == ("process webhooks.retries", TRACE, ids(first)[1])
    assert (ids(delivered)[0], parent(delivered)) == (TRACE, ids(second)[1])
    assert [facts(post)["webhook.attempt"] for post in (failed, delivered)] == [1, 2]
    assert facts(delivered)["http.request.resend_count"] == 1
    assert facts(second)["messaging.destination.name"] == "webhooks.retries"


async def test_a_dead_letter_carries_its_trace(traced: MakeTraced) -> None:
    found = traced(ACME)
    found.sender.answers["http://h/acme"] = Answered(404)
    await found.take(message(traceparent=TRACEPARENT))
    (published,), (process, _) = found.publisher.published, found.spans
    assert (published.queue, published.headers["traceparent"]) == ("dead", f"00-{TRACE}-{ids(process)[1]}-01")
    assert (process.status.status_code, facts(process)["error.type"]) == (StatusCode.ERROR, "rejected")


# What spans say


async def test_spans_follow_the_conventions_and_hold_no_secret(traced: MakeTraced) -> None:
    webhook = Webhook(
        "acme",
        "https://user:hunter2@h.example:8443/in?token=hunter2#hunter2",
        headers=(("Authorization", "hunter2"),),
        secrets=("whsec_" + "QUJD" * 8,),
    )
    found = traced(webhook)
    sent = FakeMessage(event(data={"text": "hunter2"}), message_id="m-1")
    await found.take(sent)
    process, post = found.spans
    assert facts(process) == {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "evolution_exchange:messages.upsert:webhooks.events",
        "messaging.rabbitmq.destination.routing_key": "messages.upsert",
        "messaging.message.id": "m-1",
        "messaging.message.body.size": len(sent.body),
    }
    ((request, _),) = found.sender.sent
    assert facts(post) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "server.address": "h.example",
        "server.port": 8443,
        "url.full": "https://h.example:8443/in",
        "webhook.id": "default",
        "webhook.delivery.id": request.headers["webhook-id"],
        "webhook.instance": "acme",
        "webhook.event": "messages.upsert",
        "webhook.attempt": 1,
        "webhook.outcome": "Delivered",
        "webhook.reason": "ok",
    }
    assert (process.status.status_code, post.status.status_code) == (StatusCode.UNSET, StatusCode.UNSET)
    everything = "".join(span.to_json() for span in found.spans)
    assert not [secret for secret in ("hunter2", "QUJD", "whsec") if secret in everything]


@pytest.mark.parametrize(
    ("result", "kind", "status"),
    [
        (Answered(503), "503", 503),
        (Answered(302), "302", 302),
        (Unanswered(Failure.TIMEOUT, "no answer within 30 s"), "timeout", None),
        (Unanswered(Failure.CONNECT, "connecting to h failed"), "connect", None),
    ],
)
async def test_a_failed_attempt_says_why(
    traced: MakeTraced, result: Answered | Unanswered, kind: str, status: int | None
) -> None:
    found = traced(ACME)
    found.sender.answers["http://h/acme"] = result
    await found.take(message())
    (post,) = found.named("POST")
    assert (facts(post)["error.type"], facts(post).get("http.response.status_code")) == (kind, status)
    assert (post.status.status_code, facts(post)["webhook.outcome"]) == (StatusCode.ERROR, "Retried")


@pytest.mark.parametrize(("webhooks", "reason"), [((), "no_webhook"), ((ACME, AUDIT), "ok")])
async def test_the_taking_says_how_each_of_its_deliveries_ended(
    traced: MakeTraced, webhooks: tuple[Webhook, ...], reason: str
) -> None:
    found = traced(*webhooks)
    found.webhooks.known.setdefault("acme", ())
    await found.take(message())
    (process,) = found.named("process webhooks.events")
    ends = [dict(happened.attributes or {})["webhook.reason"] for happened in process.events]
    assert ends == [reason] * max(1, len(webhooks))


async def test_an_attempt_that_the_drain_cuts_has_a_span_that_ends(traced: MakeTraced) -> None:
    found = traced(ACME)
    found.sender.hanging.add("http://h/acme")
    await found.take(message(traceparent=TRACEPARENT))
    assert found.spans == []
    await found.pipeline.drain(0)
    process, post = found.spans
    assert (facts(post)["error.type"], facts(post)["webhook.reason"]) == ("CancelledError", "shutdown")
    (published,) = found.publisher.published
    assert published.headers["traceparent"] == f"00-{TRACE}-{ids(process)[1]}-01"


async def test_a_message_that_goes_back_ends_its_span_and_is_handed_back(traced: MakeTraced) -> None:
    found = traced(ACME)
    lost = message()
    lost.lost = True
    await found.take(lost)
    (process,) = found.spans
    assert lost.ends == ["hand back"]
    assert [dict(happened.attributes or {})["webhook.reason"] for happened in process.events] == ["handed_back"]


async def test_a_text_that_cannot_be_encoded_does_not_spoil_a_batch(traced: MakeTraced) -> None:
    found = traced(ACME)
    await found.take(FakeMessage(event(), routing_key="k\ud800"))
    assert facts(found.spans[0])["messaging.rabbitmq.destination.routing_key"] == "k?"
    assert encode_spans(found.spans).SerializeToString()


async def test_a_message_whose_span_cannot_be_made_is_delivered_untraced(
    traced: MakeTraced, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("a fault in a library")

    found = traced(ACME)
    with monkeypatch.context() as fault:
        fault.setattr("worker.telemetry.otel.of_message", broken)
        await found.take(message(), message())
    assert len(found.sender.sent) == 2
    assert found.spans == []
    assert [record.getMessage() for record in caplog.records if "is not traced" in record.getMessage()] == [
        "a message is not traced, deliveries go on; said once"
    ]
    await found.take(message())
    assert len(found.named("POST")) == 1, "the next ones are traced again"
