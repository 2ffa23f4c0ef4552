"""Carries replays out: in `run` whichever nobody runs, in a command the one that it asked for."""

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

from worker.basics.clock import Clocks
from worker.broker.archive.reading import Archive
from worker.broker.connection import BROKER_ERRORS, connected, in_words
from worker.broker.declare import queue_exists
from worker.broker.past_headers import headers_of
from worker.broker.publishing.publisher import Publisher
from worker.broker.topology import archive_name, ordered_queue, topology
from worker.delivery.choosing import Choosing
from worker.delivery.ports import PublishFailed
from worker.domain.history import Batch, Row
from worker.domain.past import Past
from worker.domain.webhook import Webhook
from worker.process import wiring
from worker.process.history_store import store_of_history
from worker.replay.archive import ArchiveStalled
from worker.replay.jobs import Held, Job, JobLost, JobStopped, OthersWait, State
from worker.replay.leased import LEASE_SECONDS
from worker.replay.outside import Outside, Publish
from worker.replay.runner import Runner
from worker.replay.selection import NotNow
from worker.settings.settings import Settings
from worker.stores.history.store import Store
from worker.webhooks.store import StoreUnavailable

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""Between two looks for a job that nobody runs."""

TOLD_AFTER = 3
"""Looks in a row that the history's database did not answer."""

AGAIN_SECONDS = 10.0
"""Until a job goes on whose archive, database or webhook was away."""

SHARE_BESIDE_DELIVERIES = 0.25
"""Of one processor, for reading the archive in a process that delivers."""

Load = Callable[[str], Awaitable[Sequence[Webhook]]]
LATER = (NotNow, StoreUnavailable, PublishFailed, ArchiveStalled, *BROKER_ERRORS)


class Replayer:
    """Carries jobs out, one at a time: in `run` whichever nobody runs, in a command the one that it asked for."""

    def __init__(self, settings: Settings, store: Store, load: Load, share: float = 1.0) -> None:
        self._settings = settings
        self._store = store
        self._load = load
        self._share = share
        self.running = False

    async def run(self) -> None:
        """Until cancelled: any job. At a first start the database is not made yet: a failure alone is not told."""
        failed = 0
        while True:
            try:
                await self.one(None)
                failed = 0
            except StoreUnavailable as error:
                failed += 1
                if failed == TOLD_AFTER:
                    log.info("replays wait for the history's database: %s", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def one(self, job_id: str | None) -> Job | None:
        """Runs a job that is free, or this one; None: there is none, or it goes on later. Raises StoreUnavailable."""
        held = await self._store.claim_job(_ms(), _lease(), job_id)
        if held is None:
            return None
        self.running = True
        try:
            return await self._run(held, takes_turns=job_id is None)
        except JobLost:
            return None  # as it was to end: whoever has it now ends it
        finally:
            self.running = False

    async def _run(self, held: Held, *, takes_turns: bool) -> Job | None:
        job = held.job
        runner = Runner(self._outside(), held, self._share, takes_turns=takes_turns)
        log.info("a replay begins, or goes on", extra={"job": job.id, "instance": job.asked.instance})
        try:
            ended = await runner.run()
        except JobStopped:
            ended = await runner.end(State.STOPPED, None)
        except OthersWait as others:
            await self._later(runner, None, others.seconds)
            return None
        except LATER as error:
            await self._later(runner, self._settings.rabbitmq_uri.clean(in_words(error)), AGAIN_SECONDS)
            return None
        except asyncio.CancelledError:
            with suppress(JobLost, JobStopped, StoreUnavailable):  # else its lease runs out
                await runner.release(None, _ms())
            raise
        except Exception as error:
            log.exception("a replay failed: this is a fault of ours", extra={"job": job.id})
            ended = await runner.end(State.FAILED, f"a fault of the worker: {error!r:.200}")
        log.info("a replay has ended: %s", ended.state.value, extra={"job": job.id, "sent": ended.sent})
        return ended

    async def _later(self, runner: Runner, why: str | None, seconds: float) -> None:
        """`why` None: it is another one's turn."""
        if why is not None:
            log.info("a replay waits: %s", why)
        try:
            await runner.release(why, _ms() + int(seconds * 1000))
        except (JobLost, StoreUnavailable):
            return  # its lease runs out
        except JobStopped:
            await runner.end(State.STOPPED, None)

    def _outside(self) -> Outside:
        settings, store = self._settings, self._store
        operators, clocks = wiring.global_webhook(settings), Clocks(time.time, time.monotonic)
        producer, written = f"replay-{secrets.token_hex(12)}", 0

        async def note(rows: Sequence[Row]) -> None:
            nonlocal written
            await store.write([Batch(producer, written, socket.gethostname(), tuple(rows))])
            written += len(rows)

        return Outside(
            jobs=store,
            opened=partial(self._opened, in_order=False),
            opened_in_order=partial(self._opened, in_order=True),
            load=self._load,
            operators=operators,
            look=Choosing(operators, time.time).look,
            moments=store.moments,
            note=note,
            skipped=store.skipped,
            clocks=clocks,
            max_age=settings.webhook_retry_max_age_seconds,
        )

    @asynccontextmanager
    async def _opened(self, *, in_order: bool) -> AsyncIterator[tuple[Archive, Publish]]:
        """One connection to read on, one to publish on: during an alarm RabbitMQ reads nothing from the latter.

        `in_order`: by way of the ordered queue, if there is one. RabbitMQ is asked, as ORDER in the environment of a
        command says nothing of the workers.
        """
        settings, prefix = self._settings, self._settings.worker_queue_prefix
        queues = topology(prefix, settings.rabbitmq_exchange_name, ())
        publisher = Publisher.of_a_command(queues)
        queue, ordered = queues.retries, ordered_queue(prefix).name

        async def publish(body: bytes, past: Past) -> object:
            return await publisher.publish(queue, body, headers_of(past))

        name = "evolution-webhook-worker replay"
        async with connected(settings.rabbitmq_uri, name) as reads, connected(settings.rabbitmq_uri, name) as writes:
            if in_order and await queue_exists(reads, ordered):
                queue = ordered
            await publisher.opened(writes)
            try:
                yield Archive(reads, archive_name(prefix)), publish
            finally:
                publisher.state(connected=False)


@asynccontextmanager
async def opened_history(settings: Settings) -> AsyncIterator[Store]:
    """Raises StoreUnavailable without the database's driver."""
    store = store_of_history(settings)
    try:
        yield store
    finally:
        await store.close()


def _ms() -> int:
    return int(time.time() * 1000)


def _lease() -> int:
    return _ms() + int(LEASE_SECONDS * 1000)
