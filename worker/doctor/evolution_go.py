"""Evolution Go's queues, into which it publishes without an exchange: those that are read, and those that cannot be."""

import re
from collections.abc import Sequence

from worker.broker.consuming.plan import go_queues
from worker.doctor.commands import Commands
from worker.doctor.evolution import consumed
from worker.doctor.finding import Finding, many, some
from worker.doctor.view import BrokerView, EvolutionQueue

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
    queues: Sequence[EvolutionQueue], version: str, dead: str, commands: Commands, *, reads: bool
) -> list[Finding]:
    """`reads`: RABBITMQ_SOURCE=queues without RABBITMQ_PREFIX_KEY."""
    together = [queue for queue in queues if not queue.prefix]
    single = [queue for queue in queues if queue.prefix]
    found: list[Finding] = []
    if together and reads:
        found += consumed(together, version, dead, commands, name=NAME, keep=commands.keep_read_of_go(dead))
    elif together:
        fix = "RABBITMQ_SOURCE=queues, and RABBITMQ_PREFIX_KEY empty"
        found.append(
            Finding("warning", NAME, f"{_counted(together)} are not read by the worker", fix, _names(together))
        )
    if single:
        what = f"{_counted(single)} cannot be read: AMQP cannot list them, and their names hold ids that nobody knows"
        fix = "AMQP_GLOBAL_ENABLED=true in Evolution Go, and RabbitMQ off for its instances"
        found.append(Finding("problem", INSTANCES_NAME, what, fix, _names(single)))
    return found


def _counted(queues: Sequence[EvolutionQueue]) -> str:
    held = sum(queue.messages for queue in queues)
    return f"{many(len(queues), 'queue')} with {many(held, 'message')} ({some(_names(queues))})"


def _names(queues: Sequence[EvolutionQueue]) -> tuple[str, ...]:
    return tuple(sorted(queue.name for queue in queues))
