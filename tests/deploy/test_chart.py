"""The Helm chart: valid for Kubernetes, careful with the drain, strict about what a deployment cannot be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import helm_python
import pytest
import yaml

from tests.deploy.alerts import RULES
from tests.deploy.chart import CHART, NEWEST, OLDEST, PRODUCTION, SCALED, SETS, Manifest, Values, of, render, validate
from worker import __version__
from worker.http.egress import _KINDS_IPV4
from worker.settings import VARIABLES, load

SPARE_SECONDS = 20
"""Beyond the drain the worker gives cancelling, the last publishes, the last acks and the closing 5 s each."""


@pytest.fixture(scope="module", params=SETS)
def rendered(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(SETS[request.param])


def pods(manifests: list[Manifest]) -> list[dict[str, Any]]:
    return [m["spec"]["template"]["spec"] for m in manifests if m["kind"] == "Deployment"]


def environment(pod: dict[str, Any]) -> dict[str, str]:
    """What a pod's container is given in plain text; secrets as `secret:<key>`."""
    entries = pod["containers"][0]["env"]
    return {e["name"]: e.get("value") or f"secret:{e['valueFrom']['secretKeyRef']['key']}" for e in entries}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_manifest_is_what_kubernetes_knows(rendered: list[Manifest], version: str) -> None:
    for manifest in rendered:
        validate(manifest, version)


def test_the_validation_finds_a_field_that_does_not_exist() -> None:
    manifest = of(render({}), "Deployment")
    manifest["spec"]["template"]["spec"]["enableServiceLink"] = False
    with pytest.raises(Exception, match="enableServiceLink"):
        validate(manifest, NEWEST)


def test_helm_finds_nothing_wrong() -> None:
    report = helm_python.lint(CHART, strict=True)
    assert not report["errors"]
    assert [m["error"] for m in report["messages"] if m["severity"] > 1] == []


def test_the_sets_use_every_template() -> None:
    kinds = {manifest["kind"] for values in SETS.values() for manifest in render(values)}
    assert kinds >= {"Deployment", "Service", "PodMonitor", "PrometheusRule", "ConfigMap", "PodDisruptionBudget"}
    assert kinds >= {"ScaledObject", "HorizontalPodAutoscaler", "NetworkPolicy", "Secret", "PersistentVolumeClaim"}


def test_a_pod_gets_more_time_than_its_drain(rendered: list[Manifest]) -> None:
    for pod in pods(rendered):
        env = environment(pod)
        drain = int(env["WORKER_DRAIN_SECONDS"])
        assert pod["terminationGracePeriodSeconds"] >= drain + SPARE_SECONDS


@pytest.mark.parametrize(("values", "drain"), [({}, 35), (PRODUCTION, 51), (SCALED, 90), ({"drainSeconds": 0}, 0)])
def test_the_drain_is_the_request_timeout_rounded_up_and_five_unless_given(values: Values, drain: int) -> None:
    assert {environment(pod)["WORKER_DRAIN_SECONDS"] for pod in pods(render(values))} == {str(drain)}


