"""For whoever asks for replays, pauses and resumes: the API and the command line. replaying.py carries replays out."""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from aio_pika.abc import AbstractConnection

from worker.basics.moments import iso
from worker.broker.archive.keeping import bind, fill
from worker.broker.archive.reading import Archive
from worker.broker.connection import BROKER_ERRORS, connected, in_words
from worker.broker.declare import queue_exists
from worker.broker.topology import archive_name
from worker.delivery.ports import PublishFailed
from worker.domain.notices.trouble import Seen, paused
from worker.domain.routing import addressees
from worker.domain.webhook import Endpoint, Webhook
from worker.process import wiring
from worker.process.history_store import store_of_history
from worker.replay import became
from worker.replay.archive import ArchiveStalled, Begin
from worker.replay.became import Became
from worker.replay.jobs import Asked, CannotReplay, Job, Kind, id_of_sending, missed_since
from worker.replay.resumed import NothingKept, Resumed
from worker.replay.runner import new_id
from worker.settings.settings import Settings
from worker.webhooks import pausing
from worker.webhooks.changing import Changed, find
from worker.webhooks.store import StoreUnavailable, WritableStore

log = logging.getLogger(__name__)

REACH_SECONDS = 30.0
"""Beside the caches' age, in front of a pause and behind a resume: a replica's clock, and what it has in hand."""

JOBS_LOOKED_AT = 1000
"""Of an instance, the newest: for resumes that have not ended."""

NAME = "evolution-webhook-worker replay"


