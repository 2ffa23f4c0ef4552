"""Attempts that have no task: begun by a call, ended by another one when the answer has come.

A task for each attempt, with what waits in it, is a tenth of all instructions of a delivery. Whatever is not as nearly
always goes on in a task, the same as that of an attempt which had one from the start.

What came together is judged and settled together, in the next turn of the loop: between two reads of sockets the kernel
takes from the processor's caches what settles the next one (decision 5).
"""

from collections.abc import Coroutine
from typing import Any

from worker.basics.next_turn import NextTurn
from worker.basics.tasks import Tasks
from worker.delivery.attempt import Attempter
from worker.delivery.ports import Post
from worker.delivery.settle import Settler
from worker.delivery.turn import DeliveryTurn
from worker.domain.verdict import Result


class BegunAttempt:
    """One of them (ports.PostEnd)."""

    __slots__ = ("_all", "post", "result", "seconds", "size", "started", "turn")

    started: float
    seconds: float
    size: int
    post: Post | None
    result: Result

    def __init__(self, begun: "BegunAttempts", turn: DeliveryTurn) -> None:
        self._all = begun
        self.turn = turn

    def answered(self, result: Result) -> None:
        self._all.answered(self, result)

    def goes_on(self, rest: Coroutine[Any, Any, Result]) -> None:
        self._all.goes_on(self, rest)


class BegunAttempts:
    """All of them. `tasks`: where they go on that need one."""

    def __init__(self, attempter: Attempter, settler: Settler, tasks: Tasks) -> None:
        self._attempter = attempter
        self._settler = settler
        self._tasks = tasks
        self._answered = NextTurn(self._settle)
        self._running: set[BegunAttempt] = set()

    def begin(self, turn: DeliveryTurn) -> bool:
        """False: nothing was begun, the attempt takes a task."""
        attempt = BegunAttempt(self, turn)
        if not self._attempter.begin(turn.delivery, len(turn.deliveries.message.body), attempt):
            return False
        self._running.add(attempt)
        return True

    def answered(self, attempt: BegunAttempt, result: Result) -> None:
        self._running.remove(attempt)
        self._attempter.answered(attempt, result)
        self._answered.add(attempt)

    def goes_on(self, attempt: BegunAttempt, rest: Coroutine[Any, Any, Result]) -> None:
        self._running.remove(attempt)
        attempt.post = None
        self._tasks.start(self._rest(attempt, rest))

    def all_go_on(self) -> None:
        """In tasks, which a drain can wait for and cut. What has been answered is settled now."""
        self._answered.flush()
        for attempt in tuple(self._running):
            if attempt.post is not None:
                attempt.post.go_on()

    def _settle(self, attempt: BegunAttempt) -> None:
        turn = attempt.turn
        judged = self._attempter.judged(turn.delivery, attempt.seconds, attempt.size, attempt.result)
        self._settler.attempted(turn.deliveries, turn.delivery, judged)

    async def _rest(self, attempt: BegunAttempt, rest: Coroutine[Any, Any, Result]) -> None:
        turn = attempt.turn
        ended = await self._attempter.rest(turn.delivery, attempt.started, attempt.size, rest)
        self._settler.attempted(turn.deliveries, turn.delivery, ended)
