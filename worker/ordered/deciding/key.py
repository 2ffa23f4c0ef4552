"""The deliveries of one order key: the first alone is attempted, again and again in place."""

from collections import deque

from worker.ordered.deciding.ports import Item
from worker.ordered.deciding.rules import FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS

_MOST_DOUBLINGS = 6


class Key:
    """`busy`: an attempt at its head, or its dead letter, is under way. `not_before`: when the next attempt may start.

    `answered_since`: since when every attempt at the head was *answered* with a failure. What brings no answer
    (connect, timeout, TLS, DNS) says nothing of the event.
    """

    __slots__ = ("answered_since", "busy", "failures", "items", "name", "not_before")

    def __init__(self, name: str) -> None:
        self.name = name
        self.items: deque[Item] = deque()
        self.busy = False
        self.not_before = 0.0
        self.failures = 0
        self.answered_since: float | None = None

    @property
    def head(self) -> Item:
        return self.items[0]

    def ready(self, now: float) -> bool:
        return bool(self.items) and not self.busy and now >= self.not_before

    def ended(self) -> None:
        """The head has left: the next one starts with a clean record."""
        self.items.popleft()
        self.busy = False
        self.not_before = 0.0
        self.failures = 0
        self.answered_since = None

    def failed(self, now: float, *, answered: bool) -> None:
        self.busy = False
        self.not_before = now + min(FIRST_BACKOFF_SECONDS * 2**self.failures, LONGEST_BACKOFF_SECONDS)
        self.failures = min(self.failures + 1, _MOST_DOUBLINGS)
        if not answered:
            self.answered_since = None
        elif self.answered_since is None:
            self.answered_since = now

    def blocked(self, now: float) -> bool:
        """Whether its head has been answered with failures for as long as its webhook allows."""
        return self.answered_since is not None and now - self.answered_since >= self.head.block_seconds
