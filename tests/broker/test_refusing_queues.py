"""When a queue that refuses is tried on another channel."""

from __future__ import annotations

from worker.broker.publishing.refusing_queues import PATIENCE_SECONDS, RefusingQueues


def changes(rejections: RefusingQueues, queue: str, start: float, end: float, step: float = 5.0) -> list[float]:
    """The times from `start` on at which refusals every `step` seconds ask for another channel."""
    times = [start + step * number for number in range(int((end - start) / step))]
    return [now for now in times if rejections.refused(queue, now)]


def test_after_half_a_minute_of_refusals_and_then_ever_more_rarely() -> None:
    assert changes(RefusingQueues(), "dead", 0, 3000) == [30, 90, 210, 450, 930, 1530, 2130, 2730]


def test_a_success_on_that_queue_begins_anew_and_one_on_another_does_not() -> None:
    rejections = RefusingQueues()
    assert changes(rejections, "dead", 0, 30) == []
    rejections.accepted("dead")
    assert changes(rejections, "dead", 30, 60) == []
    rejections.accepted("retry")
    assert changes(rejections, "dead", 60, 65) == [60]


def test_refusals_far_apart_are_not_one_trouble() -> None:
    assert changes(RefusingQueues(), "dead", 0, 3600, step=2 * PATIENCE_SECONDS) == []
