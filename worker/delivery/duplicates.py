"""Copies of one event that came over two exchanges (RABBITMQ_INSTANCE_EXCHANGES)."""

from collections import OrderedDict

from worker.domain.history import History

WINDOW_SECONDS = 60.0
MOST_REMEMBERED = 200_000


class Duplicates:
    """Recognises the second copy: the same event, on another exchange, within a minute.

    Copies are matched one to one, so that two equal events on the same exchange stay two. Memory of this
    process alone; across replicas both copies are sent, with one `webhook-id`.
    """

    def __init__(self) -> None:
        self._unmatched: OrderedDict[tuple[str, str], list[float]] = OrderedDict()
        self._exchanges: dict[str, set[str]] = {}

    def seen(self, history: History, exchange: str, monotonic: float) -> bool:
        """Whether this is the copy of an event that was taken from another exchange, not yet matched by one."""
        if not exchange or history.webhook_id is not None:
            return False  # it comes back, parked or redriven: not a copy
        self._forget(monotonic - WINDOW_SECONDS)
        for other in self._exchanges.get(history.event_id, ()):
            if other != exchange:
                self._take_one(history.event_id, other)
                return True
        self._remember(history.event_id, exchange, monotonic)
        return False

    def _remember(self, event_id: str, exchange: str, monotonic: float) -> None:
        self._unmatched.setdefault((event_id, exchange), []).append(monotonic)
        self._exchanges.setdefault(event_id, set()).add(exchange)

    def _take_one(self, event_id: str, exchange: str) -> None:
        times = self._unmatched[event_id, exchange]
        times.pop(0)
        if not times:
            self._drop(event_id, exchange)

    def _forget(self, before: float) -> None:
        while self._unmatched:
            (event_id, exchange), times = next(iter(self._unmatched.items()))
            if times[-1] >= before and len(self._unmatched) <= MOST_REMEMBERED:
                return
            self._drop(event_id, exchange)

    def _drop(self, event_id: str, exchange: str) -> None:
        del self._unmatched[event_id, exchange]
        exchanges = self._exchanges[event_id]
        exchanges.discard(exchange)
        if not exchanges:
            del self._exchanges[event_id]
