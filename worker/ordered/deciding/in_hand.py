"""All ordered endpoints for which something is in hand."""

from collections.abc import Sequence

from worker.domain.webhook import Endpoint
from worker.ordered.deciding.line import DIRECT, Line
from worker.ordered.deciding.ports import Item


class InHand:
    """Their lines. `by_endpoint` is for whoever looks one up at each delivery."""

    def __init__(self) -> None:
        self.by_endpoint: dict[Endpoint, Line] = {}

    def all(self) -> list[Line]:
        return list(self.by_endpoint.values())

    def line(self, endpoint: Endpoint) -> Line:
        found = self.by_endpoint.get(endpoint)
        if found is None:
            found = self.by_endpoint[endpoint] = Line(endpoint)
        return found

    def forget_idle(self) -> None:
        """At a beat, and not with their last delivery: most endpoints have the next one before that."""
        for line in [line for line in self.by_endpoint.values() if line.empty]:
            del self.by_endpoint[line.endpoint]

    def direct(self) -> list[Line]:
        """Those that hold messages of the queue, and are not about to pass them on."""
        return [line for line in self.by_endpoint.values() if line.mode is DIRECT and line.fresh]

    def taken_of(self, endpoint: Endpoint) -> tuple[Item, ...]:
        """What came from the queue for it, and neither has ended nor is in a siding."""
        line = self.by_endpoint.get(endpoint)
        return tuple(line.fresh) if line is not None else ()

    def any_of(self, items: Sequence[Item]) -> bool:
        """Whether one of these, which `taken_of` gave, is still there."""
        line = self.by_endpoint.get(items[0].endpoint) if items else None
        return line is not None and any(item in line.fresh for item in items)

    @property
    def under_way(self) -> bool:
        return any(line.under_way for line in self.by_endpoint.values())

    @property
    def bytes(self) -> int:
        """Of the bodies of what came from the queue."""
        return sum(line.bytes for line in self.by_endpoint.values())

    @property
    def waits_since(self) -> float | None:
        """When the oldest delivery that came from the queue was taken (monotonic); None: there is none."""
        return min((line.waits_since() for line in self.by_endpoint.values() if line.fresh), default=None)
