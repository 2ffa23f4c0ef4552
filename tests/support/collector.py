"""A collector of traces: a real HTTP server that takes OTLP protobuf and keeps the spans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from tests.support.waiting import Facts


@dataclass(frozen=True, slots=True)
class CollectedSpan:
    """Ids in hex; `parent` is empty for the first of a trace. `resource` holds the sender's own attributes."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    start: int
    attributes: dict[str, Any]
    resource: dict[str, Any]


class Collector:
    """`async with Collector() as collector`: on loopback, at `url` (for OTEL_EXPORTER_OTLP_ENDPOINT)."""

    def __init__(self) -> None:
        self.spans: list[CollectedSpan] = []
        self.url = ""
        self._facts = Facts()
        app = web.Application()
        app.router.add_post("/v1/traces", self._export)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def wait_for(self, count: int, timeout: float = 15.0) -> list[CollectedSpan]:
        """So many spans or more, in the order in which they began."""
        await self._facts.wait_for(lambda: len(self.spans) >= count, timeout, lambda: f"collected {self.spans}")
        return sorted(self.spans, key=lambda span: span.start)

    async def _export(self, request: web.Request) -> web.Response:
        self.spans += _decoded(await request.read())
        await self._facts.changed()
        return web.Response(content_type="application/x-protobuf")


def _decoded(body: bytes) -> Iterator[CollectedSpan]:
    for of_one in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = _attributes(of_one.resource.attributes)
        for span in (span for scope in of_one.scope_spans for span in scope.spans):
            yield CollectedSpan(
                name=span.name,
                trace=span.trace_id.hex(),
                id=span.span_id.hex(),
                parent=span.parent_span_id.hex(),
                kind=span.kind,
                start=span.start_time_unix_nano,
                attributes=_attributes(span.attributes),
                resource=resource,
            )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in pairs}
