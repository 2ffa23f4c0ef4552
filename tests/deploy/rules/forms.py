"""Forms that a Kubernetes API server holds texts and numbers to: names, labels, ports, quantities, selectors."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

Manifest = dict[str, Any]

LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
SUBDOMAIN = r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
SERVICE = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
KEY = (
    r"((?=[^/]{1,253}/)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
VALUE = r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"
DATA_KEY = r"(?!\.\.?$)[-._a-zA-Z0-9]{1,253}"
QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
IMAGE = (
    r"(([A-Za-z0-9.-]+(:[0-9]{1,5})?)/)?[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?(@sha256:[0-9a-f]{64})?"
)
FACTORS = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
FACTORS |= {f"{letter}i": 1024.0**power for power, letter in enumerate("KMGT", 1)}


def twice(what: str, names: Iterable[object]) -> Iterator[str]:
    yield from (f"{what} {name} is there {count} times" for name, count in Counter(names).items() if count > 1)


def form(what: str, pattern: str, *texts: object) -> Iterator[str]:
    for text in texts:
        if not isinstance(text, str) or not re.fullmatch(pattern, text, re.ASCII):
            yield f"{what} {text!r:.100} has not the form that it needs"


def labels(labels: dict[str, Any]) -> Iterator[str]:
    yield from form("label", KEY, *labels)
    yield from form("label's value", VALUE, *labels.values())


def annotations(annotations: dict[str, Any]) -> Iterator[str]:
    yield from form("annotation", KEY, *annotations)
    yield from form("annotation's value", r"(?s:.*)", *annotations.values())
    if sum(len(str(part)) for pair in annotations.items() for part in pair) > 256 * 1024:
        yield "annotations are more than 256 KiB"


def port_range(ports: Iterable[Any]) -> Iterator[str]:
    yield from (
        f"port {port} is not from 1 to 65535" for port in ports if type(port) is not int or not 0 < port < 65536
    )


def quantity(text: object) -> float | None:
    """As a number; None for what is no quantity."""
    match = QUANTITY.fullmatch(str(text))
    return float(match[1]) * FACTORS[match[2] or ""] if match else None


def requirements(value: Any) -> Iterator[str]:
    """Of label and node selectors, wherever they stand."""
    if isinstance(value, list):
        for item in value:
            yield from requirements(item)
    elif isinstance(value, dict):
        yield from labels(value.get("matchLabels") or {})
        if "operator" in value:
            yield from _requirement(value)
        if value.get("nodeSelectorTerms") == []:
            yield "nodeSelectorTerms is empty"
        for item in value.values():
            yield from requirements(item)


def _requirement(requirement: dict[str, Any]) -> Iterator[str]:
    operator, values = requirement["operator"], requirement.get("values") or []
    yield from form("key", KEY, requirement["key"])
    most, least = {"In": (99, 1), "NotIn": (99, 1), "Gt": (1, 1), "Lt": (1, 1)}.get(operator, (0, 0))
    if not least <= len(values) <= most:
        yield f"{operator} with {len(values)} values"
