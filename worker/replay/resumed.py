"""What a resume came to."""

from dataclasses import dataclass

from worker.replay.jobs import CannotReplay, Job


class NothingKept(CannotReplay):
    """Nobody kept what a webhook missed, or what it got: waiting brings none of it back."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """`job` sends what came meanwhile; None: that is `lost`, in words, or (`lost` None) has waited in order."""

    job: Job | None
    lost: str | None = None
