"""The deliveries that have ended here: a copy that comes behind is not sent again."""

from __future__ import annotations

from array import array

MOST_REMEMBERED = 100_000
"""What is forgotten is repeated, and no worse."""


class Recent:
    """Two tables that take turns: what was added last is in one of them for at least `most / 2` further ones.

    Of an id its hash of 64 bits is kept, in tables that are made at the start: 2 MB that never grow, where sets of the
    ids came to 17 MB within a day. Trade-off: an event that RabbitMQ delivers again and whose hash is that of another
    one would be left out, never sent: the chance is one in 10^14 for each that comes again, and Python's hashes of
    strings are nobody's to choose.
    """

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._half = max(1, most // 2)
        self._last = (1 << (2 * self._half).bit_length()) - 1  # half of the places stay empty, so that few are tried
        self._new, self._old = self._empty(), self._empty()
        self._count = self._before = 0

    def __contains__(self, delivery_id: str) -> bool:
        mark = hash(delivery_id) or 1
        return any(table[self._place(table, mark)] for table in (self._new, self._old))

    def __len__(self) -> int:
        return self._count + self._before

    def add(self, delivery_id: str) -> None:
        mark = hash(delivery_id) or 1
        place = self._place(self._new, mark)
        if self._new[place]:
            return
        if self._count >= self._half:
            self._new, self._old = self._empty(), self._new
            self._count, self._before = 0, self._count
            place = mark & self._last
        self._new[place] = mark
        self._count += 1

    def _empty(self) -> array[int]:
        return array("q", bytes(8 * (self._last + 1)))

    def _place(self, table: array[int], mark: int) -> int:
        """Where it is, or would be: 0 stands there then."""
        last = self._last
        place = mark & last
        while (there := table[place]) and there != mark:
            place = (place + 1) & last
        return place
