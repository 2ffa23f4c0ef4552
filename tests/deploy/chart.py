"""The Helm chart, rendered by Helm's own library, and checked against the Kubernetes schemas; both work offline."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import helm_python
import jsonschema
import kubernetes_validate
import yaml
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

from tests.deploy.alerts import DEPLOY
from tests.deploy.custom_resources import SCHEMAS

CHART = DEPLOY / "helm" / "webhook-worker"
Values = dict[str, Any]
Manifest = dict[str, Any]

OLDEST, NEWEST = "1.27.0", kubernetes_validate.latest_version()
"""Kubernetes versions: the chart's kubeVersion, and the newest schema that there is."""

PRODUCTION: Values = {
    "replicaCount": 3,
    "image": {"repository": "registry.example/webhook-worker", "digest": f"sha256:{'a' * 64}"},
    "imagePullSecrets": [{"name": "registry"}],
    "secrets": {"existingSecret": "webhooks"},
    "database": {"kind": "postgresql"},
    "requestTimeoutMs": 45_500,
    "egressAllow": ["10.96.0.0/12", "192.168.7.9", "fd00:1::7"],
    "settings": {"WORKER_CONCURRENCY": 1_000_000, "BREAKER_FAILURE_RATE": 0.5, "WEBHOOK_FORWARD_APIKEY": False},
    "api": {"enabled": True},
    "migrationJob": {"enabled": True},
    "autoscaling": {"kind": "hpa", "minReplicas": 3, "maxReplicas": 12},
    "networkPolicy": {
        "database": {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [5432]},
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        "apiFrom": [{"podSelector": {"matchLabels": {"app": "evolution"}}}],
    },
    "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True},
    "dashboard": {"enabled": True},
    "podLabels": {"team": "chat"},
    "podAnnotations": {"example.com/note": "yes"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
}
SCALED: Values = {
    "secrets": {
        "rabbitmqUri": "amqps://user:p%40ss@broker.example/chat",
        "databaseUri": "mysql://user:password@db.example/webhooks",
        "webhookSecretKey": f"{'A' * 42}E=",
        "apiKey": "api",
        "managementUri": "http://user:p%40ss@broker.example:15672/chat",
    },
    "database": {"kind": "mysql"},
    "drainSeconds": 90,
    "autoscaling": {"kind": "keda"},
    "podDisruptionBudget": {"maxUnavailable": "25%"},
    "serviceAccount": {"name": "courier", "annotations": {"example.com/role": "worker"}},
}
HISTORY_APART: Values = SCALED | {
    "secrets": SCALED["secrets"]
    | {
        "historyDatabaseUri": "postgresql://user:p%40ss@history.example/history",
        "instanceTokensUri": "postgresql://user:p%40ss@evolution.example/evolution?schema=public",
        "opsWebhookUrl": "https://hooks.slack.com/services/T0/B0/token",
        "opsWebhookSecret": f"whsec_{'A' * 32}",
    },
    "api": {"enabled": True},
    "history": {"keep": "all", "days": 30},
    "historyWriter": {"enabled": True, "replicaCount": 2},
    "opsWebhookFormat": "slack",
    "podMonitor": {"enabled": True},
}
SETS: dict[str, Values] = {
    "default": {},
    "production": PRODUCTION,
    "scaled by KEDA": SCALED,
    "history apart": HISTORY_APART,
}


class _Unique(yaml.CSafeLoader):
    """Refuses a key that is there twice, as an API server does with strict field validation."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(keys) > len(set(keys)):
            raise yaml.constructor.ConstructorError(problem=f"a key is there twice: {sorted(keys)}")
        return super().construct_mapping(node, deep)


def render(values: Values, name: str = "demo", cluster: helm_python.Config | None = None) -> list[Manifest]:
    """Every manifest of the chart for these values. Raises helm_python.HelmError when the chart refuses them.

    `cluster`: where the chart may look up what is there; without one it finds nothing.
    """
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(chart.merge_values(values))
        if cluster is None:
            files = chart.render(values, name=name, namespace="chat")
        else:
            files = cluster.render(chart, values, name=name, namespace="chat", is_upgrade=True)
    return manifests_of(text for file, text in files.items() if file.endswith(".yaml"))


def manifests_of(texts: Iterable[str]) -> list[Manifest]:
    """Raises yaml.YAMLError for what is no YAML or holds a key twice."""
    return [manifest for text in texts for manifest in yaml.load_all(text, _Unique) if manifest]


def of(manifests: list[Manifest], kind: str, ending: str = "") -> Manifest:
    """The one manifest of a kind, and with `ending` of a name that ends so."""
    (found,) = [m for m in manifests if m["kind"] == kind and m["metadata"]["name"].endswith(ending)]
    return found


def pods(manifests: list[Manifest]) -> list[dict[str, Any]]:
    return [m["spec"]["template"]["spec"] for m in manifests if m["kind"] == "Deployment"]


def templates(manifests: list[Manifest]) -> list[Manifest]:
    """Of every pod, that of the migration's job included."""
    return [m["spec"]["template"] for m in manifests if m["kind"] in ("Deployment", "Job")]


def environment(pod: dict[str, Any]) -> dict[str, str]:
    """What a pod's container is given in plain text; secrets as `secret:<key>`."""
    entries = pod["containers"][0]["env"]
    return {e["name"]: e.get("value") or f"secret:{e['valueFrom']['secretKeyRef']['key']}" for e in entries}


def validate(manifest: Manifest, version: str) -> None:
    """Strictly: an unknown field is an error. Raises ValidationError."""
    schema = SCHEMAS.get(manifest["kind"])
    if schema is None:
        _validator(manifest["kind"], manifest["apiVersion"], version).validate(manifest)
    else:
        jsonschema.validate(manifest, schema)


@cache
def _validator(kind: str, api_version: str, version: str) -> jsonschema.Draft202012Validator:
    """Of kubernetes_validate's own schemas; its `validate` reads 1.5 MB of definitions anew for every manifest."""
    folder = f"kubernetes-json-schema/v{version}-local-strict"
    group = api_version.replace(".k8s.io", "").replace("/", "-")
    resources = [
        Resource.from_contents(schema_contents(f"{folder}/{name}.json", version))
        for name in (f"{kind.lower()}-{group}", "_definitions")
    ]
    return jsonschema.Draft202012Validator(resources[0].contents, registry=resources @ Registry())
