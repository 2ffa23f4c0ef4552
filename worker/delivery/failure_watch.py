"""Carries out what failing.py decides, beside the flow: nothing waits for it, nothing fails by it."""

from typing import assert_never

from worker.basics.clock import Clock
from worker.basics.moments import iso
from worker.basics.tasks import Tasks
from worker.delivery.failing import Forget, GiveUp, LongFailing, Remember
from worker.delivery.ports import FailureMemory
from worker.domain.verdict import Answered, Failure, Result
from worker.domain.webhook import Webhook


class FailureWatch:
    """Hears of each attempt that was charged; `now` is Unix time in seconds."""

    def __init__(self, decide: LongFailing, memory: FailureMemory, now: Clock) -> None:
        self._decide = decide
        self._memory = memory
        self._now = now
        self._writing = Tasks()

    def heard(self, webhook: Webhook, result: Result) -> None:
        """Never blocks, never raises. The global webhook is the operator's own and has no row."""
        if not webhook.instance:
            return
        if isinstance(result, Answered):
            decision = self._answered(webhook, 200 <= result.status < 300)
        elif result.failure is Failure.REFUSED:
            return  # our own rules: nothing was sent
        else:
            decision = self._decide.failed(webhook, self._now())
        if decision is not None:
            self._carry_out(webhook, decision)

    def self_fault(self, frozen: bool) -> None:
        """While nobody can be reached nothing counts."""
        change = self._decide.freeze if frozen else self._decide.thaw
        change(self._now())

    async def finished(self) -> None:
        """Waits for the last writes."""
        await self._writing.finished()

    def _answered(self, webhook: Webhook, taken: bool) -> Remember | Forget | GiveUp | None:
        hear = self._decide.succeeded if taken else self._decide.failed
        return hear(webhook, self._now())

    def _carry_out(self, webhook: Webhook, decision: Remember | Forget | GiveUp) -> None:
        match decision:
            case Remember(since=since):
                self._writing.start(self._memory.failing(webhook, since))
            case Forget():
                self._writing.start(self._memory.recovered(webhook))
            case GiveUp(since=since):
                reason = f"every attempt failed since {iso(since / 1000, 'seconds')}"
                self._writing.start(self._memory.give_up(webhook, reason))
            case _:
                assert_never(decision)
