"""A replay as a job: what was asked, how far it is, and where jobs are kept. Its state survives whoever runs it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from hashlib import blake2b
from typing import NamedTuple, Protocol

import msgspec

from worker.replay.fates import Fate


class State(StrEnum):
    """QUEUED: nobody has begun, or another job of its webhook is before it. STOPPED and FAILED keep what was sent."""

    QUEUED = "queued"
    COUNTING = "counting"
    SENDING = "sending"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


MOST_OPEN = 10
"""Replays of one webhook that have not ended. Resumes are not counted: none may be refused."""

ENDED = frozenset({State.DONE, State.STOPPED, State.FAILED})


class Kind(StrEnum):
    """REPLAY: somebody asked for a range. RESUME: what came while a webhook was paused or disabled."""

    REPLAY = "replay"
    RESUME = "resume"


class Asked(msgspec.Struct, frozen=True):
    """What is to be sent again. Times are Unix milliseconds: from `since` on, before `until`.

    `events` are canonical names, () all; `chat` a canonical address. `everything`: also what history shows as
    Delivered. `rate`: events a second at most. `accept_gap`: go on although the archive has lost some;
    a RESUME goes on anyway.
    `dry_run`: only count.
    """

    instance: str
    webhook: str
    since: int
    until: int
    kind: Kind = Kind.REPLAY
    events: tuple[str, ...] = ()
    chat: str | None = None
    everything: bool = False
    rate: float | None = None
    accept_gap: bool = False
    dry_run: bool = False


class Counts(msgspec.Struct, frozen=True):
    """Of the events in the range that the webhook wants: `found`; of these `delivered` before, `on_their_way` (they
    wait for a retry), and the rest `to_send`."""

    found: int = 0
    delivered: int = 0
    on_their_way: int = 0
    to_send: int = 0

    def more(self, fates: Sequence[Fate]) -> "Counts":
        """With these, each of one event."""
        each = Counter(fates)
        return Counts(
            self.found + len(fates),
            self.delivered + each[Fate.DELIVERED],
            self.on_their_way + each[Fate.WAITS],
            self.to_send + each[Fate.MISSING],
        )


class Ahead(msgspec.Struct, frozen=True, array_like=True):
    """An event that was published `at` (Unix ms) and not taken yet, as far as is known. `tries`: fates.Fates.tries
    before that."""

    id: str
    tries: int
    at: int


class Job(msgspec.Struct, frozen=True):
    """`position`: the archive's offset from which on nothing has been counted, or sent; None: it has not begun.

    `counts` are those of the whole range, once it was counted, `counted` those so far; `sent` is what was published.
    `start`: where the range begins. `skipped`: events of a RESUME in its range whose skipping the history shows;
    `older`: it looks for others of them, in front of the range, after the history showed `looked` of them in all.
    `ahead`: the last of what its webhook may not have taken.
    `gone`: what is missing. `error`: why it FAILED, or waits.
    """

    id: str
    asked: Asked
    created_at: int
    state: State = State.QUEUED
    counts: Counts | None = None
    counted: Counts = Counts()
    start: int | None = None
    position: int | None = None
    sent: int = 0
    skipped: int = 0
    older: bool = False
    looked: int = 0
    ahead: tuple[Ahead, ...] = ()
    gone: str | None = None
    error: str | None = None
    ended_at: int | None = None

    @property
    def ended(self) -> bool:
        return self.state in ENDED


def id_of_sending(counted: str, instance: str) -> str:
    """Of the job that sends what another one counted: the same whenever it is asked for, so that a count is sent
    once."""
    return f"replay_{blake2b(f'{instance} {counted}'.encode(errors='replace'), digest_size=8).hexdigest()}"


def missed_since(jobs: Iterable[Job], reach: float) -> dict[tuple[str, str], int]:
    """Of each webhook, as instance and id, whose RESUME has not ended: when its earliest pause began, Unix ms.

    `reach`: seconds by which a RESUME looks further back than that.
    """
    since: dict[tuple[str, str], int] = {}
    for asked in (job.asked for job in jobs if job.asked.kind is Kind.RESUME and not job.ended):
        endpoint = (asked.instance, asked.webhook)
        began = asked.since + int(reach * 1000)
        since[endpoint] = min(began, since.get(endpoint, began))
    return since


class Held(NamedTuple):
    """A job in the hands of one process until `lease`, Unix milliseconds; then another one may take it."""

    job: Job
    lease: int


class CannotReplay(Exception):
    """Nothing can be replayed, paused or resumed as things are; the text says why and what to do."""


class JobLost(Exception):
    """The lease ran out and somebody else has the job: nothing more may be done for it here."""


class JobStopped(Exception):
    """Somebody asked to stop it."""


class OthersWait(Exception):
    """It had its turn, and another job is free: it goes on later, not before `seconds` have passed."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class JobStore(Protocol):
    """Where jobs are kept: the history's database. Every call may raise StoreUnavailable.

    `owner`: of this instance alone; None is the operator.
    """

    async def add_job(self, job: Job) -> Job:
        """The one that there is by its id already, or this one. Raises CannotReplay for a webhook that has
        MOST_OPEN."""

    async def job(self, job_id: str, owner: str | None) -> Job | None: ...

    async def jobs(self, owner: str | None, limit: int) -> Sequence[Job]:
        """Newest first."""

    async def claim_job(self, now: int, lease: int, job_id: str | None = None) -> Held | None:
        """A job that nobody holds and whose webhook has no older one that has not ended; of `job_id`'s webhook alone.
        One that only counts takes no turns. Of several jobs a RESUME that nobody has begun is first, then what was
        given back longest ago. Of several processes, one gets it, until `lease`."""

    async def free_job(self, now: int) -> bool:
        """Whether `claim_job` would give one."""

    async def keep_job(self, held: Held, job: Job, lease: int) -> Held:
        """Writes how far it is. Raises JobLost, JobStopped."""

    async def stop_job(self, job_id: str, owner: str | None, now: int) -> bool:
        """Asks whoever runs it to stop; one that waits is STOPPED at once. False: there is none that has not ended."""
