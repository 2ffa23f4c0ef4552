"""When a failed or parked delivery is due again: whole seconds, one delay queue for each value."""

from bisect import bisect_left
from dataclasses import dataclass
from math import ceil

BASE_STEPS = (5, 15, 45, 135, 405, 1215, 3645)
"""Delay queues that always exist, for `Retry-After` and for parking."""

LONGEST_DELAY = 3600.0
"""Neither a `Retry-After` nor a parking asks for more than an hour."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The delays between attempts (`delays[0]` after the first), and every delay queue there is, ascending."""

    delays: tuple[int, ...]
    steps: tuple[int, ...]

    @property
    def attempts(self) -> int:
        """How many attempts a delivery has."""
        return len(self.delays) + 1

    def after(self, attempt: int) -> int | None:
        """Seconds to wait after the failed attempt number `attempt` (from 1); None: it was the last."""
        return self.delays[attempt - 1] if attempt <= len(self.delays) else None

    def covering(self, seconds: float) -> int:
        """The shortest delay queue that waits at least `seconds`, an hour at most."""
        wanted = min(LONGEST_DELAY, seconds)  # in this order NaN is an hour too
        return self.steps[bisect_left(self.steps, wanted)]


def schedule(attempts: int, initial: float, multiplier: float, longest: float) -> Schedule:
    """`min(initial * multiplier^(n-1), longest)` seconds for n = 1 .. attempts - 1, rounded up.

    A multiplier of 1 is the fixed delay of WEBHOOK_RETRY_USE_EXPONENTIAL_BACKOFF=false.
    """
    delays = []
    delay = float(initial)
    for _ in range(attempts - 1):
        delays.append(ceil(round(min(delay, longest), 6)))  # 100 * 1.1 is 110.00000000000001
        delay = min(delay * multiplier, longest)
    return Schedule(tuple(delays), tuple(sorted({*delays, *BASE_STEPS})))


def circuit_open_delay(age: float) -> float:
    """Seconds to park a delivery of this age behind an open circuit: a tenth of its age.

    So what waits behind an outage is offered again within a tenth of the outage's length after its end,
    and is touched a few dozen times a day rather than thousands.
    """
    return max(age, 0.0) / 10
