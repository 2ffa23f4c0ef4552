"""RabbitMQ's version, and what depends on it."""

import re
from collections.abc import Iterable

from worker.doctor.asking.management import QueueFacts
from worker.doctor.finding import Finding, size

OLDEST = (3, 10)
"""Quorum queues that dead-letter at least once."""

FIRST_WITH_A_LIMIT = (4, 0)
LIMIT_OF_4 = 20
"""Since 4.0 a quorum queue without a delivery limit of its own gives a message up after so many takings."""

_MIB = 1024**2
_MAX_OF_4 = 16 * _MIB
_MAX_MESSAGE = ((FIRST_WITH_A_LIMIT, _MAX_OF_4), ((0,), 128 * _MIB))
"""The default of max_message_size, by the version that brought it (rabbitmq/rabbitmq-server pull request 11455)."""


_WAIT = "larger ones in a queue are delivered, but wait as dead letters (too_large_for_broker) if an attempt fails"


def parsed(version: str) -> tuple[int, ...]:
    """`3.10.8` -> (3, 10, 8); () for what is none, which is before every version."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, match.group().split("."))) if match else ()


def version(found: str) -> Finding:
    name = "RabbitMQ's version"
    if not parsed(found):
        return Finding("advice", name, "it does not tell it", "rabbitmqctl version; 3.10 or newer is needed")
    if parsed(found) < OLDEST:
        what = f"{found}: its queues cannot dead-letter at least once, so the worker's cannot be declared"
        return Finding("problem", name, what, "upgrade RabbitMQ to 3.10 or newer")
    return Finding("ok", name, found)


def message_size(found: str, queues: Iterable[QueueFacts]) -> Finding:
    """max_message_size against what lies in the queues.

    Neither protocol tells the limit that is configured, so it is the version's default; nor the largest message. A
    queue's average is what its largest is at least, all its bytes are what it is at most.
    """
    name = "max_message_size"
    default = next(limit for since, limit in _MAX_MESSAGE if parsed(found) >= since or since == (0,))
    limit = f"RabbitMQ {found} refuses events above {default // _MIB} MiB by default, and closes Evolution's channel"
    limit += f"; {_WAIT}"
    fix = f"max_message_size = {128 * _MIB} in rabbitmq.conf; rabbitmqctl eval "
    fix += "'application:get_env(rabbit, max_message_size).' shows the one in force"
    held = [queue for queue in queues if queue.messages and queue.bytes]
    if not held:
        level = "advice" if default < 128 * _MIB else "ok"
        seen = "no event lies in a queue whose size could be seen"
        return Finding("advice", name, f"{limit}; {seen}", fix) if level == "advice" else Finding("ok", name, seen)
    largest = max(held, key=lambda queue: (queue.bytes or 0) / (queue.messages or 1))
    average = (largest.bytes or 0) / (largest.messages or 1)
    most = max(queue.bytes or 0 for queue in held)
    seen = f"the largest event seen has at least {size(average)} (the average of {largest.name}), at most {size(most)}"
    if average * 4 > default:
        return Finding("warning", name, f"{seen}; {limit}", fix)
    if most > default and default < 128 * _MIB:
        return Finding("advice", name, f"{seen}; {limit}", fix)
    upgraded = f", and from 4.0 {_MAX_OF_4 // _MIB} MiB: {_WAIT}" if most > _MAX_OF_4 else ""
    return Finding("ok", name, f"{seen}; the default limit is {default // _MIB} MiB{upgraded}")
