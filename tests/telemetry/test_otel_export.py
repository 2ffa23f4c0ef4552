"""The way to the collector: what is said of it, when, and what it may hold up."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from tests.support.local_process import free_port
from worker.telemetry import otel_export
from worker.telemetry.otel_export import Reporting, _Words, otel

EXPORTER = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")
SDK = logging.getLogger("opentelemetry.sdk.trace")


class Scripted(SpanExporter):
    def __init__(self, *results: bool) -> None:
        self._results = list(results)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._results.pop(0):
            return SpanExportResult.SUCCESS
        EXPORTER.warning("Transient error %s, retrying", "refused at /v1/traces?key=hunter2")
        EXPORTER.error("Failed to export")
        return SpanExportResult.FAILURE


def ours(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What an operator sees from warning on: pytest also hears loggers that pass nothing on."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("worker.")]


@pytest.fixture
def words() -> Iterator[_Words]:
    words = _Words()
    words.listen()
    yield words
    words.listen_no_more()


def test_an_outage_is_told_once_and_so_is_its_end(words: _Words, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    endpoint = "http://u:hunter2@collector:4318/v1/traces?key=hunter2"
    reporting = Reporting(Scripted(True, False, False, False, True, True), endpoint, words)
    spans: list[ReadableSpan] = [ReadableSpan("one"), ReadableSpan("two")]
    for _ in range(6):
        reporting.export(spans)
    first, last = ours(caplog)
    assert first.startswith("traces cannot be sent to http://collector:4318/v1/traces, deliveries go on: Transient")
    assert last == "traces are sent again; 6 spans were lost"
    assert "hunter2" not in first + last


def test_other_words_of_the_library_are_said_once_and_without_values(
    words: _Words, caplog: pytest.LogCaptureFixture
) -> None:
    for secret in ("hunter1", "hunter2"):
        SDK.warning("Header format invalid: %s", secret)
    assert ours(caplog) == ["OpenTelemetry: Header format invalid: …"]


async def test_a_collector_that_never_answers_holds_up_the_end_for_no_longer_than_promised(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(otel_export, "CLOSE_SECONDS", 0.2)
    silent = socket.create_server(("127.0.0.1", 0))  # connects are taken by the kernel, and nobody ever reads
    url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "30")
    traces = otel(url)
    traces._tracer.start_span("one").end()
    before = time.monotonic()
    await traces.close()
    assert time.monotonic() - before < 10, "a third of what the exporter itself would wait"
    assert "the last traces could not be sent" in caplog.text
    late, _ = silent.accept()
    late.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")  # which the exporter does not try again
    await asyncio.to_thread(_ended)
    late.close()
    silent.close()


async def test_a_collector_that_is_down_costs_spans_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1/traces"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0.3")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "named")
    traces = otel(url)
    span = traces._tracer.start_span("one")
    span.end()
    assert isinstance(span, ReadableSpan)
    assert span.resource.attributes["service.name"] == "named"
    await traces.close()
    (told,) = ours(caplog)
    assert told.startswith(f"traces cannot be sent to {url}, deliveries go on: ")


@pytest.mark.parametrize("value", ["0", "-1"])
async def test_a_wrong_variable_of_opentelemetry_is_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", value)
    with pytest.raises(OSError, match=r"OTEL_\* variables cannot be used: max_queue_size"):
        otel("http://127.0.0.1:1/v1/traces")


def _ended() -> None:
    for thread in threading.enumerate():
        if thread.daemon and thread.name in ("last traces", "OtelBatchSpanRecordProcessor"):
            thread.join(10)
