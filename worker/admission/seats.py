"""Decides how many deliveries may wait in one lane, from the lane's pace."""

from math import inf

from worker.admission.lanes import Lane

SOON_SECONDS = 0.25
"""A delivery that its lane expects to start within this time waits, however many do: parking it would take longer,
and the messages behind it in the queue lose no more than this. A new endpoint is trusted for as long."""

ROOM_SECONDS = 1.0
MOST_WAITING = 100
"""A slower lane keeps as many waiting as it expects to start within ROOM_SECONDS, at most MOST_WAITING."""


def soon(lane: Lane, now: float) -> float:
    """How many waiting deliveries the lane should start within SOON_SECONDS; fewer the longer none ends."""
    if now < lane.born + SOON_SECONDS and lane.bucket is None and not lane.breaker.consecutive:
        return inf
    return min(lane.rate, lane.limit / max(lane.stalled(now), 0.001)) * SOON_SECONDS


def room(lane: Lane, most: int, now: float) -> int:
    """How many deliveries may wait: what starts within ROOM_SECONDS, at least the lane's limit, at most `most`.

    Only one where no attempt has ended for a second, and for twice as long as one should take: each waiting delivery
    holds an un-acked message, and twenty endpoints that hang would hold half of them.
    """
    if lane.stalled(now) > max(ROOM_SECONDS, 2 * lane.latency):
        return 1
    return max(1, min(max(lane.limit, int(lane.rate * ROOM_SECONDS)), MOST_WAITING, most))
