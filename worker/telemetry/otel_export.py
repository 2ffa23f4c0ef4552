"""Where spans go: OTLP over HTTP from a thread of their own, in batches, all by OpenTelemetry's OTEL_* variables.

A collector that is down costs the spans and one line in the log. Nothing waits for it but the end of the process, for
CLOSE_SECONDS.
"""

import asyncio
import logging
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from threading import Thread
from urllib.parse import urlsplit
from uuid import uuid4

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from worker import __version__
from worker.basics.masking import without, without_secrets
from worker.telemetry.otel import Otel

log = logging.getLogger(__name__)

CLOSE_SECONDS = 3.0
"""For the last spans at the end of the process, after the drain."""

REPEAT_SECONDS = 600.0
"""How often OpenTelemetry may say the same thing."""


def otel(endpoint: str) -> Otel:
    """Traces to the collector that OTEL_* names; `endpoint` is for the log. Raises OSError when one is wrong."""
    words = _Words()
    words.listen()
    try:
        provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(Reporting(OTLPSpanExporter(), endpoint, words)))
    except ValueError as error:
        raise OSError(f"traces: one of the OTEL_* variables cannot be used: {error}") from error

    async def close() -> None:
        await _shut_down(provider)
        words.listen_no_more()

    log.info("sending traces", extra={"endpoint": without_secrets(endpoint)})
    return Otel(provider.get_tracer("evolution-webhook-worker", __version__), time.time_ns, close)


def _resource() -> Resource:
    """OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win."""
    ours = {
        "service.name": "evolution-webhook-worker",
        "service.version": __version__,
        "service.instance.id": str(uuid4()),
    }
    return Resource.create({**ours, **OTELResourceDetector().detect().attributes})


async def _shut_down(provider: TracerProvider) -> None:
    """Not in the loop's own threads: the process would wait for them at its end, however long they take."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def work() -> None:
        provider.shutdown()
        with suppress(RuntimeError):  # too late: the loop has ended
            loop.call_soon_threadsafe(done.set)

    Thread(target=work, name="last traces", daemon=True).start()
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await done.wait()
    except TimeoutError:
        log.warning("the last traces could not be sent within %g s", CLOSE_SECONDS)


class Reporting(SpanExporter):
    """Says once that spans cannot be exported, and once that they can again. Called from the exporting thread."""

    def __init__(self, inner: SpanExporter, endpoint: str, words: "_Words") -> None:
        self._inner = inner
        self._endpoint = endpoint
        self._words = words
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._words.reason = ""
        result = self._inner.export(spans)
        if result is SpanExportResult.SUCCESS:
            if self._lost:
                log.info("traces are sent again; %d spans were lost", self._lost)
            self._lost = 0
            return result
        if not self._lost:
            log.warning(
                "traces cannot be sent to %s, deliveries go on: %s", without_secrets(self._endpoint), self._reason()
            )
        self._lost += len(spans)
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._inner.force_flush(timeout_millis)

    def _reason(self) -> str:
        query = urlsplit(self._endpoint).query
        reason = self._words.reason or "no reason given"
        return without(query, reason)[:300]


class _Words(logging.Handler):
    """What OpenTelemetry's libraries log: the exporter's words are kept as the reason, the rest is logged now and then.

    The rest without its values: a malformed OTEL_EXPORTER_OTLP_HEADERS is quoted whole.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.reason = ""
        self._logged: dict[str, float] = {}

    def listen(self) -> None:
        library = logging.getLogger("opentelemetry")
        library.addHandler(self)
        library.propagate = False
        logging.getLogger("urllib3").setLevel(logging.WARNING)  # at debug a line for each export

    def listen_no_more(self) -> None:
        library = logging.getLogger("opentelemetry")
        library.removeHandler(self)
        library.propagate = True

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("opentelemetry.exporter."):
            self.reason = self.reason or record.getMessage()  # the first names the cause, the last that it gave up
            return
        words, now = re.sub(r"%[-+.\d]*[a-z]", "…", str(record.msg)), time.monotonic()
        if now - self._logged.get(words, -REPEAT_SECONDS) >= REPEAT_SECONDS:
            self._logged[words] = now
            log.warning("OpenTelemetry: %s", words)
