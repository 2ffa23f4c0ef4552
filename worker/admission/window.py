"""Counts of the last while, by bucket of time: two small objects where an endpoint has nothing but successes."""

from math import inf

BUCKETS = 6
"""Of a window. Those that are over and ended within it count, beside the one that is not over."""

_SHORTEST_SECONDS = 0.001
"""Of a bucket: the number of one that is shorter could become infinite."""

_BITS = 40
_ONE = (1 << _BITS) - 1
_ALL = (1 << _BITS * BUCKETS) - 1


class Buckets:
    """The parts that time is divided into, the same for all endpoints.

    So they share the number of the current one: with ends of their own, those of 10,000 endpoints are in no cache of
    the processor.
    """

    __slots__ = ("_end", "_number", "_seconds")

    def __init__(self, window_seconds: float) -> None:
        self._seconds = max(window_seconds / BUCKETS, _SHORTEST_SECONDS)
        self._number = 0
        self._end = -inf

    def at(self, now: float) -> int:
        """The number of the bucket of a monotonic reading in seconds. It never goes back."""
        if now >= self._end:
            self._number = int(now // self._seconds)
            self._end = (self._number + 1) * self._seconds
        return self._number


class Tally:
    """How many came, in the bucket that is not over and in those of the window before it.

    The latter are one integer, the youngest in its lowest bits. An endpoint that gets an event every few seconds begins
    a bucket with nearly each: with a list of the older ones that was four misses of the processor's cache and 2,000
    instructions of a delivery.
    """

    __slots__ = ("_bucket", "_count", "_older")

    def __init__(self) -> None:
        self._bucket = 0
        self._count = 0
        self._older = 0

    def add(self, bucket: int) -> None:
        """One more, in this bucket (`Buckets.at`)."""
        if bucket != self._bucket:
            self._begin(bucket)
        self._count += 1

    def total(self, bucket: int) -> int:
        """Of the window that ends in this bucket."""
        if bucket != self._bucket:
            self._begin(bucket)
        total, older = self._count, self._older
        while older:
            total += older & _ONE
            older >>= _BITS
        return total

    def _begin(self, bucket: int) -> None:
        passed = bucket - self._bucket
        if passed > BUCKETS:
            self._older = 0
        else:
            self._older = (self._older << _BITS | self._count) << (passed - 1) * _BITS & _ALL
        self._bucket = bucket
        self._count = 0
