"""What a worker knows of its own troubles, for the notices about them."""

from collections.abc import Mapping

from worker.broker.census import Census
from worker.domain.notices.trouble import TroubleKind
from worker.history.teller import Watched
from worker.process.states import SelfFault

OLD_SECONDS = 300.0
"""An event that waits longer for its first attempt is late for any chat."""


def own_troubles(self_fault: SelfFault, census: Census) -> Mapping[TroubleKind, Watched]:
    """Each answers why, or None."""
    return {
        TroubleKind.SELF_FAULT: lambda: _self_fault(self_fault.now),
        TroubleKind.BACKLOG: lambda: _backlog(census.ages["events"]()),
    }


def _self_fault(now: bool) -> str | None:
    return "every receiver fails to connect: the fault is this host's network or DNS" if now else None


def _backlog(seconds: float) -> str | None:
    if seconds < OLD_SECONDS:
        return None
    return f"the oldest event has waited for {seconds / 60:.0f} minutes: too few replicas, or slow receivers"
