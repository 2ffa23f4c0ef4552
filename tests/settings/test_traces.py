"""When traces are on, and what is wrong with how they are asked for."""

import importlib.util

import pytest

from worker.settings import traces as settings_traces
from worker.settings.settings import load
from worker.settings.traces import endpoint, problem

ALL, ONE = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
COLLECTOR = "http://collector:4318"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"OTEL_SERVICE_NAME": "worker", "OTEL_TRACES_SAMPLER": "always_on"}, None),
        ({ALL: ""}, None),
        ({ALL: COLLECTOR}, f"{COLLECTOR}/v1/traces"),
        ({ALL: f"{COLLECTOR}/"}, f"{COLLECTOR}/v1/traces"),
        ({ALL: COLLECTOR, ONE: "https://other/in"}, "https://other/in"),
        ({ALL: COLLECTOR, "OTEL_SDK_DISABLED": "TRUE"}, None),
        ({ALL: COLLECTOR, "OTEL_TRACES_EXPORTER": "none"}, None),
        ({ALL: COLLECTOR, "OTEL_TRACES_EXPORTER": "otlp"}, f"{COLLECTOR}/v1/traces"),
    ],
)
def test_an_endpoint_turns_them_on(environ: dict[str, str], expected: str | None) -> None:
    assert (endpoint(environ), problem(environ)) == (expected, None)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({ALL: "collector:4318"}, f"{ALL}: must be a URI of at most 4096 bytes that begins with http:// or https://"),
        ({ONE: "http://u:hunter2@h:port/"}, f"{ONE}: must be a URI whose port is a number"),
        ({ALL: "http://u:4318#hunter2@h/"}, f"{ALL}: must be a URI without '#': in user and password, write it as %23"),
        ({ALL: "http://u:4318/hunter2@h/"}, f"{ALL}: must be a URI without an @ after a '/'"),
        ({ALL: f" {COLLECTOR}"}, f"{ALL}: must be"),
        ({ALL: COLLECTOR, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "'grpc': must be http/protobuf"),
        ({ALL: COLLECTOR, "OTEL_TRACES_EXPORTER": "console"}, "'console': must be otlp, or none"),
    ],
)
def test_what_cannot_be_used_is_named_with_the_fix(environ: dict[str, str], expected: str) -> None:
    found = problem(environ)
    assert found is not None
    assert expected in found
    assert "hunter2" not in found


def test_a_missing_extra_is_named_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(settings_traces, "find_spec", missing)
    found = problem({ALL: COLLECTOR})
    assert found is not None
    assert "pip install 'evolution-webhook-worker[otel]'" in found
    assert problem({}) is None


def test_the_extra_is_there_in_the_tests() -> None:
    assert importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http")


def test_opentelemetrys_variables_are_no_slips_of_ours() -> None:
    names = ["SERVICE_NAME", "TRACES_SAMPLER", "TRACES_SAMPLER_ARG", "SDK_DISABLED", "BSP_SCHEDULE_DELAY", "LOG_LEVEL"]
    environ = {f"OTEL_{name}": "1" for name in [*names, "EXPORTER_OTLP_HEADERS", "RESOURCE_ATTRIBUTES"]}
    assert load({**environ, ALL: COLLECTOR, ONE: COLLECTOR}, None) == load({}, None)