class Replays:
    """`store` has the webhooks. Every call may raise StoreUnavailable."""

    def __init__(
        self, settings: Settings, store: WritableStore, changed: Callable[[str, int], Awaitable[object]]
    ) -> None:
        """`changed` announces an instance's new revision. Raises StoreUnavailable without the database's driver."""
        self._settings = settings
        self._webhooks = store
        self._changed = changed
        self._store = store_of_history(settings)

    async def ask(self, asked: Asked, owner: str | None, counted: str | None = None) -> Job:
        """Makes the job, which whoever is free carries out. `counted`: the id of the one that counted what this sends;
        whoever asks for that again gets the first job. Raises CannotReplay."""
        await self._refuse()
        operators = wiring.global_webhook(self._settings) if owner is None else None
        _refuse_webhook(addressees(await self._webhooks.load(asked.instance), operators, asked.webhook), asked)
        return await self._added(asked, counted)

    async def job(self, job_id: str, owner: str | None) -> Job | None:
        """`owner`: of this instance alone; None is the operator, as below."""
        self._refuse_settings()
        await self._store.prepare()
        return await self._store.job(job_id, owner)

    async def jobs(self, owner: str | None, limit: int) -> Sequence[Job]:
        """Newest first."""
        self._refuse_settings()
        await self._store.prepare()
        return await self._store.jobs(owner, limit)

    async def became(self, job: Job) -> Became:
        """Of what it has sent, as far as the history shows it now."""
        self._refuse_settings()
        await self._store.prepare()
        return await became.asked(self._store, job)

    async def stop(self, job_id: str, owner: str | None) -> bool:
        """False: there is none that has not ended."""
        self._refuse_settings()
        await self._store.prepare()
        return await self._store.stop_job(job_id, owner, _ms())

    async def pause(self, endpoint: Endpoint) -> Changed:
        """Raises CannotReplay, also where no event reaches the archive, NoSuchWebhook, AlreadySo, StoreReadOnly."""
        found = await find(self._webhooks, endpoint)
        if not pausing.keeps_events(found.webhook if found else None):
            await self._refuse(fills_for=endpoint.instance)
        now = _ms()
        changed = await pausing.pause(self._webhooks, endpoint, now)
        await self._changed(endpoint.instance, changed.written.revision)
        await self._report(paused(endpoint.instance, endpoint.webhook_id, now, now))
        return changed

    async def resume(self, endpoint: Endpoint, *, accept_gap: bool) -> Resumed:
        """Raises CannotReplay, also for a gap that was not accepted, NoSuchWebhook, AlreadySo, StoreReadOnly.

        The job is made first: a process that dies in between leaves a paused webhook, and no gap. Where nothing is kept
        any more there is no job: a pause must have a way back.
        """
        found = await find(self._webhooks, endpoint)
        since = pausing.paused_since(found.webhook if found else None)
        if pausing.keeps_events(found.webhook if found else None):
            await self._resumed(endpoint, since, _ms())
            return Resumed(None)
        lost = await self._lost(since)
        gone = lost or (None if accept_gap else await self._gone(await self._missed_since(endpoint, since)))
        if gone is not None and not accept_gap:
            raise CannotReplay(f"{gone}; with --accept-gap (accept_gap=true) it is resumed with what is left")
        job = None if lost else await self._added(self._missed(endpoint, since, accept_gap=accept_gap))
        await self._resumed(endpoint, since, None)
        return Resumed(job, lost)

    async def _resumed(self, endpoint: Endpoint, since: int, resumed_at: int | None) -> None:
        changed = await pausing.resume(self._webhooks, endpoint, resumed_at)
        await self._changed(endpoint.instance, changed.written.revision)
        await self._report(paused(endpoint.instance, endpoint.webhook_id, since, _ms(), resumed=True))

    async def _missed_since(self, endpoint: Endpoint, since: int) -> int:
        """When the earliest pause began whose resume has not sent all yet, Unix ms: a later pause holds its job up."""
        await self._store.prepare()
        jobs = await self._store.jobs(endpoint.instance, JOBS_LOOKED_AT)
        earlier = missed_since(jobs, reach_seconds(self._settings))
        return min(since, earlier.get((endpoint.instance, endpoint.webhook_id), since))

    async def _lost(self, since: int) -> str | None:
        """Why nothing of the time since then (Unix ms) can be given back, ever; None: it can. Raises CannotReplay."""
        try:
            await self._refuse()
        except NothingKept as error:
            return f"{error}. What came since {iso(since / 1000, 'seconds')} and was not sent is lost"
        return None

    async def _report(self, seen: Seen) -> None:
        """For the notices: of all replicas one tells it. The webhook is paused, or resumed, all the same."""
        if self._settings.history == "off":
            return
        try:
            await self._store.prepare()
            await self._store.report(seen)
        except StoreUnavailable as error:
            log.warning("nobody is told of a pause: %s", error)

    async def enabling(self, webhook: Webhook) -> None:
        """DISABLED_WEBHOOK=replay: the webhook is about to be enabled, and gets what it missed."""
        if self._settings.disabled_webhook == "replay" and webhook.disabled_at is not None:
            await self._added(self._missed(webhook.endpoint, webhook.disabled_at, accept_gap=False))

    async def close(self) -> None:
        await self._store.close()

    def _missed(self, endpoint: Endpoint, since: int, *, accept_gap: bool) -> Asked:
        """Until no replica can take it for paused or disabled any more."""
        reach = int(reach_seconds(self._settings) * 1000)
        until = _ms() + reach
        return Asked(endpoint.instance, endpoint.webhook_id, since - reach, until, Kind.RESUME, accept_gap=accept_gap)

    async def _added(self, asked: Asked, counted: str | None = None) -> Job:
        await self._store.prepare()
        job_id = new_id() if counted is None else id_of_sending(counted, asked.instance)
        return await self._store.add_job(Job(job_id, asked, _ms()))

    def _refuse_settings(self) -> None:
        refuse(self._settings)

    async def _refuse(self, *, fills_for: str | None = None) -> None:
        """Raises CannotReplay also where RabbitMQ has no archive. `fills_for`: or no exchange that
        fills it with this instance's events."""
        refuse(self._settings)
        settings, name = self._settings, archive_name(self._settings.worker_queue_prefix)
        try:
            async with connected(settings.rabbitmq_uri, NAME) as connection:
                there = await queue_exists(connection, name)
                filled = not there or fills_for is None or await self._filled(connection, name, fills_for)
        except (ArchiveStalled, PublishFailed, *BROKER_ERRORS) as error:
            raise CannotReplay(f"RabbitMQ cannot be asked: {settings.rabbitmq_uri.clean(in_words(error))}") from None
        if not there:
            raise NothingKept(f"RabbitMQ has no {name}: a worker with ARCHIVE=true makes it, on RabbitMQ with streams")
        if not filled:
            exchange = f"exchange {settings.rabbitmq_exchange_name} (RABBITMQ_EXCHANGE_NAME)"
            raise CannotReplay(
                f"no event reaches {name}: RabbitMQ has no {exchange}"
                if settings.rabbitmq_declare
                else f"no event has reached {name} yet: RABBITMQ_DECLARE=false: bind it to the {exchange}"
            )

    async def _filled(self, connection: AbstractConnection, name: str, instance: str) -> bool:
        """Binds the archive as the workers do, who may not have yet.

        With RABBITMQ_DECLARE=false nobody can see the operator's binding: what has come over it shows that it is there.
        """
        settings = self._settings
        exchanges = [settings.rabbitmq_exchange_name, *([instance] if settings.rabbitmq_instance_exchanges else [])]
        if settings.rabbitmq_declare:
            return await fill(connection, name, exchanges)
        there = [await bind(connection, name, each, binds=False) for each in exchanges]
        return any(there) and await Archive(connection, name).has_event()

    async def _gone(self, since: int) -> str | None:
        """What the archive has not of the time since then (Unix ms); None: all is there."""
        settings = self._settings
        try:
            async with connected(settings.rabbitmq_uri, NAME) as connection:
                archive = Archive(connection, archive_name(settings.worker_queue_prefix))
                begin = await archive.begin(since / 1000 - reach_seconds(self._settings))
                return begin.gone(since) if isinstance(begin, Begin) else None
        except (ArchiveStalled, PublishFailed, *BROKER_ERRORS) as error:
            raise CannotReplay(f"the archive cannot be read: {settings.rabbitmq_uri.clean(in_words(error))}") from None


def reach_seconds(settings: Settings) -> float:
    """By which a resume looks further back than its pause, and ahead of itself."""
    return 2 * settings.cache_ttl_seconds + REACH_SECONDS


def refuse(settings: Settings) -> None:
    """Raises NothingKept where the settings keep no archive, or no history that says what was delivered."""
    if not settings.archive:
        raise NothingKept("ARCHIVE is false: no events are kept")
    if settings.history != "all":
        raise NothingKept(f"HISTORY is {settings.history}: only `all` shows what was delivered, and keeps the replays")


def _refuse_webhook(found: Sequence[Webhook], asked: Asked) -> None:
    if not found:
        raise CannotReplay(f"{asked.instance!r} has no webhook {asked.webhook!r}")
    if not found[0].enabled:
        raise CannotReplay("the webhook is disabled: enable it first")
    if found[0].paused_at is not None:
        raise CannotReplay("the webhook is paused: `webhook resume` sends what it missed")


def _ms() -> int:
    return int(time.time() * 1000)
