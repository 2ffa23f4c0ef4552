"""Inversions: events that reached a receiver before what was said before them had ended there. Pure.

What is known of each event is what its publisher and its receiver have seen. Both may leave a doubt: which of two
events RabbitMQ took first, or when a delivery was given up. A doubt never counts as an inversion; where there is none,
nothing is forgiven.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

REFUSED = frozenset({404, 410})
"""Answers that end a delivery at once."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A POST of the event; `answered` with `status`, None: it never was. In monotonic seconds."""

    at: float
    answered: float | None = None
    status: int | None = None

    @property
    def final(self) -> bool:
        return self.status is not None and (200 <= self.status < 300 or self.status in REFUSED)


@dataclass(frozen=True, slots=True)
class Said:
    """One event of one order key of one webhook.

    It was published as the `number`-th, by the publisher's `connection`, at `at`; its confirm came at `confirmed`
    (None: never, and RabbitMQ may have it or not). `given_up`: a dead letter says when (None: there is none); -inf:
    there is one, and it does not say.
    """

    number: int
    at: float = 0.0
    confirmed: float | None = None
    connection: int = 0
    arrivals: Sequence[Arrival] = field(default=())
    given_up: float | None = None

    @property
    def came(self) -> float | None:
        """When it arrived first."""
        return min((arrival.at for arrival in self.arrivals), default=None)

    @property
    def over(self) -> float | None:
        """The earliest moment at which its delivery may have ended; None: it has not."""
        ends = [arrival.answered for arrival in self.arrivals if arrival.final and arrival.answered is not None]
        if self.given_up is not None:
            # Not before one of its attempts had ended, if there was any.
            tried = [arrival.answered for arrival in self.arrivals if arrival.answered is not None]
            ends.append(max(self.given_up, min(tried, default=self.given_up)))
        return min(ends, default=None)

    def surely_before(self, other: Said) -> bool:
        """Whether RabbitMQ took it first: a connection's are taken in order, and what was confirmed had been taken."""
        if self.number >= other.number:
            return False
        return self.connection == other.connection or (self.confirmed is not None and self.confirmed <= other.at)


@dataclass(frozen=True, slots=True)
class Inversion:
    """`later` arrived although `earlier` had not ended."""

    earlier: Said
    later: Said

    def __str__(self) -> str:
        over = "never" if self.earlier.over is None else f"at {self.earlier.over:.3f}"
        return f"event {self.later.number} came at {self.later.came:.3f}, event {self.earlier.number} ended {over}"


def inversions(said: Iterable[Said]) -> list[Inversion]:
    """Of one key: an event counts once, with the first of those that it came too early for.

    What never arrived and has no dead letter is no inversion: RabbitMQ may never have had it, and if it had, it is
    lost, which the ledger tells. What has arrived and never ended is one for all that came later.
    """
    ordered = sorted(said, key=lambda one: one.number)
    found = []
    for place, later in enumerate(ordered):
        came = later.came
        if came is None:
            continue
        earlier = next((one for one in ordered[:place] if _too_early(came, one) and one.surely_before(later)), None)
        if earlier is not None:
            found.append(Inversion(earlier, later))
    return found


def _too_early(came: float, earlier: Said) -> bool:
    over = earlier.over
    if over is None:
        return earlier.came is not None
    return came < over
