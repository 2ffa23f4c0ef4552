"""A delivery in its lane, from its admission to its end there."""

from typing import Protocol

from worker.delivery.open_deliveries import OpenDeliveries
from worker.domain.choosing.timely import LatestKey
from worker.domain.outcome import Parked
from worker.domain.routing import Delivery


class Decided(Protocol):
    """What the pipeline does when the lane decides."""

    def turn_came(self, turn: "DeliveryTurn") -> None: ...
    def turn_passed(self, turn: "DeliveryTurn", parked: Parked) -> None: ...


class DeliveryTurn:
    """A turn of one delivery (ports.Turn). `waited`: it was not started at once, its webhook may be another one now.

    `latest`: what it may be superseded by.
    """

    __slots__ = ("_decided", "deliveries", "delivery", "latest", "waited")

    def __init__(
        self, decided: Decided, deliveries: OpenDeliveries, delivery: Delivery, latest: LatestKey | None
    ) -> None:
        self._decided = decided
        self.deliveries = deliveries
        self.delivery = delivery
        self.latest = latest
        self.waited = False

    def start(self) -> None:
        self._decided.turn_came(self)

    def park(self, parked: Parked) -> None:
        self._decided.turn_passed(self, parked)
