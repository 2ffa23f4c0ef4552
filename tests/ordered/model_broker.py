"""RabbitMQ's single active consumer, as four real brokers were seen to behave (3.10.8, 4.0.5, 4.3.6 and a cluster).

- A closed channel gives the next consumer all that was un-acked, in the order of age, then what is newer.
- A cancelled consumer keeps what is un-acked, and the next one gets newer messages at once.
- A lost connection between nodes gives everything to another consumer and tells the old one nothing: its acks are void,
  and it is active again, on the same channel, when the others are gone.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(eq=False)
class Message:
    age: int
    body: object
    redelivered: bool = False


@dataclass(eq=False)
class Consumer:
    """`heard` gets what is delivered: (tag, message)."""

    queue: "Queue"
    prefetch: int
    heard: Callable[[int, Message], None]
    unacked: OrderedDict[int, Message] = field(default_factory=OrderedDict)
    tags: int = 0

    def ack(self, tag: int) -> None:
        """An ack of what was given to another consumer is void."""
        self.unacked.pop(tag, None)
        self.queue.deliver()


class Queue:
    def __init__(self) -> None:
        self.ready: deque[Message] = deque()
        self.consumers: list[Consumer] = []
        self._ages = 0

    def publish(self, body: object) -> None:
        self._ages += 1
        self.ready.append(Message(self._ages, body))
        self.deliver()

    def consume(self, prefetch: int, heard: Callable[[int, Message], None]) -> Consumer:
        consumer = Consumer(self, prefetch, heard)
        self.consumers.append(consumer)
        self.deliver()
        return consumer

    def close(self, consumer: Consumer) -> None:
        """Its channel, or connection, has closed."""
        if consumer in self.consumers:
            self.consumers.remove(consumer)
        self._returned(consumer)

    def cancel(self, consumer: Consumer) -> None:
        self.consumers.remove(consumer)
        self.deliver()

    def nack_all(self, consumer: Consumer) -> None:
        self._returned(consumer)

    def blip(self) -> None:
        if len(self.consumers) > 1:
            consumer = self.consumers.pop(0)
            self.consumers.append(consumer)
            self._returned(consumer)

    def deliver(self) -> None:
        while self.consumers and self.ready and len(self.consumers[0].unacked) < self.consumers[0].prefetch:
            active, message = self.consumers[0], self.ready.popleft()
            active.tags += 1
            active.unacked[active.tags] = message
            active.heard(active.tags, message)

    @property
    def empty(self) -> bool:
        return not self.ready and not any(consumer.unacked for consumer in self.consumers)

    def _returned(self, consumer: Consumer) -> None:
        back = sorted(consumer.unacked.values(), key=lambda message: message.age)
        consumer.unacked.clear()
        for message in back:
            message.redelivered = True
        self.ready = deque(sorted([*back, *self.ready], key=lambda message: message.age))
        self.deliver()
