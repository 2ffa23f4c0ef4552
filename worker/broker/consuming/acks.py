"""Acknowledgements of one channel, a finished prefix in one frame."""

from collections import OrderedDict, deque
from collections.abc import Set as AbstractSet
from itertools import takewhile

PATIENCE = 40
"""Calls of `take` that an ack waits for the unfinished ones before it, so that one frame tells all of them: a publish
that is not confirmed yet, or an answer that takes 50 ms where others take 5. Trade-off: a kill repeats what was settled
in these 200 ms, or more where the event loop is late."""

WAITING_PART = 4
"""A quarter of the prefetch may be finished and wait: where fronts change, and each is slow."""


DEAR_WALK = 500_000
"""Un-acked messages that RabbitMQ has passed on its way to those acked by themselves, at 0.08 us each: 40 ms, several
times what a new channel costs (Relay)."""


class AckLedger:
    """Which delivery tags of a channel are settled, and which acks to send. Pure bookkeeping.

    Tags count up from 1. `take()` yields the acks that are due as (tag, multiple): the whole finished prefix
    in one, and by itself each tag that has waited behind unfinished ones for PATIENCE calls. It has waited for one
    call only where more wait than a part of the prefetch, since they take room in it, or where the first unfinished
    one has been there for PATIENCE calls: a receiver that hangs, whose end nothing is worth waiting for.

    One frame for a prefix costs a tenth of one for each message (60 us of CPU against 120 to 150).
    Memory and time are bounded by what is un-acked, however long one message at the front stays open.
    """

    def __init__(self) -> None:
        self._most_waiting = 0
        self._last = 0
        self._returned = 0
        self._calls = 0
        self._last_before: deque[int] = deque([0], maxlen=PATIENCE)  # at each of the last calls
        self._front, self._front_since = 0, 0
        self._open: OrderedDict[int, None] = OrderedDict()
        self._fresh: set[int] = set()
        self._walked = 0
        self._waiting: dict[int, int] = {}  # tag -> the call that left it waiting, the earliest first

    def expect(self, prefetch: int) -> None:
        """Says how many messages may be un-acked from now on, at one consumer. What was walked counts no more."""
        self._most_waiting = prefetch // WAITING_PART
        self._walked = 0

    def taken(self, tag: int) -> None:
        """Records a delivered tag as un-acked, and any tag skipped before it.

        So no `multiple` ack covers a message that nobody handled.
        """
        if tag == self._last + 1:
            self._open[tag] = None
            self._last = tag
            return
        for number in range(self._last + 1, tag + 1):
            self._open[number] = None
        self._last = max(self._last, tag)

    def passed(self, tag: int) -> None:
        """Records a delivered tag that was settled as it came."""
        if tag == self._last + 1:
            self._last = tag
            self._fresh.add(tag)
            return
        self.taken(tag)
        self.ack(tag)

    def ack(self, tag: int) -> None:
        """Marks a tag for the next ack frame."""
        del self._open[tag]
        self._fresh.add(tag)

    def handed_back(self, tag: int) -> None:
        """Records that the message was requeued by a nack of its own; until that is sent, its tag stays un-acked."""
        del self._open[tag]
        self._returned += 1

    def rejected(self, tag: int) -> None:
        """Records that the tag's message was dead-lettered by a nack of its own: it does not come back."""
        del self._open[tag]

    @property
    def kept(self) -> int:
        """Messages that were taken and not handed back: settled, or open."""
        return self._last - self._returned

    @property
    def settled(self) -> int:
        """Those of them that would not come back if the channel were lost (if their acks were sent in time)."""
        return self.kept - len(self._open)

    @property
    def unsettled(self) -> int:
        """Messages that the broker believes un-acked."""
        return len(self._open) + len(self._fresh) + len(self._waiting)

    @property
    def pending(self) -> bool:
        """Whether an ack has not been sent yet."""
        return bool(self._fresh or self._waiting)

    @property
    def waiting(self) -> AbstractSet[int]:
        """The tags that are settled and whose acks the last `take` left unsent."""
        return self._waiting.keys()

    @property
    def dear(self) -> bool:
        """Whether RabbitMQ has passed about DEAR_WALK open tags, at least, on its way to those acked by themselves."""
        return self._walked > DEAR_WALK

    @property
    def hanging(self) -> int:
        """Open tags that were there PATIENCE calls of `take` ago."""
        return self._open_until(self._last_before[0])

    def take(self) -> list[tuple[int, bool]]:
        self._calls += 1
        self._last_before.append(self._last)
        first_open = next(iter(self._open), self._last + 1)
        if not self._waiting and (highest := max(self._fresh, default=0)) < first_open:
            self._fresh = set()
            return [(highest, True)] if highest else []
        if first_open != self._front:
            self._front, self._front_since = first_open, self._calls
        prefix = self._take_prefix(first_open)
        late = self._take_late()
        self._waiting |= dict.fromkeys(sorted(self._fresh), self._calls)
        self._fresh = set()
        return ([(prefix, True)] if prefix else []) + [(tag, False) for tag in late]

    def _take_prefix(self, first_open: int) -> int:
        """The frame must name a tag that the broker still holds (it searches for that very tag): none acked before."""
        prefix = max((tag for tag in self._fresh | self._waiting.keys() if tag < first_open), default=0)
        if prefix:
            self._waiting = {tag: call for tag, call in self._waiting.items() if tag > first_open}
            self._fresh = {tag for tag in self._fresh if tag > first_open}
        return prefix

    def _take_late(self) -> list[int]:
        hopeless = self._calls - self._front_since >= PATIENCE
        too_many = len(self._waiting) - (0 if hopeless else self._most_waiting)
        late: list[int] = []
        for tag, call in self._waiting.items():
            if len(late) >= too_many and self._calls - call < PATIENCE:
                break
            late.append(tag)
        for tag in late:
            del self._waiting[tag]
        if late and not self.dear:
            self._walked += len(late) * self._open_until(late[0])
        return late

    def _open_until(self, tag: int) -> int:
        return sum(1 for _ in takewhile(tag.__ge__, self._open))
