"""A replay's surroundings in memory: an archive that can lose its head, a history, a job, a broker that may fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.support.events import event
from worker.basics.clock import Clocks
from worker.delivery.choosing import Choosing
from worker.delivery.ports import TooLarge
from worker.domain.event import identity
from worker.domain.history import Row
from worker.domain.past import Past
from worker.domain.routing import delivery_id
from worker.domain.webhook import Webhook
from worker.replay.archive import Archived, Begin, Nothing
from worker.replay.fates import Moment
from worker.replay.jobs import Asked, Held, Job, JobLost, JobStopped
from worker.replay.leased import LEASE_SECONDS
from worker.replay.outside import Outside, Publish
from worker.replay.runner import Runner

NOW = 1_795_867_200.0
MS = int(NOW * 1000)
HOUR = 3_600_000
HOOK = Webhook("acme", "http://receiver.example/hook")


def body(number: int) -> bytes:
    return event(data={"key": {"remoteJid": "5511@s.whatsapp.net"}, "n": number})


def delivery(number: int, webhook: str = "default") -> str:
    return delivery_id(identity(body(number), None), "acme", webhook)


class FakeArchive:
    """Event `number` has the offset `number + 1` (0 is the birth) and came that many seconds after the hour began."""

    def __init__(self, count: int, began: float) -> None:
        self.count = count
        self.began = began
        self.head = 0
        self.on_event: Callable[[int], None] = lambda _: None

    async def begin(self, since: float) -> Begin | Nothing:
        offset = await self.offset_at(since, "end")
        if offset is None:
            return Nothing("end", self.count + 1)
        return Begin(offset, "end", None, truncated=self.head > 0 and offset == self.head)

    async def mark(self) -> str:
        return "end"

    async def first(self) -> int:
        return self.head

    async def offset_at(self, moment: float, end: str) -> int | None:
        offset = max(self.head, int(moment - self.began) + 1)
        return offset if offset <= self.count else None

    async def events(self, offset: int, end: str) -> AsyncGenerator[Archived]:
        at = max(offset, 1)
        while at <= self.count:
            at = max(at, self.head)
            yield Archived(at, body(at - 1), "evolution", "messages.upsert", None)
            self.on_event(at)
            at += 1


@dataclass
class World:
    """`delivers`: what is published is delivered at once. `fails_at`: that many publishes from now, one fails.
    `too_large`: events above the broker's max_message_size."""

    archive: FakeArchive
    webhooks: list[Webhook] = field(default_factory=lambda: [HOOK])
    delivers: bool = True
    fails_at: int | None = None
    too_large: frozenset[int] = frozenset()
    keeps: int | None = None
    away: Exception | None = None
    now: float = NOW
    sent: list[int] = field(default_factory=list)
    pasts: list[Past] = field(default_factory=list)
    rows: list[Moment] = field(default_factory=list)
    job: Job | None = None
    lease: int = 0
    stopped: bool = False
    others: bool = False

    # The job's store.

    async def free_job(self, now: int) -> bool:
        return self.others

    async def keep_job(self, held: Held, job: Job, lease: int) -> Held:
        if held.lease != self.lease:
            raise JobLost(job.id)
        if self.stopped and not job.ended:
            raise JobStopped(job.id)
        if self.keeps is not None:
            self.keeps -= 1
            if self.keeps < 0:
                raise Killed
        self.job, self.lease = job, 0 if job.ended else lease
        return Held(job, self.lease)

    # The history.

    async def moments(self, ids: Sequence[str]) -> Sequence[Moment]:
        if self.away is not None:
            raise self.away
        wanted = set(ids)
        return [row for row in self.rows if row.id in wanted]

    async def note(self, rows: Sequence[Row]) -> None:
        if self.away is not None:
            raise self.away
        self.rows += [Moment(row.id, row.at, row.outcome, row.reason, row.attempt, row.error) for row in rows]

    async def skipped(self, instance: str, webhook: str, reasons: Sequence[str], since: int) -> int:
        return len({row.id for row in self.rows if row.reason in reasons and row.at >= since})

    def shows(self, outcome: str, reason: str, *numbers: int, at: int = MS - HOUR) -> None:
        self.rows += [Moment(delivery(number), at, outcome, reason) for number in numbers]

    # The broker.

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[FakeArchive, Publish]]:
        yield self.archive, self.publish

    async def publish(self, content: bytes, past: Past) -> None:
        await asyncio.sleep(0)
        if self.fails_at is not None:
            self.fails_at -= 1
            if self.fails_at < 0:
                raise ConnectionError("the connection was lost")
        number = next(number for number in range(self.archive.count) if body(number) == content)
        if number in self.too_large:
            raise TooLarge("17 bytes are more than RabbitMQ's max_message_size of 16")
        self.sent.append(number)
        self.pasts.append(past)
        if self.delivers:
            self.rows.append(
                Moment(delivery(number, past.webhook_id or ""), int(self.now * 1000) + 1, "Delivered", "ok")
            )

    # The runner.

    async def load(self, instance: str) -> Sequence[Webhook]:
        return self.webhooks

    def runner(self, job: Job | None = None) -> Runner:
        """As the process that claims the job next."""
        self.job = job or self.job
        assert self.job is not None
        self.lease = max(self.lease + 1, int((self.now + LEASE_SECONDS) * 1000))
        outside = Outside(
            jobs=self,  # type: ignore[arg-type]
            opened=self.opened,
            load=self.load,
            operators=None,
            look=Choosing(None, lambda: self.now).look,
            moments=self.moments,
            note=self.note,
            skipped=self.skipped,
            clocks=Clocks(lambda: self.now, lambda: self.now),
            max_age=86400.0,
        )
        return Runner(outside, Held(self.job, self.lease), takes_turns=True)


class Killed(Exception):
    """The process is gone at this point."""


def world(count: int) -> World:
    """An archive of the hour that has gone by, with an event a second from its beginning."""
    return World(FakeArchive(count, NOW - 3600))


def job(**given: object) -> Job:
    """Of that hour but its last minute."""
    asked = Asked("acme", "default", MS - HOUR, MS - 60_000, **given)  # type: ignore[arg-type]
    return Job("replay_1", asked, MS)
