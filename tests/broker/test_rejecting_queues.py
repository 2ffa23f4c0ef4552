"""When a queue that rejects is tried on another channel."""

from __future__ import annotations

from worker.broker.publishing.rejecting_queues import PATIENCE_SECONDS, RejectingQueues


def changes(rejections: RejectingQueues, queue: str, start: float, end: float, step: float = 5.0) -> list[float]:
    """The times from `start` on at which rejections every `step` seconds ask for another channel."""
    times = [start + step * number for number in range(int((end - start) / step))]
    return [now for now in times if rejections.rejected(queue, now)]


def test_after_half_a_minute_of_rejections_and_then_ever_more_rarely() -> None:
    assert changes(RejectingQueues(), "dead", 0, 3000) == [30, 90, 210, 450, 930, 1530, 2130, 2730]


def test_a_success_on_that_queue_begins_anew_and_one_on_another_does_not() -> None:
    rejections = RejectingQueues()
    assert changes(rejections, "dead", 0, 30) == []
    rejections.accepted("dead")
    assert changes(rejections, "dead", 30, 60) == []
    rejections.accepted("retry")
    assert changes(rejections, "dead", 60, 65) == [60]


def test_rejections_far_apart_are_not_one_trouble() -> None:
    assert changes(RejectingQueues(), "dead", 0, 3600, step=2 * PATIENCE_SECONDS) == []
