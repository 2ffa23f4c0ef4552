"""Decides when a message is acked: how many of its deliveries are not settled yet, and how the others ended."""

from collections.abc import Callable

from worker.delivery.ports import Message
from worker.domain.event import Event, InvalidEvent, identity, parse
from worker.domain.past import Past


class OpenDeliveries:
    """Counts a message's open deliveries, and acks, hands back or rejects the message when the last one has left.

    The message is acked when every delivery in it ended in a 2xx, a skip or a confirmed publish. If one could not be
    published, the whole message is handed back: it is worse to lose a delivery than to make another twice. If one can
    never be published, for it is too large, the whole message becomes a dead letter for the same reason.

    `late`: it waited for a thread or the store, and what came after it may have been fanned out before.
    """

    __slots__ = ("_failed", "_open", "_rejected", "late", "message", "past")

    def __init__(self, message: Message, past: Past) -> None:
        self.message = message
        self.late = False
        self.past = past
        self._open = 1
        self._failed = False
        self._rejected = False

    def opened(self, deliveries: int) -> None:
        """The event fans out into so many deliveries (one is counted from the start)."""
        self._open += deliveries - 1

    def rejected(self) -> None:
        """One delivery has left, given up; it exists in the broker's copy of the message alone."""
        self._rejected = True
        self.closed()

    def closed(self, *, settled: bool = True) -> None:
        """One delivery has left; `settled=False`: it exists in the broker's copy of the message alone."""
        self._open -= 1
        self._failed = self._failed or not settled
        if self._open == 0:
            if self._failed:
                self.message.hand_back()
            elif self._rejected:
                self.message.reject()
            else:
                self.message.ack()


def read(message: Message, now: float, split: Callable[[bytes], Event] = parse) -> tuple[Past, Event | InvalidEvent]:
    """A message's past (carried in its headers, or begun `now`) and its event, or what is wrong with the message."""
    try:
        carried = message.past
        if carried is not None:
            return carried, split(message.body)
        return begun(message, now), split(message.body)
    except InvalidEvent as problem:
        return begun(message, now), problem


def past_of(message: Message, now: float) -> Past:
    """What it carries, or begun `now`, also where that is damaged."""
    try:
        return message.past or begun(message, now)
    except InvalidEvent:
        return begun(message, now)


def begun(message: Message, now: float) -> Past:
    """The past of a message that is taken for the first time."""
    event_id = identity(message.body, message.message_id)
    return Past(event_id, now, message.exchange, message.routing_key)
