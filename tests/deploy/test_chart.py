"""The Helm chart: valid for Kubernetes, careful with the drain, strict about what a deployment cannot be."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from tests.deploy.alerts import RULES
from tests.deploy.chart import (
    CHART,
    NEWEST,
    OLDEST,
    PRODUCTION,
    SCALED,
    SETS,
    Manifest,
    environment,
    of,
    pods,
    render,
    validate,
)
from tests.deploy.rules.server import violations
from worker import __version__
from worker.stores.file.format import parse


@pytest.fixture(scope="module", params=SETS)
def rendered(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(SETS[request.param])


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


@pytest.mark.parametrize(("given", "rendered"), [("", None), ("-", ""), ("fast", "fast"), ("123", "123")])
def test_a_storage_class_is_the_default_none_or_the_named_one(given: str, rendered: str | None) -> None:
    claim = of(render({"database": {"persistence": {"storageClass": given}}}), "PersistentVolumeClaim")
    assert claim["spec"].get("storageClassName") == rendered


def test_the_alerts_and_the_dashboard_are_the_files() -> None:
    manifests = render(PRODUCTION)
    assert of(manifests, "PrometheusRule")["spec"] == yaml.safe_load(RULES.read_text())
    dashboard = of(manifests, "ConfigMap")["data"]["webhook-worker.json"]
    file = CHART.parent.parent / "grafana" / "dashboard.json"
    assert json.loads(dashboard) == json.loads(file.read_text())


def test_a_package_of_it_holds_the_alerts_and_the_dashboard_too(tmp_path: Path) -> None:
    """In the repository they are links, so that each exists once."""
    with helm_python.Chart.load(CHART) as chart:
        package = chart.save(tmp_path)
        here = chart.render(PRODUCTION, name="demo", namespace="chat")
    with helm_python.Chart.load(package) as packaged:
        assert packaged.render(PRODUCTION, name="demo", namespace="chat") == here


README = (CHART.parent.parent / "README.md").read_text()
EXAMPLES = [yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)]


def test_the_values_of_each_particular_cluster_are_accepted_over_the_example() -> None:
    openshift, ca, proxy, file = EXAMPLES[1:]
    for values in (openshift, ca, proxy, file):
        manifests = render(EXAMPLES[0] | values)
        assert violations(manifests) == []
        for manifest in manifests:
            validate(manifest, NEWEST)
    contexts = [pod["securityContext"] for pod in pods(render(EXAMPLES[0] | openshift))]
    assert not [context for context in contexts if context.keys() & {"runAsUser", "runAsGroup", "fsGroup"}]
    (env,) = {environment(pod)["SSL_CERT_FILE"] for pod in pods(render(EXAMPLES[0] | ca))}
    (mount,) = ca["extraVolumeMounts"]
    assert env == f"{mount['mountPath']}/{ca['extraVolumes'][0]['configMap']['items'][0]['path']}"
    proxied = [container["env"] for pod in pods(render(EXAMPLES[0] | proxy)) for container in pod["containers"]]
    assert [{"EGRESS_PROXY", "NO_PROXY"} - {one["name"] for one in env} for env in proxied] == [set()] * len(proxied)
    (webhook,) = parse(of(render(EXAMPLES[0] | file), "Secret", "-file")["stringData"]["webhooks.toml"].encode())
    assert webhook.instance == "demo"


RESTRICTED_V2_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"
}  # fmt: skip
"""OpenShift 4.11 and later: SecurityContextConstraints restricted-v2, the only ones that every namespace may use."""


@pytest.mark.parametrize("name", SETS)
def test_openshifts_restricted_constraints_are_kept_with_the_readmes_values(name: str) -> None:
    _, openshift, *_ = EXAMPLES
    for pod in pods(render(SETS[name] | openshift)):
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC", "hostUsers"}
        assert {kind for volume in pod.get("volumes", []) for kind in volume if kind != "name"} <= RESTRICTED_V2_VOLUMES
        inherited = pod["securityContext"]
        assert inherited == {"runAsNonRoot": True, "fsGroupChangePolicy": "OnRootMismatch"} | {
            "seccompProfile": {"type": "RuntimeDefault"}
        }
        for container in (*pod["containers"], *pod.get("initContainers", [])):
            assert not [port for port in container.get("ports", []) if "hostPort" in port]
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert not context.keys() & {"privileged", "runAsUser", "runAsGroup", "seLinuxOptions", "procMount"}


def test_the_example_of_the_readme_is_accepted() -> None:
    kinds = [manifest["kind"] for manifest in render(EXAMPLES[0])]
    assert {"PodMonitor", "PrometheusRule", "ConfigMap", "NetworkPolicy"} <= set(kinds)
    assert kinds.count("Deployment") == 2


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
