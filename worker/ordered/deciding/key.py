"""The deliveries of one order key: the first alone is attempted, again and again in place."""

from worker.ordered.deciding.ports import Item
from worker.ordered.deciding.rules import FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS

_MOST_DOUBLINGS = 6


class Key:
    """`busy`: an attempt at its head, or its dead letter, is under way. `not_before`: when the next attempt may start.

    `answered_since`: since when every attempt at the head was *answered* with a failure. What brings no answer
    (connect, timeout, TLS, DNS) says nothing of the event.

    `detached`: the delivery that is under way, once its endpoint has moved meanwhile: it is in the siding, or on its
    way there, and that copy of it stands in line, or will. The key is busy until it has ended.
    """

    __slots__ = ("answered_since", "busy", "detached", "failures", "items", "name", "not_before")

    def __init__(self, name: str) -> None:
        self.name = name
        self.items: list[Item] = []  # nearly always of one: a deque takes ten times the memory
        self.busy = False
        self.detached: Item | None = None
        self.not_before = 0.0
        self.failures = 0
        self.answered_since: float | None = None

    @property
    def head(self) -> Item:
        return self.items[0]

    def moves(self) -> None:
        """Nothing stands in line here any more. The record of the head stays: it comes again by another way."""
        if self.busy and self.detached is None:
            self.detached = self.head
            self.detached.again = True
        self.items.clear()

    def ended(self) -> bool:
        """What was under way has ended, and the next one starts with a clean record. True: it has left the line; False:
        it was detached, and its copy has not."""
        left = self.detached is None
        if left:
            del self.items[0]
        self.released()
        self.not_before = 0.0
        self.failures = 0
        self.answered_since = None
        return left

    def released(self) -> None:
        """Nothing of it is under way."""
        self.busy = False
        self.detached = None

    def failed(self, now: float, *, answered: bool) -> None:
        self.released()
        self.not_before = now + min(FIRST_BACKOFF_SECONDS * 2**self.failures, LONGEST_BACKOFF_SECONDS)
        self.failures = min(self.failures + 1, _MOST_DOUBLINGS)
        if not answered:
            self.answered_since = None
        elif self.answered_since is None:
            self.answered_since = now

    def blocked(self, now: float) -> bool:
        """Whether its head has been answered with failures for as long as its webhook allows."""
        if self.answered_since is None or not self.items:
            return False  # or it moves: its copy comes again
        return now - self.answered_since >= self.head.block_seconds
