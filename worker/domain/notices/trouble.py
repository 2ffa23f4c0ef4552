"""What is wrong with an endpoint or with the worker, and when it is time to tell. Decisions only.

An endpoint fails (no attempt succeeds), or deliveries to it are given up: its rows of history show it. No receiver can
be reached, or events wait: the worker itself knows. An instance gets no messages: pulse.py judges it. Times are Unix
milliseconds.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from operator import attrgetter
from typing import NamedTuple

import msgspec

from worker.domain.history import Row
from worker.domain.notices.notice import LONGEST_TEXT, Kind, Notice, Sample
from worker.domain.notices.receivers import PREFIX
from worker.domain.outcome import DeadReason
from worker.domain.webhook import GLOBAL_ID

FAILING_MS = 10 * 60_000
"""Attempts must have failed over so long, without a success, before it is told: a restart is no trouble."""

DIGEST_MS = 15 * 60_000
"""After a notice about given-up deliveries, those that follow are gathered for so long."""


BACKLOG_MS = 2 * 60_000
"""Events must have waited too long for so long: a burst is no trouble."""

AGAIN_MS = 15 * 60_000
"""A trouble of the worker's own that comes back within this time after it was told, or last reported, is the same."""


class TroubleKind(StrEnum):
    FAILING = "failing"
    DEAD = "dead"
    SELF_FAULT = "self_fault"
    BACKLOG = "backlog"
    PAUSED = "paused"
    SILENT = "silent"


class Key(NamedTuple):
    """`instance` is "" for the global webhook, which is one endpoint for all instances; `webhook` "": none was found
    for the event, or it is about the instance. Both are "" for the worker's own."""

    kind: str
    instance: str
    webhook: str


class Example(msgspec.Struct, frozen=True):
    """A bad row, as a notice shows it."""

    reason: str
    sample: Sample | None


@dataclass(frozen=True, slots=True)
class Trouble:
    """`since` to `last`: the first and the last bad row of it, `count` those that nobody was told of, `example` the
    last one. `told`: when it was, None: not yet. `over`: an attempt succeeded then."""

    key: Key
    since: int
    last: int
    count: int
    example: Example
    told: int | None = None
    over: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What some rows show of one endpoint: bad ones, after the last success if it is about failing."""

    key: Key
    success: int | None = None
    first: int = 0
    last: int = 0
    count: int = 0
    example: Example | None = None


_at, _endpoint = attrgetter("at"), attrgetter("instance", "webhook")
_BAD = frozenset({"Retried", "DeadLettered"})


def seen_in(rows: Iterable[Row]) -> list[Seen]:
    """One for each endpoint and kind, ordered by key. Rows about notices say nothing: notices make no notices.

    0.3 us a row that was delivered: nearly all are.
    """
    ordered = sorted(rows, key=_at)
    good = [row for row in ordered if row.outcome == "Delivered"]
    bad = [row for row in ordered if row.outcome in _BAD and not (row.webhook or "").startswith(PREFIX)]
    found = _successes(dict(zip(map(_endpoint, good), map(_at, good), strict=True)))  # the newest of each
    for row in bad:
        for kind in _kinds(row):
            key = _key(kind, row.instance, row.webhook)
            seen = found.get(key, Seen(key))
            if seen.success is None or row.at > seen.success:
                found[key] = _worse(seen, row)
    return [found[key] for key in sorted(found)]


def own(kind: TroubleKind, reason: str | None, now: int) -> Seen:
    """What a replica says of itself at `now`; None: it has no such trouble any more."""
    key = Key(kind, "", "")
    return Seen(key, now) if reason is None else Seen(key, None, now, now, 1, Example(reason, None))


def silence(instance: str, since: int, reason: str | None, now: int) -> Seen:
    """What is known of an instance's messages at `now`; `reason` None: they come again."""
    key = Key(TroubleKind.SILENT, instance, "")
    return Seen(key, now) if reason is None else Seen(key, None, since, now, 1, Example(reason, None))


def paused(instance: str, webhook: str, since: int, now: int, *, resumed: bool = False) -> Seen:
    """That somebody paused the webhook at `since`, or resumed it `now`."""
    key = Key(TroubleKind.PAUSED, instance, webhook)
    if resumed:
        return Seen(key, now)
    return Seen(key, None, since, since, 1, Example("somebody paused it: nothing is sent to it until its resume", None))


def _successes(good: Mapping[tuple[str | None, str | None], int]) -> dict[Key, Seen]:
    found: dict[Key, Seen] = {}
    for (instance, webhook), at in good.items():
        if webhook and not webhook.startswith(PREFIX):
            key = _key(TroubleKind.FAILING, instance, webhook)
            before = found.get(key)
            found[key] = Seen(key, at if before is None or before.success is None else max(at, before.success))
    return found


