"""Long work that somebody started: how far it is, and how it ended; it can be left and come back to.

Trade-off: they are in this process's memory. Another replica knows nothing of them, and a restart ends them, as Ctrl-C
ends the command.
"""

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.api.errors import ApiError
from worker.basics.clock import Clock
from worker.basics.tasks import Tasks

log = logging.getLogger(__name__)

DOCTOR = "doctor"
"""The kind of an examination, which has a page of its own."""

MOST_KEPT = 50
MOST_RUNNING = 4


class TooMany(Exception):
    """So many are running that another one would have to wait."""


def busy() -> ApiError:
    """What whoever starts one too many is told."""
    return ApiError(503, "Other work is under way. Go back, and try again when it has ended.")


@dataclass(frozen=True, slots=True)
class Result:
    """`tone`: ok, warn or bad. `text`: a sentence. `value`: what the starter makes a page of."""

    tone: str
    text: str
    value: object = None


@dataclass(slots=True)
class Job:
    """`owner`: the instance that started it, None: the operator. `of`: how many things it has to do, None: not known.
    `chosen`: the filters of what it is about. `waits`: for what, in words; "" once it has begun. `ended` None: it runs.
    Times are Unix seconds."""

    id: str
    kind: str
    title: str
    owner: str | None
    started: float
    of: int | None = None
    chosen: Mapping[str, str] = field(default_factory=dict)
    waits: str = ""
    done: int = 0
    ended: float | None = None
    result: Result | None = None

    @property
    def running(self) -> bool:
        return self.result is None


Work = Callable[[Job], Awaitable[Result]]


class Jobs:
    """Starts jobs and keeps the last ones. `now` gives Unix seconds."""

    def __init__(self, now: Clock) -> None:
        self._now = now
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._tasks = Tasks()

    def start(
        self,
        kind: str,
        title: str,
        owner: str | None,
        work: Work,
        of: int | None = None,
        chosen: Mapping[str, str] | None = None,
    ) -> Job:
        """Raises TooMany."""
        if len(self._tasks) >= MOST_RUNNING:
            raise TooMany
        job = Job(secrets.token_urlsafe(8), kind, title, owner, self._now(), of, chosen or {})
        self._jobs[job.id] = job
        for old in [each.id for each in self._jobs.values() if not each.running][: max(0, len(self._jobs) - MOST_KEPT)]:
            del self._jobs[old]
        self._tasks.start(self._run(job, work))
        return job

    def find(self, job_id: str, owner: str | None) -> Job | None:
        """The operator finds all, an owner their own."""
        job = self._jobs.get(job_id)
        return job if job is not None and owner in (None, job.owner) else None

    def newest(self, kind: str, owner: str | None) -> Job | None:
        """Of what the asker themselves started."""
        found = (job for job in reversed(self._jobs.values()) if (job.kind, job.owner) == (kind, owner))
        return next(found, None)

    def running(self, owner: str | None) -> list[Job]:
        return [job for job in self._jobs.values() if job.running and owner in (None, job.owner)]

    async def close(self) -> None:
        """Ends what runs, as Ctrl-C does."""
        await self._tasks.end()

    async def _run(self, job: Job, work: Work) -> None:
        result = Result("bad", "It was cut short: the worker stopped.")
        try:
            result = await work(job)
        except OSError as error:
            result = Result("bad", f"It could not be started: {error.strerror or error}.")
        finally:
            job.ended, job.result = self._now(), result
            log.info("%s ended: %s", job.title, result.text)


async def settled(task: asyncio.Task[Any], seconds: float) -> bool:
    """Whether it ends within so long; it goes on if not."""
    await asyncio.wait({task}, timeout=seconds)
    return task.done()
