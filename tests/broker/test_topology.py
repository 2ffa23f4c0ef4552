"""Queues as data: names, arguments, prefetches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from worker.broker.consuming.plan import MOST_PREFETCH, ConsumptionPlan, EvolutionQueues, evolution_queues, go_queues
from worker.broker.topology import Topology, topology
from worker.domain.evolution_go import KINDS
from worker.domain.names import KNOWN

STEPS = (5, 15, 45)
NO_CONNECTION: Any = None


@pytest.fixture
def queues() -> Topology:
    return topology("webhooks", "evolution_exchange", STEPS)


def test_the_names_are_those_that_operators_know(queues: Topology) -> None:
    assert (queues.events, queues.retries, queues.dead) == ("webhooks.events", "webhooks.retries", "webhooks.dead")
    assert queues.config_exchange == "webhooks.config"
    assert [queues.retry_queue(step) for step in (0, *STEPS)] == [
        "webhooks.retries",
        "webhooks.retry.5s",
        "webhooks.retry.15s",
        "webhooks.retry.45s",
    ]


def test_every_queue_is_quorum_and_loses_nothing_when_it_dead_letters(queues: Topology) -> None:
    for queue in queues.queues:
        assert queue.arguments["x-queue-type"] == "quorum"
        assert "x-expires" not in queue.arguments
        if "x-dead-letter-exchange" in queue.arguments:
            # At-least-once needs both; either alone loses messages.
            assert queue.arguments["x-dead-letter-strategy"] == "at-least-once"
            assert queue.arguments["x-overflow"] == "reject-publish"


def test_what_expires_or_fails_too_often_goes_where_it_belongs(queues: Topology) -> None:
    arguments = {queue.name: queue.arguments for queue in queues.queues}
    for name in (queues.events, queues.retries):
        assert arguments[name]["x-dead-letter-routing-key"] == queues.dead
        assert arguments[name]["x-delivery-limit"] == 100
    for step in STEPS:
        delay = arguments[queues.retry_queue(step)]
        assert (delay["x-message-ttl"], delay["x-dead-letter-routing-key"]) == (step * 1000, queues.retries)
    assert arguments[queues.dead] == {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}


def test_the_queue_of_dead_letters_is_declared_before_those_that_lead_to_it(queues: Topology) -> None:
    assert queues.queues[0].name == queues.dead


async def consumed(plan: ConsumptionPlan) -> dict[str, int]:
    groups = await plan.groups(NO_CONNECTION)
    return {consumer.queue: consumer.prefetch for group in groups for consumer in group}


@pytest.mark.parametrize("concurrency", [2, 5, 10, 500, 2500])
async def test_prefetches_sum_to_the_concurrency_and_retries_get_a_fifth(queues: Topology, concurrency: int) -> None:
    prefetches = await consumed(ConsumptionPlan(queues, concurrency, declares=True))
    assert sum(prefetches.values()) == concurrency
    assert prefetches[queues.retries] == max(1, concurrency // 5)


async def test_no_prefetch_is_above_what_the_broker_gives(queues: Topology) -> None:
    prefetches = await consumed(ConsumptionPlan(queues, 100_000, declares=True))
    assert set(prefetches.values()) == {MOST_PREFETCH}


class ExistingQueues(EvolutionQueues):
    """Evolution's queues as a test says, without a broker."""

    def __init__(self, queues: Topology, concurrency: int, existing: Iterable[str]) -> None:
        super().__init__(queues, concurrency, declares=True, prefix="")
        self._existing = existing

    async def present(self, _: object) -> list[str]:
        return list(self._existing)


@pytest.mark.parametrize(("concurrency", "count"), [(500, 20), (100, 34), (50, 3)])
async def test_evolutions_queues_share_the_concurrency(queues: Topology, concurrency: int, count: int) -> None:
    prefetches = await consumed(ExistingQueues(queues, concurrency, evolution_queues("")[:count]))
    assert len(prefetches) == count + 2  # our own for redriven letters, and the retries
    assert concurrency - count <= sum(prefetches.values()) <= concurrency
    assert min(prefetches.values()) >= 1


def test_every_known_event_is_looked_for_in_all_spellings() -> None:
    names = evolution_queues("")
    assert len(set(names)) == len(names) >= len(KNOWN)
    assert {"messages.upsert", "messages-upsert", "group-participants.update", "group.participants.update"} <= {*names}
    assert {"new.jwt", "new-jwt", "group.update", "groups.update", "typebot.change-status"} <= {*names}
    assert not any(name.startswith("undefined") for name in names)


def test_a_prefix_goes_before_each_of_them() -> None:
    assert evolution_queues("evo") == [f"evo.{name}" for name in evolution_queues("")]


def test_the_queues_of_evolution_go_are_the_names_of_its_events_in_lower_case() -> None:
    assert {"message", "sendmessage", "receipt", "calloffernotice", "qrcode", "labelassociationchat"} < {*go_queues()}
    assert len(go_queues()) == len({*go_queues()}) == len(KINDS)
    assert {*go_queues()}.isdisjoint(evolution_queues(""))
    assert "8f0a3c52-6c0e-4f7e-9a55-0d9f4f0f7c11.message" in go_queues("8f0a3c52-6c0e-4f7e-9a55-0d9f4f0f7c11")
