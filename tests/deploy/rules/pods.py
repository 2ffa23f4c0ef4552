"""A pod and its template: containers, environment, volumes and what refers to what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.deploy.rules.forms import (
    DATA_KEY,
    IMAGE,
    LABEL,
    SUBDOMAIN,
    Manifest,
    annotations,
    form,
    labels,
    port_range,
    quantity,
    requirements,
    twice,
)


def workload(manifest: Manifest) -> Iterator[str]:
    spec = manifest["spec"]
    template = spec["template"]
    if manifest["kind"] == "Deployment":
        if not spec["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items():
            yield "selector does not match the template's labels"
        if spec.get("replicas", 0) is None:
            yield "replicas is null"
    yield from labels(template["metadata"]["labels"])
    yield from annotations(template["metadata"].get("annotations") or {})
    yield from pod(template["spec"])


def pod(pod: dict[str, Any]) -> Iterator[str]:
    volumes = [volume["name"] for volume in pod.get("volumes") or []]
    yield from twice("volume", volumes)
    yield from form("volume", LABEL, *volumes)
    for volume in pod.get("volumes") or []:
        if len(volume) != 2:
            yield f"volume {volume['name']} has not exactly one source"
        yield from _references(volume)
    containers = [*(pod.get("initContainers") or []), *pod["containers"]]
    yield from twice("container", (container["name"] for container in containers))
    for container in containers:
        yield from _container(container, volumes, pod.get("securityContext") or {})
    yield from _references({k: pod[k] for k in ("imagePullSecrets", "serviceAccountName") if k in pod})
    yield from labels(pod.get("nodeSelector") or {})
    for toleration in pod.get("tolerations") or []:
        yield from _toleration(toleration)
    yield from requirements(pod.get("affinity") or {})
    for spread in pod.get("topologySpreadConstraints") or []:
        yield from labels(spread["labelSelector"]["matchLabels"])
    yield from form("priorityClassName", SUBDOMAIN, *filter(None, [pod.get("priorityClassName", "")]))


_NAMED = {"configMap", "secret", "secretKeyRef", "configMapKeyRef", "configMapRef", "secretRef", "imagePullSecrets"}


def _references(value: Any, key: str = "") -> Iterator[str]:
    """Names of other objects, of keys in them, and paths below a volume, wherever they stand."""
    if isinstance(value, list):
        for item in value:
            yield from _references(item, key)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in ("claimName", "secretName", "serviceAccountName") or (name == "name" and key in _NAMED):
                yield from form(name, SUBDOMAIN, item)
            elif name == "key" and key in _NAMED | {"items"}:
                yield from form(name, DATA_KEY, item)
            elif name == "path" and key in ("items", "serviceAccountToken"):
                yield from _path(item)
            else:
                yield from _references(item, name)


def _path(path: str) -> Iterator[str]:
    if not path or path.startswith(("/", "..")) or ".." in path.split("/"):
        yield f"path {path!r} leaves its volume"


def _container(container: dict[str, Any], volumes: list[str], pod_context: dict[str, Any]) -> Iterator[str]:
    yield from form("container", LABEL, container["name"])
    yield from form("image", IMAGE, container["image"])
    yield from _env(container)
    yield from _ports(container)
    mounts = container.get("volumeMounts") or []
    yield from twice("mountPath", (mount["mountPath"] for mount in mounts))
    for mount in mounts:
        if mount["name"] not in volumes:
            yield f"mount of a volume {mount['name']} that is not there"
        yield from form("mountPath", r"/[^:\0]*", mount["mountPath"])
        yield from _path(mount.get("subPath", "x"))
    yield from _resources(container.get("resources") or {})
    context = pod_context | (container.get("securityContext") or {})
    if context.get("runAsNonRoot") and context.get("runAsUser") == 0:
        yield "runAsUser 0 with runAsNonRoot"


def _env(container: dict[str, Any]) -> Iterator[str]:
    env = container.get("env") or []
    yield from twice("environment variable", (entry["name"] for entry in env))
    yield from form("environment variable", r"[A-Za-z_][A-Za-z0-9_.-]*", *(entry["name"] for entry in env))
    for entry in env:
        if "valueFrom" in entry:
            if "value" in entry or len(entry["valueFrom"]) != 1:
                yield f"environment variable {entry['name']} has more than one value"
            yield from _references(entry["valueFrom"])
    for source in container.get("envFrom") or []:
        if len(source.keys() - {"prefix"}) != 1:
            yield "envFrom has not exactly one source"
        yield from _references(source)


def _ports(container: dict[str, Any]) -> Iterator[str]:
    ports = container.get("ports") or []
    yield from twice("port", (port["name"] for port in ports))
    yield from twice("port", ((port["containerPort"], port.get("protocol", "TCP")) for port in ports))
    yield from form("port", r"(?=.*[a-z])[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?", *(port["name"] for port in ports))
    yield from port_range(port["containerPort"] for port in ports)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        if probe in container and container[probe]["httpGet"]["port"] not in {port["name"] for port in ports}:
            yield f"{probe} asks a port that is not there"


def _resources(resources: dict[str, Any]) -> Iterator[str]:
    amounts = {(kind, name): quantity(text) for kind in resources for name, text in (resources[kind] or {}).items()}
    yield from (f"{kind}.{name} is no quantity" for (kind, name), amount in amounts.items() if amount is None)
    for (kind, name), amount in amounts.items():
        most = amounts.get(("limits", name))
        if kind == "requests" and amount is not None and most is not None and amount > most:
            yield f"requests.{name} is more than limits.{name}"


def _toleration(toleration: dict[str, Any]) -> Iterator[str]:
    exists = toleration.get("operator", "Equal") == "Exists"
    if exists and toleration.get("value"):
        yield "toleration: a value with Exists"
    if not exists and not toleration.get("key"):
        yield "toleration: no key with Equal"
    if "tolerationSeconds" in toleration and toleration.get("effect") != "NoExecute":
        yield "toleration: seconds without NoExecute"
    yield from labels({toleration["key"]: toleration.get("value", "")} if toleration.get("key") else {})
