"""For how long an event is of use: `ttl_seconds` and `latest_only`."""

from collections.abc import Iterable
from typing import NamedTuple

from worker.domain.choosing.chat import NOT_ONE, Chat
from worker.domain.choosing.problem import MOST_PROBLEMS, Problem, in_json, is_text
from worker.domain.names import canonical

LONGEST_TTL = 30 * 24 * 3600
"""Seconds."""

MOST_EVENTS = 100
LONGEST_EVENT = 64


class LatestKey(NamedTuple):
    """Of two events with one key the older is superseded. `chat`: canonical JID, "" for an event about no chat."""

    kind: str
    chat: str
    instance: str
    webhook_id: str


def read_ttl(value: object, place: str = "ttl_seconds") -> tuple[dict[str, float] | None, list[Problem]]:
    """Canonical event name -> seconds; None with the problems. null: no limits. The event's dialect is not judged."""
    if value is None:
        return {}, []
    if not isinstance(value, dict):
        return None, [Problem(place, f"an object, event name to seconds, not {in_json(value)}")]
    if len(value) > MOST_EVENTS:
        return None, [Problem(place, f"at most {MOST_EVENTS} events, not {len(value)}")]
    problems = [problem for key, seconds in value.items() for problem in _ttl_problems(key, seconds, place)]
    problems = problems or _doubled(value, place)
    if problems:
        return None, problems[:MOST_PROBLEMS]
    return {canonical(key): float(seconds) for key, seconds in value.items()}, []


def _ttl_problems(key: object, seconds: object, place: str) -> list[Problem]:
    if not _is_event(key):
        return [Problem(place, f"an event name, not {in_json(key)}")]
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds <= LONGEST_TTL:
        return []
    return [Problem(f"{place}.{key}", f"a number of seconds, above 0 and up to {LONGEST_TTL}, not {in_json(seconds)}")]


def _doubled(value: Iterable[str], place: str) -> list[Problem]:
    """Two spellings of one event: neither number would be the one that counts."""
    first: dict[str, str] = {}
    again = [key for key in value if first.setdefault(canonical(key), key) != key]
    return [Problem(f"{place}.{key}", f"is {first[canonical(key)]} in another spelling") for key in again]


def _is_event(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_EVENT and is_text(value) and value.isprintable()


def limit_of(ttl_seconds: Iterable[tuple[str, float]], kind: str) -> float | None:
    """Seconds for which an event of this canonical name is of use; None: for ever."""
    for name, seconds in ttl_seconds:
        if name == kind:
            return seconds
    return None


def is_stale(ttl_seconds: Iterable[tuple[str, float]], kind: str, age_seconds: float) -> bool:
    """Judged when an attempt starts. `age_seconds`: since the event was first taken, whatever waits came between."""
    limit = limit_of(ttl_seconds, kind)
    return limit is not None and age_seconds > limit


def latest_key(
    latest_only: frozenset[str], kind: str, chat: Chat | None, instance: str, webhook_id: str
) -> LatestKey | None:
    """What makes two events of a webhook the same news; None where the webhook wants every event of the kind, and for
    an event that is not about one chat alone."""
    if kind not in latest_only or chat is NOT_ONE:
        return None
    return LatestKey(kind, chat.jid if chat else "", instance, webhook_id)
