"""The sidings there are, as the active replica knows them."""

from collections.abc import Iterator
from typing import Protocol

from worker.domain.webhook import Endpoint
from worker.ordered.deciding.line import Line
from worker.ordered.deciding.ports import Acts, Item
from worker.ordered.deciding.role import Role, State
from worker.ordered.deciding.rules import Rules
from worker.ordered.deciding.siding import Siding, Stage


class Lines(Protocol):
    """Where what comes from a siding is attempted."""

    def line(self, endpoint: Endpoint) -> Line: ...
    def feed(self, line: Line, item: Item, now: float) -> None: ...
    def start(self, line: Line, now: float) -> None:
        """Whatever of it may start."""


class Sidings:
    """All sidings, by number. Every `now` is monotonic, in seconds."""

    def __init__(self, acts: Acts, role: Role, rules: Rules, lines: Lines) -> None:
        self._acts = acts
        self._role = role
        self._rules = rules
        self._lines = lines
        self._all: dict[int, Siding] = {}
        self._highest_use = 0

    def __getitem__(self, number: int) -> Siding:
        return self._all[number]

    def __iter__(self) -> Iterator[Siding]:
        return iter(self._all.values())

    def add(self, number: int, stage: Stage) -> Siding:
        siding = self._all[number] = Siding(number, stage)
        return siding

    def used(self) -> list[Siding]:
        return [siding for siding in self if siding.stage in (Stage.USED, Stage.EMPTIED)]

    @property
    def publishing(self) -> bool:
        return any(siding.unconfirmed for siding in self)

    def free(self) -> Siding | None:
        """The lowest free one, or one more; None: there may be no more."""
        for siding in self:
            if siding.stage is Stage.FREE:
                return siding
        number = len(self._all) + 1
        return self.add(number, Stage.FREE) if number <= self._rules.most_sidings else None

    def next_use(self) -> int:
        """Higher than any use that was seen, and than that of any epoch before."""
        self._highest_use = max(self._highest_use, self._role.epoch) + 1
        return self._highest_use

    def use_seen(self, use: int) -> None:
        self._highest_use = max(self._highest_use, use)

    def line_of(self, siding: Siding) -> Line:
        assert siding.endpoint is not None
        return self._lines.line(siding.endpoint)

    def serve(self, line: Line, now: float) -> None:
        """What has come from its first siding stands in line; a copy of what has ended leaves it at once."""
        for item in list(line.sidings[0].items):
            self._lines.feed(line, item, now)

    def say(self, siding: Siding, now: float) -> None:
        """Publishes the label or marker that is due."""
        if siding.wanted is not None and self._role.may_publish(now):
            siding.control = siding.stamp(siding.wanted, self._role.epoch)
            siding.wanted, siding.said = None, False
            self._acts.publish(siding.number, siding.control, None)

    def drop(self, siding: Siding, token: object, now: float) -> None:
        """Acks a message that no use of this siding has."""
        if self._role.state is not State.GONE and self._role.lease.valid(now):
            self._acts.drop(siding.number, token)
        else:
            siding.late.append(token)
