"""How many pods an upgrade leaves: replicaCount, or under an autoscaler as many as it made."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.api_server import cluster
from tests.deploy.chart import PRODUCTION, SCALED, Values, of, render


def replicas(values: Values, live: int | None, name: str = "demo-webhook-worker") -> Any:
    """Of the Deployment that an upgrade renders where one with `live` replicas is; None: left out."""
    metadata = {"name": name, "namespace": "chat"}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": live}}
    with cluster(None if live is None else deployment) as there:
        return of(render(values, cluster=there), "Deployment", "-worker")["spec"].get("replicas")


@pytest.mark.parametrize("values", [PRODUCTION, SCALED], ids=["hpa", "keda"])
@pytest.mark.parametrize("live", [0, 1, 3, 500])
def test_an_upgrade_under_an_autoscaler_keeps_the_replicas_that_there_are(values: Values, live: int) -> None:
    """Left out after `replicaCount: 3`, the server would make it 1 at once. 0: somebody stopped it."""
    assert replicas(values, live) == live


def test_a_first_installation_leaves_the_number_to_the_autoscaler() -> None:
    assert replicas(SCALED, None) is None
    assert replicas(SCALED, 7, "another-webhook-worker") is None


def test_without_an_autoscaler_it_is_replica_count_whatever_there_is() -> None:
    assert replicas(PRODUCTION | {"autoscaling": {"kind": "none"}}, 7) == PRODUCTION["replicaCount"]
