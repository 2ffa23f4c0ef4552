"""Traces, as the composition root sees them. This class is what it gets while they are off."""

from collections.abc import Callable, Mapping

from worker.delivery.ports import Admission, Message, Recorder, Sender

Take = Callable[[Message], None]


class Tracing:
    """Wraps parts of the flow. Off: each part as it is, so that the flow pays nothing; otel.Otel traces."""

    @property
    def headers(self) -> Callable[[], Mapping[str, str]] | None:
        """AMQP headers that continue the trace of the delivery that calls; None: there are none."""
        return None

    def taking(self, take: Take) -> Take:
        """What messages are handed to."""
        return take

    def admission(self, admission: Admission) -> Admission:
        """What admits deliveries."""
        return admission

    def sender(self, sender: Sender) -> Sender:
        """What makes the POST."""
        return sender

    def recorder(self, recorder: Recorder) -> Recorder:
        """What hears how a delivery has left."""
        return recorder

    async def close(self) -> None:
        """Send what is left, within a few seconds."""
