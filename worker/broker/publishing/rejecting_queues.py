"""When to publish on a new connection because a queue nacks every publish (overflow `reject-publish`)."""

PATIENCE_SECONDS = 30.0
LONGEST_PATIENCE_SECONDS = 600.0

PAUSE_SECONDS = 15.0
"""A nacked publish is tried again within 5 s: nacks further apart than this belong to different troubles."""


class RejectingQueues:
    """The queues that nack, and how long a channel is kept all the same. Pure; monotonic seconds.

    RabbitMQ 3.10 goes on nacking a channel's publishes after the queue's length limit was removed, but takes the same
    from a new channel. A queue that is really full nacks those too: the patience doubles each time.
    """

    def __init__(self) -> None:
        self._rejecting: dict[str, tuple[float, float, float]] = {}  # (last, borne until, patience)

    def accepted(self, queue: str) -> None:
        if self._rejecting:
            self._rejecting.pop(queue, None)

    def rejected(self, queue: str, now: float) -> bool:
        """Records a nack; whether to publish on a new connection now."""
        last, until, patience = self._rejecting.get(queue, (float("-inf"), 0.0, PATIENCE_SECONDS))
        if now - last > PAUSE_SECONDS:
            patience = PATIENCE_SECONDS
            until = now + patience
        due = now >= until
        if due:
            patience = min(2 * patience, LONGEST_PATIENCE_SECONDS)
            until = now + patience
        self._rejecting[queue] = (now, until, patience)
        return due
