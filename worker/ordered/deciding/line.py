"""The deliveries of one ordered endpoint: their keys, and where they are."""

from __future__ import annotations

from collections import deque
from enum import Enum
from math import inf
from typing import TYPE_CHECKING

from worker.domain.webhook import Endpoint
from worker.ordered.deciding.key import Key
from worker.ordered.deciding.ports import Item

if TYPE_CHECKING:
    from worker.ordered.deciding.siding import Siding


class Mode(Enum):
    DIRECT = "direct"
    """What comes from the queue is attempted."""
    MOVING = "moving"
    """Nothing starts; once the siding bears its label, all that it holds is published there."""
    SIDED = "sided"
    """What comes from the queue is published to the siding, what comes from the siding is attempted."""
    CLOSING = "closing"
    """What comes from the queue waits until the siding is empty."""


DIRECT, MOVING = Mode.DIRECT, Mode.MOVING
"""Found once, as in role.py."""


class Line:
    """`fresh`: what came from the queue and is not settled, in that order. The first of it are on their way into the
    siding, those in `appending` come next.

    `sidings`: those that bear its label, the lowest use first. More than one only after a takeover. `troubled`: its
    last attempt failed, or its circuit is open. `got_on_at`: when a delivery last ended, whatever became of it, or it
    came back from its siding. `held_until`: no attempt at any of its keys starts before. `suspect`: the key that waits
    until the head of another one was tried.
    """

    __slots__ = (
        "appending",
        "bytes",
        "endpoint",
        "fresh",
        "got_on_at",
        "held_until",
        "keys",
        "mode",
        "paused",
        "sidings",
        "succeeded_at",
        "suspect",
        "troubled",
        "under_way",
    )

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.mode = DIRECT
        self.fresh: dict[Item, None] = {}
        self.appending: deque[Item] = deque()
        self.bytes = 0
        self.keys: dict[str, Key] = {}
        self.sidings: list[Siding] = []
        self.under_way = 0
        self.held_until = -inf
        self.paused = False
        self.troubled = False
        self.succeeded_at = self.got_on_at = -inf
        self.suspect: Key | None = None

    @property
    def empty(self) -> bool:
        return not (self.fresh or self.keys or self.sidings) and self.mode is DIRECT

    def waits_since(self) -> float:
        """When the oldest delivery that came from the queue was taken; only while there is one."""
        return next(iter(self.fresh)).taken_at

    @property
    def detached(self) -> bool:
        """Whether an attempt is under way that began before it moved."""
        return any(key.detached is not None for key in self.keys.values())

    def took(self, item: Item) -> None:
        """It came from the queue."""
        self.fresh[item] = None
        self.bytes += item.size

    def left(self, item: Item) -> None:
        """It is settled where it came from."""
        if item.siding == 0:
            del self.fresh[item]
            self.bytes -= item.size

    def feed(self, item: Item) -> Key:
        """It stands in the line of its key, which may attempt it."""
        key = self.keys.get(item.key)
        if key is None:
            key = self.keys[item.key] = Key(item.key)
        key.items.append(item)
        return key

    def empty_keys(self) -> None:
        """Nothing stands in line here any more: all of it comes again by another way."""
        for key in self.keys.values():
            key.moves()
        self.suspect = None

    def ready(self, key: Key, now: float) -> bool:
        """Whether an attempt at the key's head may start."""
        if key.busy or not key.items or now < key.not_before or key is self.suspect:
            return False
        return not (self.mode is MOVING or self.paused or now < self.held_until)

    def begin(self, key: Key) -> None:
        key.busy = True
        self.under_way += 1

    def put_off(self, key: Key, until: float) -> None:
        """No attempt was made, and none can be before then."""
        self.under_way -= 1
        key.released()
        self.held_until = until

    def ended(self, key: Key, now: float, *, succeeded: bool) -> bool:
        """What was under way at this key has ended for good. False: its copy stands in line still, or will."""
        self.under_way -= 1
        left = key.ended()
        self.got_on_at = now
        if not key.items:
            del self.keys[key.name]
        if succeeded:
            self.succeeded_at = now
            self.troubled = False
        return left

    def failed(self, key: Key, now: float, *, answered: bool) -> None:
        self.under_way -= 1
        self.troubled = True
        key.failed(now, answered=answered)
        if self.suspect is not None and self.suspect is not key:
            # Another event fails too: it is the endpoint, not the event.
            self.suspect.answered_since = self.suspect.not_before = now
            self.suspect = None

    def to_give_up(self, key: Key, now: float) -> Item | None:
        """The key's head, if nobody but the event itself can be at fault.

        An event that was answered with failures for long is at fault if another key's succeeded meanwhile, or there is
        no other key. Else the head of another one is tried first.
        """
        if not key.blocked(now):
            return None
        assert key.answered_since is not None
        other = next((other for other in self.keys.values() if other is not key and (other.items or other.busy)), None)
        if self.succeeded_at > key.answered_since or other is None:
            self.suspect = None
            return key.head
        self.suspect = key
        other.not_before = min(other.not_before, now)
        return None
