"""One dead letter, read from its headers alone. Pure.

Three kinds lie in the queue: the worker's own (`x-delivery-reason` says why), the broker's (delivery limit of
`events` or `retries`: `x-death` and whatever headers the message had), and what somebody else published there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple

from msgspec.structs import replace

from worker.basics.moments import iso_with_offset, moment_of
from worker.broker.past_headers import PREFIX, past_in
from worker.domain.event import InvalidEvent, identity, parse
from worker.domain.outcome import DeadReason
from worker.domain.past import KEPT_ENTRIES, REDRIVEN, Past
from worker.domain.routing import delivery_id

DELIVERY_LIMIT = "delivery_limit"
"""The broker gave the message up: it was taken too often without being settled (x-death calls it so)."""

UNKNOWN = "unknown"
"""Nothing in the message says why it is here."""

QUEUE_POLICY = "queue_policy"
"""A policy of the operator's (message-ttl, max-length) took it out of `events` or `retries` before it was taken."""

_FINAL = {DELIVERY_LIMIT: DELIVERY_LIMIT, "rejected": DeadReason.TOO_LARGE_FOR_BROKER.value}
_BROKERS_REASONS = _FINAL | dict.fromkeys(("expired", "maxlen"), QUEUE_POLICY)
"""By the reason in x-death: the worker rejects only what is too large to be published. Each retry has expired once, in
its delay queue, so that only the newest entry may count for a policy."""

LETTER_REASONS = (*sorted(reason.value for reason in DeadReason), DELIVERY_LIMIT, QUEUE_POLICY, UNKNOWN)

_MARK_BYTES = 16

Table = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Letter:
    """What an operator sees of a letter. `first_seen` and `dead_since` are Unix time in seconds.

    `id` is the delivery's `webhook-id`, or `evt_...` for an event that never reached a webhook. Byte-identical
    events share it. None: the message does not say.
    """

    id: str
    reason: str
    instance: str | None
    event: str | None
    webhook: str | None
    attempts: int
    last_status: int | None
    last_error: str | None
    error: str | None
    first_seen: float | None
    dead_since: float | None
    exchange: str | None
    routing_key: str | None
    log: tuple[str, ...]


class Mark:
    """What a set of letters is told by: two sets have one `text` if they are the same letters, in whatever order."""

    def __init__(self) -> None:
        self._sum = 0

    def add(self, letter: Letter) -> None:
        """A letter that dies once more is another one."""
        named = f"{letter.id}\0{letter.dead_since}".encode(errors="surrogatepass")
        self._sum = (self._sum + int.from_bytes(blake2b(named, digest_size=_MARK_BYTES).digest())) % 256**_MARK_BYTES

    @property
    def text(self) -> str:
        return f"{self._sum:0{2 * _MARK_BYTES}x}"


class Group(NamedTuple):
    """Letters of one webhook that died for one reason; `newest`: when the last of them did, Unix seconds."""

    instance: str | None
    webhook: str | None
    reason: str
    letters: int
    newest: float | None


def read(headers: Table, body: bytes, message_id: str | None) -> Letter:
    """Never raises: what cannot be read is None, and what is damaged stands in `error`."""
    reason, death = _text(headers, "reason"), broker_death(headers)
    instance, event = _text(headers, "instance"), _text(headers, "event")
    if not (instance and event) and reason != DeadReason.INVALID_EVENT.value:
        instance, event = _named_in(body)
    try:
        past = past_in(headers) or _begun(body, message_id, death)
        damage = None
    except InvalidEvent as problem:
        past, damage = _begun(body, message_id, death), str(problem)
    return Letter(
        id=_text(headers, "id") or _id(past, instance),
        reason=reason or _BROKERS_REASONS.get(str(death.get("reason")), UNKNOWN),
        instance=instance,
        event=event,
        webhook=past.webhook_id,
        attempts=past.attempts,
        last_status=past.last_status,
        last_error=past.last_error,
        error=damage or _text(headers, "error") or _death_error(death, reason),
        first_seen=past.first_seen or None,
        dead_since=_dead_since(headers, death),
        exchange=past.exchange or None,
        routing_key=past.routing_key or None,
        log=past.log,
    )


def redriven(headers: Table, body: bytes, message_id: str | None, now: float) -> Past:
    """The past that a letter starts its next life with: its id and log stay, attempts and age begin anew.

    Raises InvalidEvent when its headers are damaged, so that nobody can say which webhook it was for.
    """
    past = past_in(headers) or _begun(body, message_id, broker_death(headers))
    entry = iso_with_offset(now) + REDRIVEN
    return replace(
        past,
        first_seen=now,
        attempts=0,
        parkings=0,
        last_status=None,
        last_error=None,
        log=(*past.log, entry)[-KEPT_ENTRIES:],
        replayed=None,
    )


def broker_death(headers: Table) -> Table:
    """The x-death entry of what ended the message, newest first; {} when the broker has no part in it."""
    deaths = headers.get("x-death")
    entries = [entry for entry in deaths if isinstance(entry, Mapping)] if isinstance(deaths, list) else []
    limited = [entry for entry in entries if str(entry.get("reason")) in _FINAL]
    return next(iter(limited or entries), {})


def _begun(body: bytes, message_id: str | None, death: Table) -> Past:
    """As the worker would have begun it (`begun` in delivery/open_deliveries.py); first_seen 0: nobody knows."""
    exchange, keys = death.get("exchange"), death.get("routing-keys")
    key = keys[0] if isinstance(keys, list) and keys else ""
    return Past(
        event_id=identity(body, message_id),
        first_seen=0,
        exchange=exchange if isinstance(exchange, str) else "",
        routing_key=key if isinstance(key, str) else "",
    )


def _id(past: Past, instance: str | None) -> str:
    if past.webhook_id is not None and instance:
        return delivery_id(past.event_id, instance, past.webhook_id)
    return f"evt_{past.event_id[:32]}"


def _named_in(body: bytes) -> tuple[str | None, str | None]:
    try:
        event = parse(body)
    except InvalidEvent:
        return None, None
    return event.instance, event.name


def _death_error(death: Table, reason: str | None) -> str | None:
    if reason or not death:
        return None
    return f"RabbitMQ dead-lettered it from {death.get('queue')}: {death.get('reason')}"


def _dead_since(headers: Table, death: Table) -> float | None:
    written, died = _text(headers, "dead-since"), death.get("time")
    if written:
        try:
            return moment_of(written)
        except ValueError:
            return None
    return died.timestamp() if isinstance(died, datetime) else None


def _text(headers: Table, name: str) -> str | None:
    value = headers.get(PREFIX + name)
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return value if isinstance(value, str) and value else None
