"""Messages that the broker delivers again although this process has them, or is done with them."""

from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

from worker.delivery.ports import Clock
from worker.domain.history import PREFIX

REMEMBERED_SECONDS = 300.0
MOST_REMEMBERED = 10_000
"""Several prefetches: a broker that restarts again and again leaves one each time."""

LARGEST_BYTES = 256 * 1024
"""Of a body whose message is known again: hashing 20 MB would hold the event loop for 15 ms."""

_CHANGED_BY_BROKER = PREFIX + "count"  # RabbitMQ's x-delivery-count


class Delivered(Protocol):
    """What tells one message from another."""

    @property
    def body(self) -> bytes: ...
    @property
    def headers(self) -> Mapping[str, object]: ...
    @property
    def message_id(self) -> str | None: ...
    @property
    def exchange(self) -> str: ...
    @property
    def routing_key(self) -> str: ...


T = TypeVar("T", bound=Delivered)


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
        self._settled: deque[tuple[float, int]] = deque(maxlen=MOST_REMEMBERED)

    def lost(self, message: T) -> None:
        """Its channel broke while it was being handled."""
        if len(message.body) <= LARGEST_BYTES:
            self._under_way[_mark(message)].append(message)

    def ended(self, message: T, *, settled: bool) -> None:
        """It could not be acked, or handed back: its channel is gone."""
        if len(message.body) > LARGEST_BYTES:
            return
        mark = _mark(message)
        self._take(mark, message)
        if settled:
            self._settled.append((self._monotonic(), mark))

    def under_way(self, again: T) -> T | None:
        """The message that has come again, if it is still being handled."""
        return self._take(_mark(again)) if self._under_way else None

    def was_settled(self, again: T) -> bool:
        """Whether the message that has come again needs no more than an ack."""
        oldest = self._monotonic() - REMEMBERED_SECONDS
        while self._settled and self._settled[0][0] < oldest:
            self._settled.popleft()
        if not self._settled:
            return False
        mark = _mark(again)
        known = next((entry for entry in self._settled if entry[1] == mark), None)
        if known is not None:
            self._settled.remove(known)
        return known is not None

    def _take(self, mark: int, message: T | None = None) -> T | None:
        """A message with this mark (this very one, if it is given), which is known no longer."""
        candidates = self._under_way.get(mark, [])
        found = next((one for one in candidates if message is None or one is message), None)
        if found is not None:
            candidates.remove(found)
            if not candidates:
                del self._under_way[mark]
        return found


def _mark(message: Delivered) -> int:
    headers = message.headers
    ours = tuple(repr((key, headers[key])) for key in headers if key.startswith(PREFIX) and key != _CHANGED_BY_BROKER)
    return hash((message.body, message.exchange, message.routing_key, message.message_id, ours))
