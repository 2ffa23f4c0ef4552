"""Traces by OpenTelemetry, around the ports of the flow: `process <queue>` for each taking, `POST` for each attempt.

To which taking and delivery a piece of work belongs is in context variables: a task begins in the context that starts
it, a future's callback in the one that adds it. A delivery that waits in its lane is started by another one's end, so
its turn keeps a context of its own. What the variables hold is small, as a pooled connection keeps the context that it
was opened in.

Names of spans and attributes: OpenTelemetry's semantic conventions for RabbitMQ and for HTTP clients; what they have
no name for begins with `webhook.`. No payload, no header value, no credentials, no query string.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar, copy_context

from msgspec.structs import replace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from worker.delivery.ports import Admission, Admitted, Message, Posts, Recorder, Sender, Turn
from worker.domain.outcome import DeadLettered, Parked
from worker.domain.past import Past
from worker.domain.record import Record
from worker.domain.request.build import Request
from worker.domain.routing import Delivery
from worker.domain.verdict import Result
from worker.telemetry.otel_spans import Facts, of_delivery, of_message, of_request, of_result, outcome_of
from worker.telemetry.tracing import Handle, Tracing

log = logging.getLogger(__name__)

W3C = TraceContextTextMapPropagator()
"""Not what OTEL_PROPAGATORS names: baggage is nothing for receivers outside."""


class _MessageSpan:
    """The span of one taking. It ends with the record of the message's last delivery."""

    __slots__ = ("context", "settled", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.context = set_span_in_context(span, Context())
        self.settled = False

    def left(self, record: Record) -> None:
        """One delivery has left this process; the message is settled before its last one is recorded."""
        self.span.add_event("delivery", outcome_of(record))
        if isinstance(record.outcome, DeadLettered):
            self.span.set_attribute("error.type", record.outcome.reason.value)
            self.span.set_status(StatusCode.ERROR)
        if self.settled:
            self.span.end()


class _Attempt:
    """What is known of a delivery before its attempt, and the attempt's span once there is one."""

    __slots__ = ("ended", "facts", "span")

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.span: Span | None = None
        self.ended: int | None = None

    def left(self, record: Record) -> None:
        """The span ends where the POST did, but only now is its outcome known."""
        if self.span is not None:
            self.span.set_attributes(outcome_of(record))
            self.span.end(self.ended)
            self.span = None


_MESSAGE_SPAN: ContextVar[_MessageSpan | None] = ContextVar("message_span", default=None)
_ATTEMPT: ContextVar[_Attempt | None] = ContextVar("attempt", default=None)


class Otel(Tracing):
    """`now` is Unix time in nanoseconds, as spans have it; `close` ends the export."""

    def __init__(self, tracer: Tracer, now: Callable[[], int], close: Callable[[], Awaitable[None]]) -> None:
        self._tracer = tracer
        self._now = now
        self._close = close
        self._failed = False

    @property
    def headers(self) -> Callable[[], Mapping[str, str]]:
        return _headers

    def handler(self, handle: Handle) -> Handle:
        def traced(message: Message) -> None:
            message_span = self._begun_or_none(message)
            if message_span is None:
                handle(message)
                return
            token = _MESSAGE_SPAN.set(message_span)
            try:
                handle(_Message(message, message_span))
            finally:
                _MESSAGE_SPAN.reset(token)

        return traced

    def admission(self, admission: Admission) -> Admission:
        return _Admission(admission)

    def sender(self, sender: Sender) -> Sender:
        return _Sender(sender, self._tracer, self._now)

    def posts(self, _: Posts) -> None:
        return None

    def recorder(self, recorder: Recorder) -> Recorder:
        return _Recorder(recorder)

    async def close(self) -> None:
        await self._close()

    def _begun_or_none(self, message: Message) -> _MessageSpan | None:
        """None: no span could be made. A message is worth more than its trace, and the pipeline goes on."""
        try:
            return self._begun(message)
        except Exception as fault:
            if not self._failed:
                self._failed = True
                log.error("a message is not traced, deliveries go on; said once", exc_info=fault)
            return None

    def _begun(self, message: Message) -> _MessageSpan:
        parent = W3C.extract(message.trace, Context())
        name, facts = f"process {message.queue}", of_message(message)
        return _MessageSpan(self._tracer.start_span(name, parent, SpanKind.CONSUMER, facts))


def _headers() -> Mapping[str, str]:
    """Of the taking that calls: what is published for it continues its trace."""
    message_span = _MESSAGE_SPAN.get()
    return {} if message_span is None else _injected(message_span.context)


def _injected(context: Context) -> dict[str, str]:
    carrier: dict[str, str] = {}
    W3C.inject(carrier, context)
    return carrier


class _Message:
    """ports.Message: notes that it was settled."""

    __slots__ = ("_inner", "_message_span", "body", "exchange", "message_id", "queue", "routing_key")

    def __init__(self, inner: Message, message_span: _MessageSpan) -> None:
        self._inner = inner
        self._message_span = message_span
        self.body = inner.body
        self.message_id = inner.message_id
        self.exchange = inner.exchange
        self.routing_key = inner.routing_key
        self.queue = inner.queue

    @property
    def past(self) -> Past | None:
        return self._inner.past

    @property
    def trace(self) -> Mapping[str, str]:
        return self._inner.trace

    @property
    def redelivered(self) -> bool:
        return self._inner.redelivered

    @property
    def lost(self) -> bool:
        return self._inner.lost

    def ack(self) -> None:
        self._message_span.settled = True
        self._inner.ack()

    def hand_back(self) -> None:
        self._message_span.settled = True
        self._inner.hand_back()

    @property
    def dead_letters(self) -> bool:
        return self._inner.dead_letters

    def reject(self) -> None:
        self._message_span.settled = True
        self._inner.reject()


class _Admission:
    """ports.Admission: each turn comes in its own delivery's context."""

    def __init__(self, inner: Admission) -> None:
        self._inner = inner

    def admit(self, delivery: Delivery, turn: Turn) -> Admitted | Parked:
        return self._inner.admit(delivery, _Turn(turn, _Attempt(of_delivery(delivery))))

    def finished(self, delivery: Delivery, result: Result, seconds: float) -> Parked | None:
        return self._inner.finished(delivery, result, seconds)

    def released(self, delivery: Delivery) -> None:
        self._inner.released(delivery)

    def drain(self) -> None:
        self._inner.drain()


class _Turn:
    """ports.Turn."""

    __slots__ = ("_context", "_inner")

    def __init__(self, inner: Turn, attempt: _Attempt) -> None:
        self._inner = inner
        self._context = copy_context()
        self._context.run(_ATTEMPT.set, attempt)

    def start(self) -> None:
        self._context.run(self._inner.start)

    def park(self, parked: Parked) -> None:
        self._context.run(self._inner.park, parked)


class _Sender:
    """ports.Sender: a span for each POST, whose `traceparent` it carries."""

    def __init__(self, inner: Sender, tracer: Tracer, now: Callable[[], int]) -> None:
        self._inner = inner
        self._tracer = tracer
        self._now = now

    async def send(self, request: Request, timeout: float) -> Result:
        message_span, attempt = _MESSAGE_SPAN.get(), _ATTEMPT.get()
        if message_span is None or attempt is None:
            return await self._inner.send(request, timeout)  # no delivery of the flow's
        facts = {**attempt.facts, **of_request(request.target)}
        attempt.span = span = self._tracer.start_span("POST", message_span.context, SpanKind.CLIENT, facts)
        try:
            result = await self._inner.send(_traced(request, span), timeout)
        except BaseException as fault:  # cut by the drain deadline, or a fault of ours
            span.set_attribute("error.type", type(fault).__name__)
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            attempt.ended = self._now()
        of_result(span, result)
        return result


def _traced(request: Request, span: Span) -> Request:
    """A `traceparent` of the webhook's own wins."""
    own = {name.lower() for name in request.headers}
    if "traceparent" in own:
        return request
    ours = _injected(set_span_in_context(span, Context()))
    return replace(request, headers={**request.headers, **{n: v for n, v in ours.items() if n not in own}})


class _Recorder:
    """ports.Recorder: ends the spans of what has left."""

    def __init__(self, inner: Recorder) -> None:
        self._inner = inner
        self.received = inner.received
        self.started = inner.started
        self.attempted = inner.attempted
        self.publish_failed = inner.publish_failed

    def delivered(self, _instance: str, _seconds: float) -> bool:
        return False

    def settled(self, record: Record) -> None:
        self._inner.settled(record)
        if (attempt := _ATTEMPT.get()) is not None:
            attempt.left(record)
        if (message_span := _MESSAGE_SPAN.get()) is not None:
            message_span.left(record)
