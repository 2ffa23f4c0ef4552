"""How much the archive keeps: its bounds against the settings, how far back it reaches, and the disk there is."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.broker.topology import SEGMENTS, Queue, archive_queue
from worker.doctor.asking.archive import ArchiveSeen
from worker.doctor.asking.management import Node, QueueFacts
from worker.doctor.commands import Commands
from worker.doctor.finding import Finding, Level, size, some
from worker.settings.settings import Settings

BOUNDS = "archive's bounds"
REACH = "archive's reach"
DISK = "archive's disk"
POLICY = "webhooks-archive"

OVERHEAD = 100
"""Bytes that an event takes beside its own (docs/replay.md)."""

ENOUGH = 0.9
"""Of ARCHIVE_HOURS: an archive is cut by whole segments."""

COARSE = 8
"""A bound is kept to within a segment, so that this many at least must fit into it."""

FULL = 0.25
"""Of its bytes, as far as the sizes of its oldest events tell: an archive with less was not cut by them, but by its age
in a time without events."""

LEARNED_SECONDS = 600.0
"""Of an archive's life from which on its rate says something."""

DEFAULT_SEGMENT = 500_000_000
"""Bytes, where neither argument nor policy says (rabbitmq.com, Streams)."""

_AGE = re.compile(r"([0-9]+)([YMDhms])")
_UNITS = {"Y": 365 * 86400, "M": 30 * 86400, "D": 86400, "h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is in force: `age` in seconds and `most` bytes, None: no bound; `segment` bytes."""

    age: float | None
    most: int | None
    segment: int


def bounds(arguments: Mapping[str, Any], policy: Mapping[str, Any]) -> Bounds:
    """RabbitMQ takes the shorter age of policy and argument; the policy's bytes and segments win."""
    ages = [found for found in map(seconds_of, (arguments.get("x-max-age"), policy.get("max-age"))) if found]
    most = policy.get("max-length-bytes", arguments.get("x-max-length-bytes"))
    segment = policy.get("stream-max-segment-size-bytes", arguments.get("x-stream-max-segment-size-bytes"))
    return Bounds(min(ages, default=None), _number(most), _number(segment) or DEFAULT_SEGMENT)


def bounded(seen: ArchiveSeen, facts: QueueFacts | None, settings: Settings, commands: Commands) -> Finding | None:
    """`facts` None, or without a policy known: the policy could not be seen. None: nothing was."""
    policy, arguments = facts.policy if facts is not None else None, seen.arguments
    if arguments is None:
        return None
    wanted = archive_queue(commands.own_prefix, settings.archive_hours, settings.archive_max_bytes)
    asked = Bounds(settings.archive_hours * 3600, settings.archive_max_bytes, settings.archive_max_bytes // SEGMENTS)
    found = bounds(arguments, policy or {})
    if (found.age, found.most) == (asked.age, asked.most) and found.segment * COARSE <= (asked.most or 0):
        return Finding("ok", BOUNDS, _told(found))
    unseen = "" if policy is not None else " (a policy could not be seen, and may say otherwise)"
    what = f"{_told(found)}{unseen}, while the settings say {_told(asked)}"
    shorter = _less(found.age, asked.age) or _less(found.most, asked.most)
    level: Level = "warning" if shorter and policy is not None else "advice"
    return Finding(level, BOUNDS, what, _mended(arguments, facts, wanted, commands))


def _mended(arguments: Mapping[str, Any], facts: QueueFacts | None, wanted: Queue, commands: Commands) -> str:
    """The policy; or a new stream, where a longer age is wanted than was declared."""
    declared = bounds(arguments, {})
    asked = bounds(wanted.arguments, {})
    policy = facts.policy_name if facts is not None else None
    if _less(declared.age, asked.age):
        delete = commands.delete_queues([wanted.name])
        clear = f"{commands.ctl('clear_policy', POLICY)}; " if policy == POLICY else ""
        return f"stop the workers; {clear}{delete}; start them (what was archived is gone with it)"
    if policy == POLICY and declared == asked:
        return commands.ctl("clear_policy", POLICY)
    own = set_policy(wanted, commands)
    if policy not in (None, POLICY):
        return f"only one policy applies to a queue: keep the pattern of {policy!r} off {wanted.name}, then {own}"
    return own


def set_policy(wanted: Queue, commands: Commands) -> str:
    names = {
        "max-length-bytes": "x-max-length-bytes",
        "stream-max-segment-size-bytes": "x-stream-max-segment-size-bytes",
        "max-age": "x-max-age",
    }
    definition = json.dumps({key: wanted.arguments[name] for key, name in names.items()}, separators=(",", ":"))
    pattern = f"^{re.escape(wanted.name)}$"
    return commands.ctl("set_policy", "--apply-to", "queues", POLICY, pattern, definition)


def reach(seen: ArchiveSeen, bound: Bounds, hours: int, now: float) -> Finding | None:
    """Whether ARCHIVE_HOURS fit into the bytes that are its `bound`, at the rate that there is. None: not known yet."""
    held = None if bound.most is None else hours_held(seen, bound.most, now)
    if bound.most is None or held is None:
        return None
    wanted = hours if bound.age is None else min(hours, bound.age / 3600)
    if held >= wanted * ENOUGH:
        return Finding("ok", REACH, f"{wanted:g} h fit into {size(bound.most)}")
    needed = int(bound.most * hours / max(held, 1 / 60)) // 1024**2 + 1
    cut = seen.begins is not None
    does = "reaches back" if cut else "will reach back, at the rate so far,"
    what = f"it {does} {held:.1f} h, not {wanted:g}: {size(bound.most)} do not hold more"
    fix = f"ARCHIVE_MAX_BYTES={needed}MiB, if there is so much disk, and the command that doctor prints then"
    return Finding("warning" if cut else "advice", REACH, what, fix)


def hours_held(seen: ArchiveSeen, most: int, now: float) -> float | None:
    """How far back it reaches within `most` bytes, or will once they are full; None: not known."""
    if seen.average is None:
        return None
    stored = seen.messages * (seen.average + OVERHEAD)
    if seen.begins is not None:
        return (now - seen.begins) / 3600 if stored > most * FULL else None
    if seen.born is None or now - seen.born < LEARNED_SECONDS:
        return None
    return most / stored * (now - seen.born) / 3600


def disk(nodes: Sequence[Node] | None, seen: ArchiveSeen, bound: int) -> Finding | None:
    """Each node that runs may hold a copy. What lies in the archive already is no longer free. `bound`: its bytes."""
    if not nodes:
        return None
    used = bound if seen.begins is not None else int(seen.messages * ((seen.average or 0) + OVERHEAD))
    growth = max(0, bound - used)
    short = [node for node in nodes if node.free - node.limit < growth]
    if not short:
        return Finding("ok", DISK, f"{size(growth)} more at most, on each node")
    told = [f"{node.name} has {size(max(0, node.free - node.limit))} above its limit" for node in short]
    what = f"it may grow by {size(growth)}, and {some(told)}: RabbitMQ then blocks every publisher, Evolution too"
    fix = "more disk, or a smaller ARCHIVE_MAX_BYTES and the command that doctor prints then"
    return Finding("warning", DISK, what, fix, tuple(node.name for node in short))


def seconds_of(age: object) -> float | None:
    """`24h` (RabbitMQ's Y M D h m s); None: no bound."""
    match = _AGE.fullmatch(age) if isinstance(age, str) else None
    return int(match[1]) * _UNITS[match[2]] if match else None


def _told(bound: Bounds) -> str:
    age = "any age" if bound.age is None else f"{bound.age / 3600:g} h"
    most = "any size" if bound.most is None else size(bound.most)
    return f"{age}, {most} in segments of {size(bound.segment)}"


def _less(one: float | None, other: float | None) -> bool:
    """None is without a bound."""
    return one is not None and (other is None or one < other)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
