"""Evolution Go's queues, into which it publishes without an exchange: those that are read, and those that cannot be."""

import re
from collections.abc import Collection, Sequence

from worker.broker.consuming.plan import go_queues
from worker.doctor.commands import Commands
from worker.doctor.evolution import consumed
from worker.doctor.finding import Finding, many, some
from worker.doctor.view import BrokerView, EvolutionQueue
from worker.domain.evolution_go import MOST_INSTANCES

NAME = "Evolution Go's queues"
INSTANCES_NAME = "Evolution Go's queues of instances"
ARGUMENTS = {"x-queue-type": "quorum", "x-ha-policy": "all"}
"""As Evolution Go declares them. Another application's `message` has others."""

_NAMES = frozenset(go_queues())
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def queues_of_go(view: BrokerView) -> list[EvolutionQueue]:
    """The global ones (prefix ""), and those of single instances (prefix: the instance's uuid).

    The default exchange "" feeds them. Where arguments cannot be seen the name alone decides.
    """
    found = []
    for facts in view.queues.values():
        instance, _, event = facts.name.rpartition(".")
        named = event in _NAMES and (not instance or _UUID.fullmatch(instance))
        if named and (view.bindings is None or facts.arguments == ARGUMENTS):
            found.append(EvolutionQueue(facts, instance, frozenset({""})))
    return found


def judged(
    queues: Sequence[EvolutionQueue],
    version: str,
    dead: str,
    commands: Commands,
    *,
    reads: bool,
    instances: Collection[str] = (),
) -> list[Finding]:
    """`reads`: RABBITMQ_SOURCE=queues without RABBITMQ_PREFIX_KEY. `instances`: RABBITMQ_INSTANCE_QUEUES."""
    together = [queue for queue in queues if not queue.prefix]
    read = [queue for queue in queues if queue.prefix.lower() in instances]
    single = [queue for queue in queues if queue.prefix and queue not in read]
    found: list[Finding] = []
    keep = commands.keep_read_of_go(dead)
    if together and reads:
        found += consumed(together, version, dead, commands, name=NAME, keep=keep)
    elif together:
        fix = "RABBITMQ_SOURCE=queues, and RABBITMQ_PREFIX_KEY empty"
        found.append(
            Finding("warning", NAME, f"{_counted(together)} are not read by the worker", fix, _names(together))
        )
    if read:
        found += consumed(read, version, dead, commands, name=INSTANCES_NAME, keep=keep)
    if single:
        what = f"{_counted(single)} are not read: AMQP cannot list them, so that their instances must be named"
        found.append(Finding("problem", INSTANCES_NAME, what, _to_read(single, instances), _names(single)))
    return found


def _to_read(queues: Sequence[EvolutionQueue], instances: Collection[str]) -> str:
    together = "AMQP_GLOBAL_ENABLED=true in Evolution Go, and RabbitMQ off for its instances"
    named = sorted({*instances, *(queue.prefix.lower() for queue in queues)})
    if len(named) > MOST_INSTANCES:
        return together
    return f"RABBITMQ_SOURCE=queues and RABBITMQ_INSTANCE_QUEUES={','.join(named)}; or {together}"


def _counted(queues: Sequence[EvolutionQueue]) -> str:
    held = sum(queue.messages for queue in queues)
    return f"{many(len(queues), 'queue')} with {many(held, 'message')} ({some(_names(queues))})"


def _names(queues: Sequence[EvolutionQueue]) -> tuple[str, ...]:
    return tuple(sorted(queue.name for queue in queues))
