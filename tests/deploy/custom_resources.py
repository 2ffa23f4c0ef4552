"""Strict schemas for the parts of foreign custom resources that the chart uses; Kubernetes' own schemas lack them.

Field names and types as in the documentation of the Prometheus operator (monitoring.coreos.com/v1) and of KEDA
(keda.sh/v1alpha1): https://prometheus-operator.dev/docs/api-reference/api/ and https://keda.sh/docs/latest/reference/.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string", "minLength": 1}
NUMBER: Schema = {"type": "integer", "minimum": 0}
LABELS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
DURATION: Schema = {"type": "string", "pattern": r"^([0-9]+(ms|s|m|h|d))+$"}


def exactly(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """An object with these fields and no other."""
    properties = required | (optional or {})
    return {"type": "object", "required": list(required), "properties": properties, "additionalProperties": False}


def several(item: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "items": item}


def resource(version: str, kind: str, spec: Schema) -> Schema:
    metadata = exactly({"name": TEXT}, {"labels": LABELS, "annotations": LABELS})
    return exactly({"apiVersion": {"const": version}, "kind": {"const": kind}, "metadata": metadata, "spec": spec})


RULE = exactly(
    {"expr": TEXT}, {"record": TEXT, "alert": TEXT, "for": DURATION, "labels": LABELS, "annotations": LABELS}
)
TRIGGER = exactly({"type": TEXT, "metadata": LABELS}, {"authenticationRef": exactly({"name": TEXT})})

SCHEMAS: dict[str, Schema] = {
    "PodMonitor": resource(
        "monitoring.coreos.com/v1",
        "PodMonitor",
        exactly(
            {
                "selector": exactly({"matchLabels": LABELS}),
                "podMetricsEndpoints": several(exactly({"port": TEXT, "path": TEXT, "interval": DURATION})),
            }
        ),
    ),
    "PrometheusRule": resource(
        "monitoring.coreos.com/v1",
        "PrometheusRule",
        exactly({"groups": several(exactly({"name": TEXT, "rules": several(RULE)}, {"interval": DURATION}))}),
    ),
    "ScaledObject": resource(
        "keda.sh/v1alpha1",
        "ScaledObject",
        exactly(
            {"scaleTargetRef": exactly({"name": TEXT}), "triggers": several(TRIGGER)},
            {
                "minReplicaCount": NUMBER,
                "maxReplicaCount": NUMBER,
                "pollingInterval": NUMBER,
                "fallback": exactly({"failureThreshold": NUMBER, "replicas": NUMBER}, {"behavior": TEXT}),
                "advanced": exactly({"horizontalPodAutoscalerConfig": exactly({"behavior": {"type": "object"}})}),
            },
        ),
    ),
    "TriggerAuthentication": resource(
        "keda.sh/v1alpha1",
        "TriggerAuthentication",
        exactly({"secretTargetRef": several(exactly({"parameter": TEXT, "name": TEXT, "key": TEXT}))}),
    ),
}
