"""The whole examination, subject after subject. Everything is read, nothing is written."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Collection
from datetime import datetime

from worker.doctor import clock, database, endpoints, failing, history, notices
from worker.doctor.archive import paused
from worker.doctor.archive.bounds import hours_held
from worker.doctor.asking.archive import ArchiveSeen
from worker.doctor.asking.management import ManagementAddress
from worker.doctor.asking.reach import reach
from worker.doctor.asking.tokens import tokens_problem
from worker.doctor.broker import BrokerExamination
from worker.doctor.check import look_through
from worker.doctor.finding import Finding
from worker.domain.webhook import Webhook
from worker.http.trust import trust
from worker.process import wiring
from worker.process.sources import SourceKind, source_kind, webhook_source
from worker.settings import traces as settings_traces
from worker.settings.settings import Settings
from worker.stores.database import Database
from worker.webhooks.store import StoreUnavailable

SERVER_SECONDS = 15.0
"""For the database's clock."""


async def examine(settings: Settings, address: ManagementAddress, *, given: bool) -> AsyncIterator[Finding]:
    """`given`: the management API's address is the operator's own word, not a guess."""
    yield Finding("ok", "settings", "right, or this would not run")
    if settings_traces.endpoint(os.environ) is not None:
        wrong = settings_traces.problem(os.environ)
        fix = "correct it, or OTEL_TRACES_EXPORTER=none"
        yield Finding("warning", "traces", wrong, fix) if wrong else Finding("ok", "traces", "can be sent as asked for")
    ahead: dict[str, clock.Ahead] = {}
    webhooks: list[Webhook] = []
    async for finding in _stored(settings, webhooks, ahead):
        yield finding
    problem = await history.problem(settings)
    yield history.finding(problem, settings)
    if problem is None and (silent := await history.silent(settings)) is not None:
        yield silent
    if problem is None and (fails := await failing.failing(settings, webhooks)) is not None:
        yield fails
    if (off := failing.disabled(webhooks)) is not None:
        yield off
    if (heard := notices.finding(settings, webhooks)) is not None:
        yield heard
    tenants = {webhook.instance for webhook in webhooks if webhook.instance}
    resting, now = paused.paused(webhooks, await history.missed_since(settings)), time.time()
    since = min([now - settings.archive_hours * 3600, *((one.paused_at or 0) / 1000 for one in resting)])
    broker = BrokerExamination(settings, address, tenants, since, given=given)
    async for finding in broker.findings(await _instances(settings)):
        yield finding
    archive = broker.archive or ArchiveSeen(exists=True)  # what could not be seen is not said to be gone
    hours = min(settings.archive_hours, hours_held(archive, settings.archive_max_bytes, now) or settings.archive_hours)
    for finding in paused.judged(resting, archive, hours, now, kept=settings.archive):
        yield finding
    if broker.reading is not None:
        ahead["RabbitMQ"] = clock.Ahead(broker.reading.ahead, broker.reading.uncertain)
    yield clock.clocks(ahead)
    yield clock.time_zone(_local_offset(), time.tzname[time.localtime().tm_isdst > 0])
    for finding in await _receivers(settings, webhooks):
        yield finding


async def _stored(settings: Settings, webhooks: list[Webhook], ahead: dict[str, clock.Ahead]) -> AsyncIterator[Finding]:
    """Puts all webhooks into `webhooks`, and the server's clock into `ahead`."""
    kind = source_kind(settings)
    where = kind.database(settings)
    seen = await look_through(settings)
    webhooks += [*(seen.webhooks or ()), *filter(None, [wiring.global_webhook(settings)])]
    yield database.store(seen.problem, kind, where)
    if (tokens := settings.instance_tokens_uri) is not None:
        yield database.tokens(tokens, await tokens_problem(tokens))
    if seen.unreadable:
        yield database.unreadable(seen.unreadable)
    if seen.unused:
        yield database.unused(seen.unused)
    if seen.problem is not None or where is None:
        return
    yield await _server(where, ahead, kind, made=seen.webhooks is not None)


async def _server(where: Database, ahead: dict[str, clock.Ahead], kind: SourceKind, *, made: bool) -> Finding:
    from worker.doctor.asking.server import server_facts  # noqa: PLC0415 - SQLAlchemy, see sqlite_reader.py

    try:
        async with asyncio.timeout(SERVER_SECONDS):
            facts = await asyncio.to_thread(server_facts, where)
    except TimeoutError:
        what = f"{where.shown} did not tell the time within {SERVER_SECONDS:g} s"
        return Finding("warning", database.NAME, what, "its load and locks, the network")
    except StoreUnavailable as error:
        return database.store(error, kind, where)
    if facts is not None:
        ahead["the database"] = clock.Ahead(facts.ahead, facts.uncertain)
    if not kind.own_table:
        return Finding("ok", database.RIGHTS, "Evolution's tables can be read")
    if facts is None:
        return database.creation(where, None, made=made)
    return database.creation(where, facts.may_create, made=made, may_write=facts.may_write)


async def _instances(settings: Settings) -> Collection[str] | None:
    """All that Evolution has. Other sources only know those with a webhook."""
    if not source_kind(settings).lists_every_instance:
        return None
    try:
        store = webhook_source(settings).store
    except StoreUnavailable:
        return None
    try:
        async with asyncio.timeout(SERVER_SECONDS):
            return await store.instances()
    except (StoreUnavailable, TimeoutError):
        return None  # reported already
    finally:
        await store.close()


async def _receivers(settings: Settings, webhooks: list[Webhook]) -> list[Finding]:
    places = endpoints.by_place([*webhooks, *notices.receivers(settings, webhooks)])
    proxy, trusted = wiring.egress_proxy(settings), trust(settings.egress_ca_file)
    reached = await reach(
        places, wiring.egress_policy(settings), trusted=trusted, ca_file=settings.egress_ca_file, proxy=proxy
    )
    kind = source_kind(settings)
    elsewhere = kind.elsewhere(settings) if kind.elsewhere else ""
    judged = [
        endpoints.dns(reached),
        endpoints.outage(reached),
        endpoints.proxy(reached, proxy),
        endpoints.unsendable(webhooks, elsewhere),
    ]
    ends = endpoints.certificates(webhooks, time.time(), elsewhere)
    return [*filter(None, judged), *ends, *endpoints.endpoints(reached, places, elsewhere)]


def _local_offset() -> float:
    offset = datetime.now().astimezone().utcoffset()
    return offset.total_seconds() if offset else 0.0
