"""Random walks of replicas over a model of the brokers, which drive the core itself: nothing is turned round or left.

`python -m tests.proof.order` does thousands. That the walks can find something is shown by sabotage: each protection
that is taken away lets one of them find an inversion.
"""

from collections.abc import Iterable
from typing import Any

import pytest

from tests.ordered.model_world import Verdict, World
from worker.ordered.deciding.lease import Lease

WALKS = 40
SEEDS = {"lease": (23, 29), "counts": (11, 53), "cancels": (17, 18)}
"""Walks that find each sabotage. After a change of the model or the core, tests.proof.order finds others."""


def found(seeds: Iterable[int], **sabotage: Any) -> Verdict | None:
    """What the first of these walks that inverts shows."""
    verdicts = (World(seed, **sabotage).walk() for seed in seeds)
    return next((verdict for verdict in verdicts if verdict.inversions), None)


@pytest.mark.parametrize(("replicas", "there_and_back"), [(2, False), (2, True), (3, False)])
def test_no_interleaving_inverts_and_nothing_is_left_behind(replicas: int, there_and_back: bool) -> None:
    for seed in range(WALKS // replicas):
        verdict = World(seed, replicas=replicas, there_and_back=there_and_back).walk()
        assert not verdict.bad, f"seed {seed}: {verdict}"


def test_without_the_lease_a_replica_that_was_not_told_inverts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lease, "valid", lambda lease, now: True)
    assert found(SEEDS["lease"], there_and_back=True) is not None


def test_a_count_of_messages_in_place_of_the_marker_inverts() -> None:
    assert found(SEEDS["counts"], counts=True) is not None


def test_a_cancel_in_place_of_the_closed_channel_inverts() -> None:
    assert found(SEEDS["cancels"], cancels=True) is not None
