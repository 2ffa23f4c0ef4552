"""When archived events came: for `ttl_seconds`, which counts from then. No message of the archive says it.

The archive is asked where some moments of the range begin; an event is taken for as old as the last moment in front of
it. Trade-off: it may be younger by up to a thirtieth of the range, so that a limit close to that skips too much.
"""

from bisect import bisect_right
from collections.abc import Iterable

from worker.replay.archive import Archive

MOMENTS = 30


class Times:
    """`moments`: (offset, Unix seconds), ascending."""

    def __init__(self, moments: Iterable[tuple[int, float]]) -> None:
        known = tuple(moments)
        self._offsets = [offset for offset, _ in known]
        self._times = [time for _, time in known]

    @classmethod
    async def asked(cls, archive: Archive, end: str, since: int, until: int) -> "Times":
        """`since` and `until` are Unix milliseconds. A consume for each moment."""
        found: list[tuple[int, float]] = []
        for number in range(MOMENTS):
            moment = (since + (until - since) * number / MOMENTS) / 1000
            offset = await archive.offset_at(moment, end)
            if offset is None:
                break
            found.append((offset, moment))
        return cls(found)

    def of(self, offset: int, otherwise: float) -> float:
        """Unix seconds; `otherwise` where nothing is known. In front of all moments: no younger than the first."""
        if not self._times:
            return otherwise
        return self._times[max(0, bisect_right(self._offsets, offset) - 1)]
