"""The queues and exchanges as data: one place for names and arguments."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

Arguments = dict[str, str | int]

SEGMENTS = 64
"""Of an archive's bound: a stream is truncated by whole segments, of which the last is never dropped."""

ARCHIVE_MEMBERS = 3
"""Of the archive's stream, as far as the cluster has as many nodes."""

DELIVERY_LIMIT = 100
"""Takings of one message after which the broker gives it up to the dead-letter queue: a crash loop ends there."""

BROWSE_LIMIT = 1_000_000
"""The same for `dead`, where each look at a letter counts as a taking. -1 would drop it on RabbitMQ 3.x."""


HISTORY_BYTES = 512 * 1024**2
"""Of batches that wait for a writer; then the oldest go. Days of a quiet installation, half an hour of 5,000 rows/s."""


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue; without arguments only checked, never declared (it belongs to somebody else)."""

    name: str
    arguments: Arguments = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Topology:
    """What the worker declares. `events` is the queue of first attempts.

    `history` and `ordered` are declared on connections of their own, so that nothing about them stops a delivery; None:
    there is none.
    """

    exchange: str
    config_exchange: str
    events: str
    retries: str
    dead: str
    delays: dict[int, str]
    queues: tuple[Queue, ...]
    history: Queue | None = None
    ordered: Queue | None = None

    @property
    def bound_exchange(self) -> str:
        """There once the ordered queue has got all that is in the queue of first attempts: an exchange without any use
        but to be there."""
        return f"{self.events.removesuffix('.events')}.ordered.bound"

    @property
    def whole(self) -> "Topology":
        """The same with history's and the ordered queue among the others: for those who look at all of it."""
        further = [one for one in (self.history, self.ordered) if one is not None and one not in self.queues]
        return replace(self, queues=(*self.queues, *further)) if further else self

    def retry_queue(self, delay: int) -> str:
        """Where a delivery waits `delay` seconds; 0 is the queue of those that are due."""
        return self.retries if delay == 0 else self.delays[delay]


def config_exchange(prefix: str) -> str:
    """The fanout exchange that announces changed webhooks to every replica."""
    return f"{prefix}.config"


def topology(
    prefix: str, exchange: str, steps: Iterable[int], *, history: bool = False, ordered: bool = False
) -> Topology:
    """All names under one prefix (`webhooks`); `steps` are the delays in whole seconds."""
    retries, dead = f"{prefix}.retries", f"{prefix}.dead"
    delays = {step: f"{prefix}.retry.{step}s" for step in steps}
    return Topology(
        exchange=exchange,
        config_exchange=config_exchange(prefix),
        events=f"{prefix}.events",
        retries=retries,
        dead=dead,
        delays=delays,
        queues=(
            Queue(dead, _quorum(delivery_limit=BROWSE_LIMIT)),
            Queue(f"{prefix}.events", _quorum(delivery_limit=DELIVERY_LIMIT, expired_to=dead)),
            Queue(retries, _quorum(delivery_limit=DELIVERY_LIMIT, expired_to=dead)),
            *(Queue(name, _quorum(ttl=step, expired_to=retries)) for step, name in delays.items()),
        ),
        history=history_queue(prefix) if history else None,
        ordered=ordered_queue(prefix) if ordered else None,
    )


def history_queue(prefix: str) -> Queue:
    """Bounded, and dropping at its head: history is lost before a delivery is."""
    bounds: Arguments = {"x-max-length-bytes": HISTORY_BYTES, "x-overflow": "drop-head"}
    return Queue(f"{prefix}.history", _quorum(delivery_limit=BROWSE_LIMIT) | bounds)


def archive_queue(prefix: str, hours: int, max_bytes: int) -> Queue:
    """The stream of all events. Its bounds hold at its first declaration; later ones are a policy's."""
    arguments: Arguments = {
        "x-queue-type": "stream",
        "x-max-age": f"{hours}h",
        "x-max-length-bytes": max_bytes,
        "x-stream-max-segment-size-bytes": max_bytes // SEGMENTS,
        "x-initial-cluster-size": ARCHIVE_MEMBERS,
    }
    return Queue(archive_name(prefix), arguments)


def archive_name(prefix: str) -> str:
    return f"{prefix}.archive"


_SINGLE: Arguments = {"x-single-active-consumer": True}


def ordered_queue(prefix: str) -> Queue:
    """Bound as `events` is. A message that was taken again and again becomes a dead letter."""
    return Queue(f"{prefix}.ordered", _quorum(delivery_limit=DELIVERY_LIMIT, expired_to=f"{prefix}.dead") | _SINGLE)


def siding_queue(prefix: str, number: int) -> Queue:
    """Without any bound: what is refused would let the next one pass."""
    return Queue(f"{prefix}.ordered.{number}", _quorum(delivery_limit=BROWSE_LIMIT) | _SINGLE)


def _quorum(*, delivery_limit: int = 0, ttl: int = 0, expired_to: str = "") -> Arguments:
    """Quorum queue arguments. At-least-once dead-lettering needs reject-publish (RabbitMQ 3.10+)."""
    arguments: Arguments = {"x-queue-type": "quorum"}
    if delivery_limit:
        arguments["x-delivery-limit"] = delivery_limit
    if ttl:
        arguments["x-message-ttl"] = ttl * 1000
    if expired_to:
        arguments |= {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": expired_to,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
    return arguments
