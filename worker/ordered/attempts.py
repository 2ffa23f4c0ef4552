"""Attempts of ordered deliveries: without a task while all is as nearly always, and cut with their connection."""

from collections.abc import Coroutine
from typing import Any, Protocol

from worker.basics.next_turn import NextTurn
from worker.basics.tasks import Tasks
from worker.delivery.attempt import Attempt, Attempter
from worker.delivery.ports import Post
from worker.domain.outcome import Parked
from worker.domain.routing import Delivery
from worker.domain.verdict import Result
from worker.ordered.deciding.core import Core
from worker.ordered.deciding.ports import Item
from worker.ordered.token import OrderedToken


class Decided(Protocol):
    """What becomes of a turn."""

    def turn_came(self, turn: "OrderedTurn") -> None: ...
    def turn_passed(self, turn: "OrderedTurn", parked: Parked) -> None: ...
    def ended(self, turn: "OrderedTurn", attempt: Attempt) -> None:
        """Also after the end of the core's connection."""


class OrderedTurn:
    """One ordered delivery in its lane (delivery.ports.Turn), and its attempt (ports.PostEnd). `waited`: it was not
    started at once, its webhook may be another one now."""

    __slots__ = (
        "_attempts",
        "_decided",
        "core",
        "delivery",
        "item",
        "post",
        "result",
        "seconds",
        "size",
        "started",
        "token",
        "waited",
    )

    started: float
    seconds: float
    size: int
    post: Post | None
    result: Result

    def __init__(
        self,
        decided: Decided,
        attempts: "OrderedAttempts",
        core: Core,
        item: Item,
        token: OrderedToken,
        delivery: Delivery,
    ) -> None:
        self._decided = decided
        self._attempts = attempts
        self.core = core
        self.item = item
        self.token = token
        self.delivery = delivery
        self.waited = False

    def start(self) -> None:
        self._decided.turn_came(self)

    def park(self, parked: Parked) -> None:
        self._decided.turn_passed(self, parked)

    def answered(self, result: Result) -> None:
        self._attempts.answered(self, result)

    def goes_on(self, rest: Coroutine[Any, Any, Result]) -> None:
        self._attempts.goes_on(self, rest)

    def ended(self, attempt: Attempt) -> None:
        self._decided.ended(self, attempt)


class OrderedAttempts:
    """All that are under way, of every connection."""

    def __init__(self, attempter: Attempter) -> None:
        self._attempter = attempter
        self._running: set[OrderedTurn] = set()
        self._tasks: dict[Core, Tasks] = {}
        self._cutting = Tasks()
        self._answered = NextTurn(self._judge)

    @property
    def begins(self) -> bool:
        """Whether they may begin without a task."""
        return self._attempter.begins

    def begin(self, turn: OrderedTurn) -> None:
        """It ends in `OrderedTurn.ended`, never at once. For `write_begun` see ports.Posts."""
        size = turn.item.size
        if self._attempter.begin(turn.delivery, size, turn):
            self._running.add(turn)
        else:
            self.start(turn.core, self._attempt(turn, size))

    def write_begun(self) -> None:
        self._attempter.write_begun()

    def start(self, core: Core, work: Coroutine[Any, Any, None]) -> None:
        """A task that ends with the core's connection."""
        self._tasks.setdefault(core, Tasks()).start(work)

    def forget(self, core: Core) -> None:
        """Its connection ends. What has been answered, on any connection, is judged now, and its own attempts are
        cut: another replica makes them again."""
        self._answered.flush()
        for turn in [turn for turn in self._running if turn.core is core]:
            if turn.post is not None:
                turn.post.go_on()
        tasks = self._tasks.pop(core, None)
        if tasks is not None:
            self._cutting.start(tasks.end())

    def answered(self, turn: OrderedTurn, result: Result) -> None:
        """It is judged in the next turn of the loop, as in delivery/begun.py."""
        self._running.remove(turn)
        self._attempter.answered(turn, result)
        self._answered.add(turn)

    def goes_on(self, turn: OrderedTurn, rest: Coroutine[Any, Any, Result]) -> None:
        self._running.remove(turn)
        turn.post = None
        self.start(turn.core, self._rest(turn, rest))

    def _judge(self, turn: OrderedTurn) -> None:
        turn.ended(self._attempter.judged(turn.delivery, turn.seconds, turn.size, turn.result))

    async def _attempt(self, turn: OrderedTurn, size: int) -> None:
        turn.ended(await self._attempter.attempt(turn.delivery, size))

    async def _rest(self, turn: OrderedTurn, rest: Coroutine[Any, Any, Result]) -> None:
        turn.ended(await self._attempter.rest(turn.delivery, turn.started, turn.size, rest))
