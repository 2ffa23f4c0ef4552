"""The attempts in flight, in the order of their start: those that grow old are found without a search."""

from collections import OrderedDict
from collections.abc import Iterator

from worker.admission.lanes import SLOW_SECONDS, Lane
from worker.domain.routing import Delivery


class Attempt:
    """One attempt in flight. `epoch` is that of the lane's breaker at the start."""

    __slots__ = ("delivery", "epoch", "lane", "started")

    def __init__(self, lane: Lane, delivery: Delivery, started: float, epoch: int) -> None:
        self.lane = lane
        self.delivery = delivery  # keeps it alive, and so its id() its own
        self.started = started
        self.epoch = epoch


class Attempts:
    """Attempts in flight, found by object identity: a repeated message makes an equal delivery, but another attempt."""

    def __init__(self) -> None:
        self._young: OrderedDict[int, Attempt] = OrderedDict()
        self._old: dict[int, Attempt] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def add(self, attempt: Attempt) -> None:
        self._young[id(attempt.delivery)] = attempt

    def remove(self, delivery: Delivery) -> Attempt:
        """The attempt has ended. Raises KeyError for a delivery that was not started, or is finished already."""
        key = id(delivery)
        attempt = self._young.pop(key, None)
        if attempt is not None:
            attempt.lane.end()
            return attempt
        attempt = self._old.pop(key)
        attempt.lane.end_old()
        return attempt

    def grown_old(self, now: float) -> Iterator[Lane]:
        """Calls `grow_old` on the lane of each attempt that has passed SLOW_SECONDS; yields it (one perhaps twice)."""
        while self._young:
            attempt = next(iter(self._young.values()))
            if now - attempt.started <= SLOW_SECONDS:
                return
            key, _ = self._young.popitem(last=False)
            self._old[key] = attempt
            attempt.lane.grow_old()
            yield attempt.lane
