"""Copies of one event that came over two exchanges (RABBITMQ_INSTANCE_EXCHANGES)."""

from collections import OrderedDict
from itertools import count

from worker.domain.past import Past

WINDOW_SECONDS = 60.0
MOST_REMEMBERED = 200_000


class Duplicates:
    """Recognises the second copy: the same event, on another exchange, within a minute.

    Copies are matched one to one, so that two equal events on the same exchange stay two. Memory of this
    process alone; across replicas both copies are sent, with one `webhook-id`.
    """

    def __init__(self) -> None:
        self._sightings: OrderedDict[int, tuple[float, str, str]] = OrderedDict()  # unmatched, the oldest first
        self._by_event: dict[str, dict[int, str]] = {}
        self._numbers = count()

    def seen(self, past: Past, exchange: str, monotonic: float) -> bool:
        """Whether this is the second copy of an event whose first one came over another exchange."""
        if not exchange or past.webhook_id is not None:
            return False  # a retry, a parked or a redriven delivery: not a copy
        self._forget(monotonic - WINDOW_SECONDS)
        for number, other in self._by_event.get(past.event_id, {}).items():
            if other != exchange:
                self._drop(number)
                return True
        self._remember(past.event_id, exchange, monotonic)
        return False

    def _remember(self, event_id: str, exchange: str, monotonic: float) -> None:
        number = next(self._numbers)
        self._sightings[number] = (monotonic, event_id, exchange)
        self._by_event.setdefault(event_id, {})[number] = exchange

    def _forget(self, before: float) -> None:
        while self._sightings:
            number, (seen, _, _) = next(iter(self._sightings.items()))
            if seen >= before and len(self._sightings) < MOST_REMEMBERED:
                return
            self._drop(number)

    def _drop(self, number: int) -> None:
        _, event_id, _ = self._sightings.pop(number)
        copies = self._by_event[event_id]
        del copies[number]
        if not copies:
            del self._by_event[event_id]
