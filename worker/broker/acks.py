"""Acknowledgements of one channel, a finished prefix in one frame."""


class AckLedger:
    """Which delivery tags of a channel are settled, and what to tell the broker of them. Pure bookkeeping.

    Tags count up from 1. `take()` yields the acks that are due as (tag, multiple): the whole finished prefix
    in one, and each tag that was already waiting behind an unfinished one at the previous call by itself, so
    that nothing finished stays un-acked for longer than two calls.

    One frame for a prefix costs a tenth of one for each message (FACTS: 60 us against 120-150 a message).
    """

    def __init__(self) -> None:
        self._floor = 0
        self._settled: set[int] = set()
        self._waiting: set[int] = set()
        self._told: set[int] = set()

    def ack(self, tag: int) -> None:
        self._settled.add(tag)

    def handed_back(self, tag: int) -> None:
        """Settled by a nack of its own; only the prefix has to know."""
        self._settled.add(tag)
        self._told.add(tag)

    @property
    def pending(self) -> bool:
        """Whether something settled has not been told yet."""
        return len(self._settled) > len(self._told)

    def take(self) -> list[tuple[int, bool]]:
        due = self._prefix()
        late = sorted(tag for tag in self._waiting if tag in self._settled and tag not in self._told)
        self._told.update(late)
        self._waiting = self._settled - self._told
        return due + [(tag, False) for tag in late]

    def _prefix(self) -> list[tuple[int, bool]]:
        floor, last = self._floor, 0
        while floor + 1 in self._settled:
            floor += 1
            self._settled.discard(floor)
            if floor in self._told:
                self._told.discard(floor)
            else:
                last = floor
        self._floor = floor
        # The frame must name a tag that the broker still holds: it searches for that very tag.
        return [(last, True)] if last else []