def test_pods_run_without_rights(rendered: list[Manifest]) -> None:
    for pod in pods(rendered):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
        context = pod["containers"][0]["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert (context["allowPrivilegeEscalation"], context["capabilities"]) == (False, {"drop": ["ALL"]})
        assert {c["topologyKey"] for c in pod["topologySpreadConstraints"]} == {
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        }


def probed(pod: dict[str, Any]) -> list[tuple[str, str]]:
    """(path, port) of the start, liveness and readiness probes; each port must be one that the container names."""
    container = pod["containers"][0]
    gets = [container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")]
    assert {get["port"] for get in gets} <= {port["name"] for port in container["ports"]}
    return [(get["path"], get["port"]) for get in gets]


def test_a_worker_is_alive_while_it_answers_and_ready_while_it_consumes(rendered: list[Manifest]) -> None:
    pod = of(rendered, "Deployment", "-worker")["spec"]["template"]["spec"]
    assert probed(pod) == [("/livez", "metrics"), ("/livez", "metrics"), ("/readyz", "metrics")]
    assert {"name": "metrics", "containerPort": int(environment(pod)["METRICS_PORT"])} in pod["containers"][0]["ports"]


def test_the_api_has_pods_of_its_own_which_do_not_deliver() -> None:
    manifests = render(PRODUCTION)
    api = of(manifests, "Deployment", "-api")["spec"]["template"]
    assert api["spec"]["containers"][0]["args"] == ["api"]
    assert probed(api["spec"]) == [("/openapi.json", "http")] * 3
    assert of(manifests, "Service", "-api")["spec"]["selector"].items() <= api["metadata"]["labels"].items()
    worker = of(manifests, "Deployment", "-worker")["spec"]["template"]
    assert worker["spec"]["containers"][0]["args"] == ["run"]
    assert "AUTHENTICATION_API_KEY" not in environment(worker["spec"])
    selector = of(manifests, "PodMonitor")["spec"]["selector"]["matchLabels"].items()
    assert selector <= worker["metadata"]["labels"].items()
    assert not selector <= api["metadata"]["labels"].items()


def test_with_sqlite_the_api_is_in_the_one_pod() -> None:
    manifests = render({"api": {"enabled": True}, "secrets": {"apiKey": "k"}})
    worker = of(manifests, "Deployment")["spec"]["template"]
    assert environment(worker["spec"])["AUTHENTICATION_API_KEY"] == "secret:AUTHENTICATION_API_KEY"
    assert {port["name"] for port in worker["spec"]["containers"][0]["ports"]} == {"metrics", "http"}
    assert of(manifests, "Service", "-api")["spec"]["selector"].items() <= worker["metadata"]["labels"].items()


def test_the_worker_accepts_the_environment_that_the_chart_makes(rendered: list[Manifest]) -> None:
    secrets = {
        "secret:RABBITMQ_URI": "amqp://broker.example/",
        "secret:DATABASE_CONNECTION_URI": "postgresql://db.example/webhooks",
    }
    for pod in pods(rendered):
        given = {name: secrets.get(value, value) for name, value in environment(pod).items()}
        if given.get("WORKER_CONCURRENCY") == "1000000":
            given["WORKER_CONCURRENCY"] = "100"  # the set has it to see how a large number is written
        assert given.keys() <= VARIABLES
        settings, warnings = load(given, None)
        assert not warnings
        assert settings.worker_drain_seconds > settings.webhook_request_timeout_ms / 1000


def test_settings_are_written_as_they_were_meant() -> None:
    env = environment(pods(render(PRODUCTION))[0])
    assert env["WORKER_CONCURRENCY"] == "1000000"
    assert env["BREAKER_FAILURE_RATE"] == "0.5"
    assert env["WEBHOOK_FORWARD_APIKEY"] == "false"
    assert env["EGRESS_ALLOW"] == "10.96.0.0/12,192.168.7.9,fd00:1::7"


def test_sqlite_is_one_pod_at_any_time() -> None:
    manifests = render({})
    assert of(manifests, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    rolling = of(render(SCALED), "Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": 1, "maxUnavailable": 0}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"replicaCount": 2}, "sqlite, which is for one pod, but these values make up to 2"),
        ({"autoscaling": {"kind": "hpa", "minReplicas": 1, "maxReplicas": 4}}, "make up to 4"),
        ({"autoscaling": {"kind": "keda"}}, "make up to 10"),
        ({"api": {"enabled": True}}, "secrets.apiKey"),
        ({"database": {"kind": "postgresql"}}, "must begin with postgresql://"),
        ({"database": {"kind": "mysql"}, "secrets": {"databaseUri": "postgresql://h/d"}}, "must begin with mysql://"),
        ({"secrets": {"databaseUri": "postgresql://h/d"}}, "choose postgresql or mysql"),
        (SCALED | {"secrets": SCALED["secrets"] | {"managementUri": ""}}, "secrets.managementUri"),
        (SCALED | {"autoscaling": {"kind": "hpa", "minReplicas": 30}}, "more than autoscaling.maxReplicas"),
        (SCALED | {"api": {"enabled": True}, "secrets": SCALED["secrets"] | {"apiKey": ""}}, "secrets.apiKey"),
        ({"settings": {"RABBITMQ_URI": "amqp://h/"}}, "settings.RABBITMQ_URI"),
        ({"settings": {"worker_concurrency": 1}}, "worker_concurrency"),
        ({"database": {"kind": "oracle"}}, "kind"),
        ({"replicas": 2}, "replicas"),
        ({"egressAllow": ["example.com"]}, "egressAllow"),
    ],
)
def test_it_refuses_what_would_not_work(values: Values, words: str) -> None:
    with pytest.raises(helm_python.HelmError, match=words):
        render(values)


