"""What a Kubernetes API server refuses beyond its published schemas, for the kinds that the chart makes.

The schemas know fields and types. Names, references between fields, networks and quantities are judged by code of the
server (k8s.io/kubernetes pkg/apis/*/validation, as of 1.36 with strict networks); the rules here say the same in
short. Some it lets pass, and a pod fails by them: a probe of no port, user 0 with runAsNonRoot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.deploy.rules.forms import (
    DATA_KEY,
    SERVICE,
    SUBDOMAIN,
    Manifest,
    annotations,
    form,
    labels,
    port_range,
    quantity,
    twice,
)
from tests.deploy.rules.networks import policy
from tests.deploy.rules.pods import workload


def violations(manifests: list[Manifest]) -> list[str]:
    """Everything that a server would refuse, or a node fail by, each with the manifest's kind and name."""
    found = [*_together(manifests)]
    for manifest in manifests:
        where = f"{manifest['kind']}/{manifest['metadata']['name']}"
        judges = [_metadata, *_JUDGES.get(manifest["kind"], [])]
        found += [f"{where}: {problem}" for judge in judges for problem in judge(manifest)]
    return found


def _together(manifests: list[Manifest]) -> Iterator[str]:
    """Of one release: no name twice, and what refers to pods finds some."""
    yield from twice("manifest", ((m["kind"], m["metadata"]["name"]) for m in manifests))
    pods = [m["spec"]["template"]["metadata"]["labels"] for m in manifests if m["kind"] in ("Deployment", "Job")]
    for manifest in manifests:
        for selector in _selectors(manifest):
            if not any(selector.items() <= there.items() for there in pods):
                yield f"{manifest['kind']}/{manifest['metadata']['name']}: selects no pod: {selector}"


def _selectors(manifest: Manifest) -> Iterator[dict[str, str]]:
    spec = manifest.get("spec", {})
    match manifest["kind"]:
        case "Service":
            yield spec["selector"]
        case "PodDisruptionBudget" | "PodMonitor":
            yield spec["selector"]["matchLabels"]
        case "NetworkPolicy":
            yield spec["podSelector"]["matchLabels"]


def _metadata(manifest: Manifest) -> Iterator[str]:
    metadata = manifest["metadata"]
    yield from form("name", SERVICE if manifest["kind"] == "Service" else SUBDOMAIN, metadata["name"])
    yield from labels(metadata.get("labels") or {})
    yield from annotations(metadata.get("annotations") or {})


def _autoscaler(manifest: Manifest) -> Iterator[str]:
    spec = manifest["spec"]
    if not 1 <= spec["minReplicas"] <= spec["maxReplicas"]:
        yield "minReplicas is not from 1 to maxReplicas"
    for metric in spec.get("metrics") or [{}]:
        if not (metric.get("resource") or {}).get("target", {}).get("averageUtilization"):
            yield "a metric has no target"


def _scaled_object(manifest: Manifest) -> Iterator[str]:
    spec = manifest["spec"]
    if spec["minReplicaCount"] > spec["maxReplicaCount"]:
        yield "minReplicaCount is more than maxReplicaCount"
    if not spec["triggers"] or not all(all(trigger["metadata"].values()) for trigger in spec["triggers"]):
        yield "a trigger says nothing"


def _budget(manifest: Manifest) -> Iterator[str]:
    spec = manifest["spec"]
    given = [spec[key] for key in ("minAvailable", "maxUnavailable") if key in spec]
    if len(given) != 1:
        yield "one of minAvailable and maxUnavailable"
    elif isinstance(given[0], str):
        yield from form("share", r"(100|[1-9]?[0-9])%", given[0])


def _service(manifest: Manifest) -> Iterator[str]:
    ports = manifest["spec"]["ports"]
    yield from port_range(port["port"] for port in ports)
    yield from twice("port", (port["name"] for port in ports))
    if manifest["spec"].get("ipFamilyPolicy", "SingleStack") not in (
        "SingleStack",
        "PreferDualStack",
        "RequireDualStack",
    ):
        yield "ipFamilyPolicy"


def _data(manifest: Manifest) -> Iterator[str]:
    data = manifest.get("stringData") or manifest.get("data") or {}
    yield from form("key", DATA_KEY, *data)
    if sum(len(str(value).encode()) for value in data.values()) > 1024 * 1024:
        yield "data is more than 1 MiB"


def _claim(manifest: Manifest) -> Iterator[str]:
    size = quantity(manifest["spec"]["resources"]["requests"]["storage"])
    if not size:
        yield "storage is nothing"
    yield from form("storageClassName", SUBDOMAIN, *filter(None, [manifest["spec"].get("storageClassName")]))


_JUDGES: dict[str, list[Callable[[Manifest], Iterator[str]]]] = {
    "Deployment": [workload],
    "Job": [workload],
    "NetworkPolicy": [policy],
    "HorizontalPodAutoscaler": [_autoscaler],
    "ScaledObject": [_scaled_object],
    "PodDisruptionBudget": [_budget],
    "Service": [_service],
    "Secret": [_data],
    "ConfigMap": [_data],
    "PersistentVolumeClaim": [_claim],
}
