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
    Values,
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
        (SCALED | {"migrationJob": {"enabled": True}}, "needs a database server and secrets.existingSecret"),
        ({"settings": {"RABBITMQ_URI": "amqp://h/"}}, "settings.RABBITMQ_URI"),
        ({"settings": {"worker_concurrency": 1}}, "worker_concurrency"),
        ({"database": {"kind": "oracle"}}, "kind"),
        ({"replicas": 2}, "replicas"),
        ({"settings": {"RABBITMQ_URI_FILE": "/run/uri"}}, "settings.RABBITMQ_URI_FILE"),
        ({"egressAllow": ["example.com"]}, "egressAllow"),
    ],
)
def test_it_refuses_what_would_not_work(values: Values, words: str) -> None:
    with pytest.raises(helm_python.HelmError, match=words):
        render(values)


FILE: Values = {"settings": {"WEBHOOK_SOURCE": "file"}}
CA = {"name": "ca", "configMap": {"name": "company-ca"}}
MOUNT = {"name": "ca", "mountPath": "/etc/ca"}
INIT: Values = {"name": "first", "image": "busybox:1"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"api": {"enabled": True, "port": 9464}, "secrets": {"apiKey": "k"}}, "both 9464: a pod needs two ports"),
        ({"egressAllow": ["10.1.2.3/8"]}, "10.1.2.3/8 has bits beyond its prefix of 8"),
        ({"egressAllow": ["fd00::1/64"]}, "fd00::1/64 has bits beyond its prefix of 64"),
        ({"egressAllow": ["010.0.0.0/8"]}, "010.0.0.0/8 is no address and no network"),
        ({"egressAllow": ["10.0.0.0/08"]}, "10.0.0.0/08 is no address and no network"),
        ({"egressAllow": ["10.0.0.0/33"]}, "is no address and no network"),
        ({"egressAllow": ["1:2:3:4:5:6:7:8:9"]}, "is no address and no network"),
        ({"egressAllow": ["::ffff:10.0.0.1"]}, "is no address and no network"),
        ({"egressAllow": ["::ffff:a00:0/104"]}, "IPv4 address written as IPv6"),
        ({"networkPolicy": {"dns": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}}, "networkPolicy.dns: 10.0.0.1/8 has bits"),
        ({"networkPolicy": {"dns": [{"ipBlock": {"cidr": "10.0.0.1"}}]}}, "/networkPolicy/dns/0"),
        (
            {"networkPolicy": {"apiFrom": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}},
            "except 11.0.0.0/16 is not a part of 10.0.0.0/8",
        ),
        ({"networkPolicy": {"broker": {"to": [{}]}}}, "/networkPolicy/broker/to/0"),
        ({"networkPolicy": {"broker": {"ports": []}}}, "/networkPolicy/broker/ports"),
        ({"podLabels": {"app.kubernetes.io/name": "x"}}, "podLabels: app.kubernetes.io/name is set by the chart"),
        ({"podLabels": {"app.kubernetes.io/component": "x"}}, "component is set by the chart"),
        ({"podLabels": {"a": "x" * 64}}, "/podLabels/a"),
        ({"podLabels": {"a/b/c": "x"}}, "a/b/c"),
        ({"podAnnotations": {"checksum/secret": "x"}}, "checksum/secret is set by the chart"),
        ({"dashboard": {"enabled": True, "labels": {"helm.sh/chart": "x"}}}, "helm.sh/chart is set by the chart"),
        ({"resources": {"requests": {"memory": "2Gi"}}}, "requests.memory .2Gi. is more than limits.memory .1Gi."),
        ({"resources": {"limits": {"cpu": "400m"}}}, "requests.cpu .500m. is more than limits.cpu .400m."),
        ({"resources": {"requests": {"memory": "256MB"}}}, "/resources/requests/memory"),
        (PRODUCTION | {"resources": {"requests": {"cpu": None}}}, "resources.requests.cpu, which is missing"),
        ({"podDisruptionBudget": {"maxUnavailable": "101%"}}, "/podDisruptionBudget/maxUnavailable"),
        ({"metricsPort": 65536}, "/metricsPort"),
        ({"metricsPort": None}, "missing property 'metricsPort'"),
        ({"image": {"tag": "a b"}}, "/image/tag"),
        ({"image": {"repository": "Registry/UPPER"}}, "/image/repository"),
        ({"database": {"persistence": {"size": "0Gi"}}}, "/database/persistence/size"),
        ({"tolerations": [{"operator": "Exists", "value": "x"}]}, "/tolerations/0"),
        ({"tolerations": [{"key": "a", "tolerationSeconds": 5}]}, "/tolerations/0"),
        ({"affinity": {"nodeAffinty": {}}}, "nodeAffinty"),
        ({"serviceAccount": {"name": "A b"}}, "/serviceAccount/name"),
        ({"extraEnv": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, "A is there twice"),
        ({"extraEnv": [{"name": "a b", "value": "1"}]}, "/extraEnv/0"),
        ({"extraEnv": [{"name": "METRICS_PORT", "value": "1"}]}, "extraEnv.METRICS_PORT: has a value of its own"),
        ({"extraEnv": [{"name": "WEBHOOK_SOURCE", "value": "file"}]}, "write settings.WEBHOOK_SOURCE"),
        ({"extraVolumes": [CA, CA]}, "extraVolumes: ca is there twice"),
        ({"extraVolumes": [CA | {"name": "tmp"}]}, "extraVolumes: tmp is there twice"),
        ({"extraVolumes": [CA | {"secret": {"secretName": "x"}}]}, "/extraVolumes/0"),
        ({"extraVolumeMounts": [MOUNT]}, "extraVolumeMounts: there is no volume ca"),
        ({"extraVolumes": [CA], "extraVolumeMounts": [MOUNT | {"mountPath": "/tmp"}]}, "/tmp is there twice"),
        ({"initContainers": [INIT | {"name": "worker"}]}, "initContainers: worker is there twice"),
        (
            {"initContainers": [INIT | {"volumeMounts": [MOUNT]}]},
            "initContainers.first.volumeMounts: there is no volume",
        ),
        (FILE, "the pods have no file"),
        ({"settings": FILE["settings"] | {"WEBHOOK_FILE": "/data/webhooks.toml"}}, "the pods have no file"),
        (FILE | {"webhookFile": {"content": "x", "existingSecret": "y"}}, "one of content, existingSecret"),
        ({"webhookFile": {"content": "x"}}, "settings.WEBHOOK_SOURCE: file only"),
        (
            {
                "settings": FILE["settings"] | {"WEBHOOK_FILE": "/etc/ca/f"},
                "webhookFile": {"content": "x"},
                "extraVolumes": [CA],
                "extraVolumeMounts": [MOUNT],
            },
            "settings.WEBHOOK_FILE: webhookFile has its path",
        ),
        ({"settings": {"WEBHOOK_SOURCE": "redis"}}, "own, evolution or file"),
        ({"settings": {"WEBHOOK_SOURCE": "Evolution"}}, "set database.kind to that of Evolution's database"),
    ],
)
def test_it_refuses_what_a_server_would_refuse_or_a_pod_would_fail_by(values: Values, words: str) -> None:
    with pytest.raises(helm_python.HelmError, match=words):
        render(values)


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
    openshift, ca, file = EXAMPLES[1:]
    for values in (openshift, ca, file):
        manifests = render(EXAMPLES[0] | values)
        assert violations(manifests) == []
        for manifest in manifests:
            validate(manifest, NEWEST)
    contexts = [pod["securityContext"] for pod in pods(render(EXAMPLES[0] | openshift))]
    assert not [context for context in contexts if context.keys() & {"runAsUser", "runAsGroup", "fsGroup"}]
    (env,) = {environment(pod)["SSL_CERT_FILE"] for pod in pods(render(EXAMPLES[0] | ca))}
    (mount,) = ca["extraVolumeMounts"]
    assert env == f"{mount['mountPath']}/{ca['extraVolumes'][0]['configMap']['items'][0]['path']}"
    (webhook,) = parse(of(render(EXAMPLES[0] | file), "Secret", "-file")["stringData"]["webhooks.toml"].encode())
    assert webhook.instance == "demo"


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
