"""Queues and bindings as the management API tells of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from worker.broker.topology import topology
from worker.doctor.asking.management import Binding, QueueFacts
from worker.doctor.commands import Commands
from worker.doctor.view import BrokerView, EvolutionQueue, evolution_queues

EXCHANGE = "evolution_exchange"
QUORUM = {"x-queue-type": "quorum"}
TOPOLOGY = topology("webhooks", EXCHANGE, (5, 15))
COMMANDS = Commands("/", "webhooks")


def queue(name: str, messages: int = 0, **facts: Any) -> QueueFacts:
    """Unread and without a policy, as Evolution makes it, unless said otherwise."""
    given = {"bytes": messages * 100, "consumers": 0, "arguments": QUORUM, "policy": {}, **facts}
    return QueueFacts(name, messages, **given)


def own_queues(**policies: dict[str, Any]) -> list[QueueFacts]:
    """The worker's, one replica consuming; a policy by the last part of the queue's name."""
    return [
        queue(one.name, arguments=one.arguments, consumers=1, policy=policies.get(one.name.rpartition(".")[2], {}))
        for one in TOPOLOGY.queues
    ]


def bound(name: str, key: str, source: str = EXCHANGE) -> Binding:
    return Binding(source, name, key)


def view(*queues: QueueFacts, bindings: Collection[Binding] | None = (), version: str = "3.13.7") -> BrokerView:
    """`bindings=None`: the management API was not there."""
    return BrokerView(version, {one.name: one for one in queues}, None if bindings is None else list(bindings))


def theirs(seen: BrokerView, *prefixes: str) -> list[EvolutionQueue]:
    return evolution_queues(seen, EXCHANGE, prefixes, "webhooks")
