"""A job in the hands of this process as long as its lease is renewed; after that another process goes on with it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from msgspec.structs import replace

from worker.basics.clock import Clocks
from worker.basics.tasks import end
from worker.replay.jobs import Held, Job, JobStore, OthersWait, State

LEASE_SECONDS = 20.0
"""Of a job in the hands of a process: so long after its death another one goes on."""
RENEW_SECONDS = 5.0
"""Between two looks at what was taken, and at whether the job is to stop."""

MARGIN_SECONDS = 12.0
"""Of the lease, that must be left to publish: confirms take time, and clocks differ."""

TURN_SECONDS = 10.0
"""After which a job lets another one go on that is free."""

T = TypeVar("T")


class LeasedJob:
    """How far one job is, and until when it is this process's. `reload` has the webhook read anew with each renewal.
    `takes_turns`: with the other jobs.

    Every write may raise JobLost, JobStopped (while the job has not ended) and StoreUnavailable.
    """

    def __init__(
        self,
        jobs: JobStore,
        held: Held,
        clocks: Clocks,
        reload: Callable[[], Awaitable[object]],
        *,
        takes_turns: bool = False,
    ) -> None:
        self._jobs = jobs
        self._held = held
        self._now, self._monotonic = clocks
        self._reload = reload
        self._kept = float("-inf")
        self._keeping = asyncio.Lock()
        self._takes_turns = takes_turns
        self._turn = self._monotonic()

    @property
    def job(self) -> Job:
        return self._held.job

    def ms(self) -> int:
        """Now, as jobs and rows have it: Unix milliseconds."""
        return int(self._now() * 1000)

    async def keep(self, job: Job) -> None:
        """This is how far it is; the lease begins anew."""
        async with self._keeping:
            self._held = await self._jobs.keep_job(self._held, job, self.ms() + int(LEASE_SECONDS * 1000))
            self._kept = self._monotonic()

    def note(self, job: Job) -> None:
        """This is how far it is: written with the next renewal, or when it is given back."""
        self._held = Held(job, self._held.lease)

    async def renewed(self) -> None:
        """Keeps it as it is, when that was done too long ago."""
        if self._monotonic() - self._kept > RENEW_SECONDS:
            await self._reload()
            await self.keep(self.job)

    async def sure(self) -> None:
        """Returns when the job is this process's, and stays so for MARGIN_SECONDS."""
        if self._monotonic() - self._kept > LEASE_SECONDS - MARGIN_SECONDS:
            await self.keep(self.job)

    async def beside(self, working: Awaitable[T]) -> T:
        """What comes of it; the lease is renewed meanwhile. Raises what it raises."""
        task = asyncio.ensure_future(working)
        try:
            while not (await asyncio.wait((task,), timeout=RENEW_SECONDS))[0]:
                await self.keep(self.job)
            return task.result()
        finally:
            await end(task)

    async def beside_each(self, steps: AsyncGenerator[T]) -> AsyncGenerator[T]:
        """As `beside`, of each step."""
        async with aclosing(steps):
            while (step := await self.beside(anext(steps, None))) is not None:
                yield step

    async def rest(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))
        await self.renewed()

    async def give_way(self, rest: float) -> None:
        """Raises OthersWait when it had its turn and another job is free; `rest`: until it may go on, in seconds."""
        now = self._monotonic()
        if self._takes_turns and now - self._turn > TURN_SECONDS:
            self._turn = now
            if await self._jobs.free_job(self.ms()):
                raise OthersWait(rest)

    async def end(self, state: State, error: str | None) -> Job:
        """It ends so, for good."""
        await self.keep(replace(self.job, state=state, error=error, ahead=(), ended_at=self.ms()))
        return self.job

    async def release(self, why: str | None, free_at: int) -> None:
        """Somebody may go on with it from `free_at` on, Unix ms."""
        self._held = await self._jobs.keep_job(self._held, replace(self.job, error=why), free_at)
