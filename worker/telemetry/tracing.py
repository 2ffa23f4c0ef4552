"""Traces, as the composition root sees them. This class is what it gets while they are off."""

from collections.abc import Callable, Mapping

from worker.delivery.ports import Admission, Message, Posts, Recorder, Sender

Handle = Callable[[Message], None]


class Tracing:
    """Wraps parts of the flow. Off: each part as it is, so that the flow pays nothing; otel.Otel traces."""

    @property
    def headers(self) -> Callable[[], Mapping[str, str]] | None:
        """AMQP headers that continue the trace of the delivery that calls; None: there are none."""
        return None

    def handler(self, handle: Handle) -> Handle:
        """Wraps the message handler with spans."""
        return handle

    def admission(self, admission: Admission) -> Admission:
        """Wraps the admission, so that each delivery keeps the context of its own spans."""
        return admission

    def sender(self, sender: Sender) -> Sender:
        """Wraps the sender with spans, one for each POST."""
        return sender

    def posts(self, posts: Posts, /) -> Posts | None:
        """POSTs without a task; None: none, as a span takes a task's context."""
        return posts

    def recorder(self, recorder: Recorder) -> Recorder:
        """Wraps the recorder, which ends the spans of a delivery that has left."""
        return recorder

    async def close(self) -> None:
        """Send what is left, within a few seconds."""
