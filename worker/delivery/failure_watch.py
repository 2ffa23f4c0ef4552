"""The one way in which a receiver's behaviour disables its webhook, or is remembered in the webhook's row.

A receiver that is gone (410) is disabled at once, one that fails every attempt for long by what failing.py decides.
Both are written beside the flow: no delivery waits for it, none fails by it.
"""

from typing import assert_never

from worker.basics.clock import Clock
from worker.basics.moments import iso
from worker.basics.tasks import Tasks
from worker.delivery.failing import Disable, Forget, LongFailing, Remember
from worker.delivery.ports import Receivers
from worker.domain.notices.receivers import NoticeReceiver
from worker.domain.outcome import DeadLettered, DeadReason, Delivered, Outcome, Parked, Retried
from worker.domain.webhook import Webhook

Decision = Remember | Forget | Disable


class FailureWatch:
    """Disables webhooks whose receiver is gone or failed for too long.

    `judged` is called for each attempt that was judged; `now` is Unix time in seconds. `long_failing` None: no webhook
    is disabled for failing for long, only for a 410.
    """

    def __init__(self, receivers: Receivers, now: Clock, long_failing: LongFailing | None = None) -> None:
        self._receivers = receivers
        self._now = now
        self._long_failing = long_failing
        self._writing = Tasks()

    def judged(self, webhook: Webhook, outcome: Outcome) -> None:
        """Takes note of one judged attempt's outcome and starts any write. Never blocks, never raises.

        `webhook` is what the attempt used.
        """
        decision = self._decided(webhook, outcome)
        if decision is not None:
            self._carry_out(webhook, decision, outcome)

    def self_fault(self, frozen: bool) -> None:
        """While no receiver can be reached, no failure counts."""
        if self._long_failing is not None:
            change = self._long_failing.freeze if frozen else self._long_failing.thaw
            change(self._now())

    async def finished(self) -> None:
        """Waits for the last writes."""
        await self._writing.finished()

    def _decided(self, webhook: Webhook, outcome: Outcome) -> Decision | None:
        match outcome:
            case DeadLettered() | Retried() if isinstance(webhook, NoticeReceiver):
                return None  # it has no row
            case DeadLettered(reason=DeadReason.GONE):
                return Disable()
            case DeadLettered(reason=DeadReason.EGRESS_REFUSED):
                return None  # the operator's own rules: no request was sent
            case Parked():
                return None  # a fault of ours
        if self._long_failing is None or not webhook.instance:
            return None  # the global webhook is the operator's own and has no row
        change = self._long_failing.succeeded if isinstance(outcome, Delivered) else self._long_failing.failed
        return change(webhook, self._now())

    def _carry_out(self, webhook: Webhook, decision: Decision, outcome: Outcome) -> None:
        match decision:
            case Remember(since=since):
                self._writing.start(self._receivers.failing(webhook, since))
            case Forget():
                self._writing.start(self._receivers.recovered(webhook))
            case Disable(failing_since=since):
                reason = _reason(outcome, since)
                self._writing.start(self._receivers.disable(webhook, reason, if_failing=since is not None))
            case _:
                assert_never(decision)


def _reason(outcome: Outcome, since: int | None) -> str:
    """Why it is disabled, as the webhook's row and the API show it."""
    if since is None:
        assert isinstance(outcome, DeadLettered)
        return outcome.error
    return f"every attempt failed since {iso(since / 1000, 'seconds')}"