def _kinds(row: Row) -> Iterator[TroubleKind]:
    """What a bad row is a sign of. An address that the operator's rules forbid is not the receiver's fault; a row
    without `ms` is of no attempt."""
    if row.ms is not None and row.webhook and row.reason != DeadReason.EGRESS_REFUSED:
        yield TroubleKind.FAILING
    if row.outcome == "DeadLettered":
        yield TroubleKind.DEAD


def _key(kind: TroubleKind, instance: str | None, webhook: str | None) -> Key:
    return Key(kind, "" if webhook == GLOBAL_ID else instance or "", webhook or "")


def _worse(seen: Seen, row: Row) -> Seen:
    first = row.at if seen.count == 0 else seen.first
    answer = None if row.answer is None else _kept(row.answer)
    example = Example(
        _kept(row.error or row.reason), Sample(_kept(row.id), row.event and _kept(row.event), row.status, answer)
    )
    return replace(seen, first=first, last=row.at, count=seen.count + 1, example=example)


def after(known: Trouble | None, seen: Seen) -> Trouble | None:
    """The trouble with these rows; None: there is none. Rows of several replicas come in any order."""
    if known is not None and seen.success is not None and seen.success >= known.since:
        known = None if known.told is None else replace(known, over=seen.success)
    if seen.example is None:
        return known
    if known is None:
        return Trouble(seen.key, seen.first, seen.last, seen.count, seen.example)
    since = seen.first if known.count == 0 and known.key.kind == TroubleKind.DEAD else min(known.since, seen.first)
    example = seen.example if seen.last >= known.last else known.example
    over = None if known.over is None or seen.last > known.over else known.over
    last = max(known.last, seen.last)
    return replace(known, since=since, last=last, count=known.count + seen.count, over=over, example=example)


def fails(trouble: Trouble) -> bool:
    """Whether its attempts have failed for so long, without a success, that it is told."""
    return trouble.over is None and trouble.last - trouble.since >= FAILING_MS


def due(trouble: Trouble, now: int) -> Notice | None:
    """What is to be told of it at `now`; None: nothing yet, or any more."""
    match trouble.key.kind:
        case TroubleKind.FAILING if trouble.told is not None and trouble.over is not None:
            return _notice(Kind.RECOVERED, trouble, "an attempt succeeded", trouble.over, sampled=False)
        case TroubleKind.FAILING if trouble.told is None and fails(trouble):
            return _notice(Kind.FAILING, trouble, trouble.example.reason, now)
        case TroubleKind.DEAD if trouble.count and (trouble.told is None or now - trouble.told >= DIGEST_MS):
            many = f"{trouble.count} deliveries were given up, the last one: " if trouble.count > 1 else ""
            return _notice(Kind.DEAD, trouble, many + trouble.example.reason, now)
        case TroubleKind.SELF_FAULT if trouble.told is None:
            return _notice(Kind.SELF_FAULT, trouble, trouble.example.reason, now)
        case TroubleKind.BACKLOG if trouble.told is None and trouble.last - trouble.since >= BACKLOG_MS:
            return _notice(Kind.BACKLOG, trouble, trouble.example.reason, now)
        case TroubleKind.PAUSED if trouble.told is None:
            return _notice(Kind.PAUSED, trouble, trouble.example.reason, now)
        case TroubleKind.SILENT if trouble.told is None and trouble.over is None:
            return _notice(Kind.SILENT, trouble, trouble.example.reason, now)
    return None


def told(trouble: Trouble, notice: Notice, count: int, now: int) -> Trouble | None:
    """The trouble once its notice, of `count` bad rows, was told; None: it is over.

    It may have grown meanwhile: what is new stays to be told.
    """
    if notice.kind is Kind.SILENT:
        return None  # what is known of the instance remembers that it was told
    if notice.kind is Kind.RECOVERED:
        return None if trouble.over is not None else replace(trouble, since=trouble.last, told=None, count=1)
    left = max(0, trouble.count - count)
    since = trouble.last if left and notice.kind is Kind.DEAD else trouble.since
    return replace(trouble, since=since, told=now, count=left)


def is_past(trouble: Trouble, now: int, keep_ms: int) -> bool:
    """Whether nothing will be told of it any more: a digest that is empty, an endpoint that nobody tries."""
    match trouble.key.kind:
        case TroubleKind.DEAD:
            return trouble.count == 0 and (trouble.told is None or now - trouble.told >= DIGEST_MS)
        case TroubleKind.SELF_FAULT | TroubleKind.BACKLOG:
            return now - max(trouble.last, trouble.told or 0) >= AGAIN_MS
        case TroubleKind.PAUSED if trouble.over is not None:
            return True
    return trouble.over is None and now - trouble.last >= keep_ms


def _notice(kind: Kind, trouble: Trouble, reason: str, at: int, *, sampled: bool = True) -> Notice:
    key, sample = trouble.key, trouble.example.sample if sampled else None
    return Notice(kind, at / 1000, key.instance, key.webhook or None, reason, trouble.since / 1000, sample)


def _kept(text: str) -> str:
    """Short, and without unpaired surrogates, which no text can store."""
    return text[:LONGEST_TEXT].encode(errors="replace").decode()