def test_the_network_policy_leaves_out_what_the_worker_refuses() -> None:
    rules = of(render({}), "NetworkPolicy")["spec"]["egress"]
    (public,) = [rule for rule in rules if rule["to"][0].get("ipBlock", {}).get("cidr") == "0.0.0.0/0"]
    closed = [ip_network(cidr) for cidr in public["to"][0]["ipBlock"]["except"]]
    refused = [ip_network(cidr) for cidr, _ in _KINDS_IPV4]
    assert all(any(network.subnet_of(block) for block in closed) for network in refused)
    assert all(any(block.subnet_of(network) for network in refused) for block in closed)


def test_the_network_policy_opens_dns_broker_database_and_what_is_allowed() -> None:
    rules = of(render(PRODUCTION), "NetworkPolicy")["spec"]["egress"]
    ports = [[port.get("port") for port in rule["ports"]] for rule in rules]
    assert ports == [[53, 53], [5671, 5672], [5432], [None], [None]]
    allowed = [peer["ipBlock"]["cidr"] for peer in rules[-1]["to"]]
    assert allowed == ["10.96.0.0/12", "192.168.7.9/32", "fd00:1::7/128"]
    assert len(of(render({}), "NetworkPolicy")["spec"]["egress"]) == 3


def test_the_alerts_and_the_dashboard_are_the_files() -> None:
    manifests = render(PRODUCTION)
    assert of(manifests, "PrometheusRule")["spec"] == yaml.safe_load(RULES.read_text())
    dashboard = of(manifests, "ConfigMap")["data"]["webhook-worker.json"]
    file = CHART.parent.parent / "grafana" / "dashboard.json"
    assert json.loads(dashboard) == json.loads(file.read_text())


def test_an_eviction_is_never_blocked_by_a_pod_that_is_not_ready() -> None:
    for name, ending in (("worker", "-worker"), ("api", "-api")):
        budget = of(render(PRODUCTION), "PodDisruptionBudget", ending)["spec"]
        assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        assert budget["selector"]["matchLabels"]["app.kubernetes.io/component"] == name


def test_scaling_looks_at_the_queues_that_hold_work_now() -> None:
    scaled = of(render(SCALED), "ScaledObject")["spec"]
    triggers = [trigger["metadata"] for trigger in scaled["triggers"]]
    assert [trigger["queueName"] for trigger in triggers] == ["webhooks.events", "webhooks.retries"]
    assert {trigger["protocol"] for trigger in triggers} == {"http"}
    assert scaled["fallback"]["replicas"] >= 1
    assert "replicas" not in of(render(SCALED), "Deployment")["spec"]


def test_a_secret_of_ones_own_is_used_instead() -> None:
    manifests = render(PRODUCTION)
    assert not [m for m in manifests if m["kind"] == "Secret"]
    references = [e["valueFrom"]["secretKeyRef"]["name"] for e in pods(manifests)[0]["containers"][0]["env"][:2]]
    assert references == ["webhooks", "webhooks"]


def test_no_secret_stands_outside_the_secret() -> None:
    others = json.dumps([m for m in render(SCALED) if m["kind"] != "Secret"])
    assert not [value for value in SCALED["secrets"].values() if value in others and "://" in value]


def test_the_version_stands_in_one_place() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == __version__


def described(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for name, value in schema.get("properties", {}).items():
        yield f"{path}{name}", value.get("description", "")
        yield from described(value, f"{path}{name}.")


def test_every_value_is_described() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    found = dict(described(schema))
    assert [path for path, text in found.items() if not text.endswith((".", ")"))] == []
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(values) == set(schema["properties"]) - {"global"}
