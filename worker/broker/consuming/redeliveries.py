"""Messages that the broker delivers again although this process has them, or is done with them."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from math import inf
from typing import Generic, Protocol, TypeVar

from worker.basics.clock import Clock
from worker.broker.past_headers import PREFIX
from worker.delivery.ports import Message

REMEMBERED_SECONDS = 300.0
"""After the reconnect."""

MOST_REMEMBERED = 10_000
"""Several prefetches: a broker that restarts again and again leaves one each time."""

LARGEST_BYTES = 256 * 1024
"""Of a body whose message is known again: hashing 20 MB would hold the event loop for 15 ms."""

_CHANGED_BY_BROKER = PREFIX + "count"  # RabbitMQ's x-delivery-count


class Headed(Message, Protocol):
    """A message whose AMQP headers can be compared."""

    @property
    def headers(self) -> Mapping[str, object]: ...


T = TypeVar("T", bound=Headed)


class Redeliveries(Generic[T]):
    """What became of messages whose channel broke before they could be acked.

    RabbitMQ delivers those again, although their POST is done or under way: up to a whole prefetch would be repeated.
    One that comes again to this replica is recognised; another one repeats it, with the same id. An ack that was
    written and then lost on its way is not remembered: nothing tells it from one that arrived.

    Each message answers for one redelivery, so of two with equal bytes neither is lost.
    """

    def __init__(self, monotonic: Clock) -> None:
        self._monotonic = monotonic
        self._under_way: defaultdict[int, list[T]] = defaultdict(list)
        self._settled: Counter[int] = Counter()
        self._remembered = 0
        self._until = inf

    def broken(self) -> None:
        """A channel is gone: what was settled on it is remembered at least until `reconnected`."""
        self._until = inf

    def reconnected(self) -> None:
        self._until = self._monotonic() + REMEMBERED_SECONDS

    def lost(self, message: T) -> None:
        """Its channel broke while it was being handled."""
        if len(message.body) <= LARGEST_BYTES:
            self._under_way[_mark(message)].append(message)

    def ended(self, message: T, *, settled: bool) -> None:
        """Remembers how a message ended whose channel closed before its ack or nack."""
        if len(message.body) > LARGEST_BYTES:
            return
        mark = _mark(message)
        self._take(mark, message)
        self._forget()
        if settled and self._remembered < MOST_REMEMBERED:
            self._settled[mark] += 1
            self._remembered += 1
            if self._until < inf:
                self.reconnected()

    def under_way(self, again: T) -> T | None:
        """The message that has come again, if it is still being handled."""
        known = self._under_way and len(again.body) <= LARGEST_BYTES
        return self._take(_mark(again)) if known else None

    def was_settled(self, again: T) -> bool:
        """Whether the message that has come again needs no more than an ack."""
        self._forget()
        if not self._remembered or len(again.body) > LARGEST_BYTES:
            return False
        mark = _mark(again)
        if mark not in self._settled:
            return False
        if self._settled[mark] == 1:
            del self._settled[mark]
        else:
            self._settled[mark] -= 1
        self._remembered -= 1
        return True

    def _forget(self) -> None:
        if self._monotonic() > self._until:
            self._settled.clear()
            self._remembered = 0

    def _take(self, mark: int, message: T | None = None) -> T | None:
        """A message with this mark (this very one, if it is given), which is known no longer."""
        candidates = self._under_way.get(mark, [])
        found = next((one for one in candidates if message is None or one is message), None)
        if found is not None:
            candidates.remove(found)
            if not candidates:
                del self._under_way[mark]
        return found


def _mark(message: Headed) -> int:
    headers = message.headers
    ours = tuple(repr((key, headers[key])) for key in headers if key.startswith(PREFIX) and key != _CHANGED_BY_BROKER)
    return hash((message.body, message.exchange, message.routing_key, message.message_id, ours))
