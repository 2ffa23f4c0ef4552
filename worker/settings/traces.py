"""Whether traces are asked for. By OpenTelemetry's own variables alone: there is no setting of ours beside them."""

from collections.abc import Mapping
from importlib.util import find_spec

from worker.basics.address import Address

EXTRA = "pip install 'evolution-webhook-worker[otel]'"

_ONE = "OTEL_EXPORTER_OTLP_TRACES_"
_ALL = "OTEL_EXPORTER_OTLP_"


def endpoint(environ: Mapping[str, str]) -> str | None:
    """The URL that traces are sent to; None: they are off.

    https://opentelemetry.io/docs/specs/otel/protocol/exporter/ says how it comes about.
    """
    disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if disabled or environ.get("OTEL_TRACES_EXPORTER", "").strip() == "none":
        return None
    if own := environ.get(_ONE + "ENDPOINT"):
        return own
    base = environ.get(_ALL + "ENDPOINT")
    return f"{base.removesuffix('/')}/v1/traces" if base else None


def problem(environ: Mapping[str, str]) -> str | None:
    """Why traces that are asked for cannot be sent, and what to do; never with the endpoint's credentials."""
    target = endpoint(environ)
    if target is None:
        return None
    given = _ONE + "ENDPOINT" if environ.get(_ONE + "ENDPOINT") else _ALL + "ENDPOINT"
    try:
        Address.parse(target, ("http", "https"))
    except ValueError as error:
        return f"{given}: must be {error}, such as http://collector:4318"
    protocol = environ.get(_ONE + "PROTOCOL") or environ.get(_ALL + "PROTOCOL") or "http/protobuf"
    if protocol != "http/protobuf":
        return f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol[:40]!r}: must be http/protobuf (a collector's port 4318)"
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    if exporter != "otlp":
        return f"OTEL_TRACES_EXPORTER={exporter[:40]!r}: must be otlp, or none to turn traces off"
    if not _installed():
        return f"{given} asks for traces, which need the extra `otel`: {EXTRA}; or set OTEL_TRACES_EXPORTER=none"
    return None


def _installed() -> bool:
    try:
        return all(find_spec(name) for name in ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http"))
    except ModuleNotFoundError:
        return False
