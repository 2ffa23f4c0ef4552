"""A delivery in its lane (ports.Turn)."""

from typing import Protocol

from worker.delivery.taken import Taken
from worker.domain.outcome import Parked
from worker.domain.routing import Delivery


class Owner(Protocol):
    """Who hears of the turn: the pipeline."""

    def turn_came(self, taken: Taken, delivery: Delivery, *, waited: bool) -> None: ...
    def turn_passed(self, taken: Taken, delivery: Delivery, parked: Parked) -> None: ...


class LaneTurn:
    """`waited` is set once the delivery was not started at once: its webhook may be another one by then."""

    __slots__ = ("_delivery", "_owner", "_taken", "waited")

    def __init__(self, owner: Owner, taken: Taken, delivery: Delivery) -> None:
        self._owner = owner
        self._taken = taken
        self._delivery = delivery
        self.waited = False

    def start(self) -> None:
        self._owner.turn_came(self._taken, self._delivery, waited=self.waited)

    def park(self, parked: Parked) -> None:
        self._owner.turn_passed(self._taken, self._delivery, parked)
