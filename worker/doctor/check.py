"""The doctor's first chapter: the store, the connection to RabbitMQ, and the queues and exchanges there.

`webhook-worker check` says it in one line each and stops there; the examination goes on. Nothing is changed.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from aio_pika.abc import AbstractConnection

from worker.basics.address import Address
from worker.broker.connection import BROKER_ERRORS, close, connect, in_words
from worker.broker.consuming.plan import ConsumptionPlan
from worker.broker.declare import is_bound, lacks_room, mismatch, missing, no_room
from worker.broker.topology import Topology, archive_name
from worker.doctor import history, notices
from worker.doctor.archive import stream
from worker.doctor.asking.archive import archive_seen
from worker.doctor.asking.reach import proxy_problem
from worker.doctor.asking.refusals import host_of, refusals
from worker.doctor.asking.tokens import tokens_problem
from worker.doctor.endpoints import problems_of, who
from worker.domain.notices.receivers import owner
from worker.domain.webhook import Endpoint, Webhook
from worker.http.egress import Refusal, Remedy
from worker.process import wiring
from worker.process.sources import webhook_source
from worker.settings import traces as settings_traces
from worker.settings.settings import Settings
from worker.webhooks.store import StoreUnavailable
from worker.webhooks.transfer import readable_and_not

EXAMPLES = 10
"""Refused webhooks that are named."""

READ_SECONDS = 8.0
"""For reading all webhooks."""

Line = tuple[str, str | None]
"""What was looked at, and the problem with it (None: there is none)."""


class NoConnection(Exception):
    """RabbitMQ cannot be connected to; the text names its address without the password, and says why."""


@dataclass(frozen=True, slots=True)
class TopologySeen:
    """Our queues and exchanges on the broker: the names that are `absent`, all that the worker `declares` itself.

    `other` is what RabbitMQ says of the first that exists with other arguments than the worker declares. `no_room`: why
    what is absent cannot be declared, with the fix.
    """

    declares: bool
    absent: Sequence[str]
    other: str | None
    no_room: str | None = None

    def problem(self, named: Callable[[Sequence[str]], str] = ", ".join) -> str | None:
        """Why the worker cannot consume; None: it can, after declaring what is absent. `named` lists names."""
        if self.declares:
            return self.no_room if self.other is None else f"one exists with other arguments: {self.other}"
        return f"missing with RABBITMQ_DECLARE=false: {named(self.absent)}" if self.absent else None


async def findings(settings: Settings) -> AsyncIterator[Line]:
    """One line after another, settings first (they are right, or this would not run)."""
    yield "settings", None
    if settings_traces.endpoint(os.environ) is not None:
        yield "traces", settings_traces.problem(os.environ)
    seen = await look_through(settings)
    yield "webhook store", None if seen.problem is None else str(seen.problem)
    if (tokens := settings.instance_tokens_uri) is not None:
        problem = await tokens_problem(tokens)
        yield f"instance tokens ({tokens.shown})", None if problem is None else str(problem)
    if seen.problem is None:
        yield "webhooks", _unsendable(settings, seen)
        yield await _egress(settings, seen.webhooks)
        if (line := in_order(settings, seen.webhooks or ())) is not None:
            yield line
    if seen.problem is None and settings.history != "off":  # often the same database, or the same folder
        yield f"history ({settings.history_database_uri.shown})", await history.problem(settings)
    if (untold := notices.untold(settings, seen.webhooks or ())) is not None:
        yield f"notices ({untold})", None
    if (proxy := wiring.egress_proxy(settings)) is not None:
        yield f"egress proxy {proxy.address.server}", await proxy_problem(proxy)
    try:
        connection = await connected(settings.rabbitmq_uri, "evolution-webhook-worker check")
    except NoConnection as error:
        yield "RabbitMQ", f"{error}; see RABBITMQ_URI"
        return
    try:
        yield "RabbitMQ", None
        async for line in _broker(settings, connection):
            yield line
    except BROKER_ERRORS as error:
        yield "RabbitMQ", f"could not be asked further: {in_words(error)}"
    finally:
        await close(connection)


@dataclass(frozen=True, slots=True)
class StoreSeen:
    """The store's `problem`, or all that it holds (None: its tables are made or changed at the next start).

    `unreadable`: what is wrong with each row that is no webhook. `unused`: what EVOLUTION_WEBHOOK_FILE says of webhooks
    that are not there.
    """

    problem: StoreUnavailable | None = None
    webhooks: list[Webhook] | None = None
    unreadable: tuple[str, ...] = ()
    unused: tuple[Endpoint, ...] = ()


async def look_through(settings: Settings) -> StoreSeen:
    """Reads all of it; writes nothing."""
    try:
        source = webhook_source(settings)
    except StoreUnavailable as error:
        return StoreSeen(error)
    store = source.store
    try:
        await store.check()
        if source.migrated is not None and not await source.migrated():
            return StoreSeen()
        async with asyncio.timeout(READ_SECONDS):
            found, unreadable = await readable_and_not(store)
        webhooks = [item.webhook for item in found]
        unused = await source.unused(webhooks) if source.unused is not None else ()
        return StoreSeen(webhooks=webhooks, unreadable=unreadable, unused=unused)
    except TimeoutError:
        return StoreSeen(StoreUnavailable(f"its webhooks could not be read within {READ_SECONDS:g} s"))
    except StoreUnavailable as error:
        return StoreSeen(error)
    finally:
        await store.close()


async def connected(address: Address, name: str) -> AbstractConnection:
    """A connection that the broker's own lists show by `name`. Raises NoConnection."""
    try:
        return await connect(address, name)
    except BROKER_ERRORS as error:
        raise NoConnection(f"no connection to {address}: {address.clean(in_words(error))}") from error


async def topology_seen(
    connection: AbstractConnection, topology: Topology, plan: ConsumptionPlan, *, declares: bool
) -> TopologySeen:
    """Declares nothing. Raises what a broken connection raises, and ChannelAccessRefused without the rights."""
    absent = await missing(connection, topology, bind=plan.binds_exchange)
    other = await mismatch(connection, topology, absent) if declares else None
    refusal = await lacks_room(connection, topology, absent) if declares and absent else None
    return TopologySeen(declares, absent, other, refusal and no_room(refusal, topology))


def _unsendable(settings: Settings, seen: StoreSeen) -> str | None:
    """Those that get nothing, or whose events would become dead letters, as Evolution's rows may be."""
    found = problems_of([*(seen.webhooks or ()), *filter(None, [wiring.global_webhook(settings)])])
    problems = [*(f"{name}: {problem}" for name, problem in found), *seen.unreadable]
    more = f"; and {len(problems) - EXAMPLES} more" if len(problems) > EXAMPLES else ""
    return f"{len(problems)} cannot be sent to: {'; '.join(problems[:EXAMPLES])}{more}" if problems else None


def in_order(settings: Settings, webhooks: Sequence[Webhook]) -> Line | None:
    """Webhooks whose order nobody keeps; None: there is none with an order."""
    asking = [webhook for webhook in webhooks if webhook.sent_in_order]
    if not asking:
        return None
    switching = sum(webhook.order_next is not None for webhook in asking)
    more = f", {switching} of them being switched" if switching else ""
    name = f"order ({len(asking)} webhooks{more})"
    return name, None if settings.order else "ORDER is false, so they get their events as they come: set ORDER=true"


async def _egress(settings: Settings, webhooks: list[Webhook] | None) -> Line:
    """Webhooks that get nothing because of the egress rules; receivers inside the cluster are common."""
    operators = wiring.global_webhook(settings)
    enabled = [webhook for webhook in (*(webhooks or ()), *filter(None, [operators])) if webhook.enabled]
    hearing = filter(None, [wiring.operators_notices(settings), *map(owner, webhooks or ())])
    sent_to: list[Webhook] = [*enabled, *hearing]
    urls, proxy = (webhook.url for webhook in sent_to), wiring.egress_proxy(settings)
    found = await refusals(urls, wiring.egress_policy(settings), proxy=proxy)
    late = f", {found.unanswered} not looked up in time" if found.unanswered else ""
    looked_at = f"{len(enabled)} webhooks, {found.hosts} hosts{late}"
    name = f"egress rules ({looked_at if webhooks is not None else 'the table of webhooks is made at the first start'})"
    refused = [webhook for webhook in sent_to if host_of(webhook.url) in found.reasons]
    if not refused:
        return name, None
    examples = [_example(webhook, found.reasons[host_of(webhook.url)]) for webhook in refused[:EXAMPLES]]
    more = f"; and {len(refused) - EXAMPLES} more" if len(refused) > EXAMPLES else ""
    return name, f"{len(refused)} refused: {'; '.join(examples)}{more}. See EGRESS_ALLOW and EGRESS_DENY"


def _example(webhook: Webhook, refusal: Refusal) -> str:
    return f"{who(webhook)} {host_of(webhook.url)}: {refusal.without(Remedy.ALLOW)}"


async def _broker(settings: Settings, connection: AbstractConnection) -> AsyncIterator[Line]:
    topology = wiring.queue_topology(settings, wiring.retry_schedule(settings)).whole
    plan = wiring.consumption_plan(settings, topology)
    seen = await topology_seen(connection, topology, plan, declares=settings.rabbitmq_declare)
    created = f" ({len(seen.absent)} are created at the first start)" if seen.declares and seen.absent else ""
    fix = "; delete it when it is empty, choose another name, or set RABBITMQ_DECLARE=false" if seen.other else ""
    problem = seen.problem()
    yield f"queues and exchanges{created}", problem and problem + fix
    if settings.archive:
        name = archive_name(settings.worker_queue_prefix)
        kept = await archive_seen(connection, name, time.time() - settings.archive_hours * 3600)
        yield f"archive{'' if kept.exists else ' (made at the next start)'}", stream.problem(kept, settings, name)
    if settings.order and not seen.absent:
        complete = await is_bound(connection, topology)
        yield f"ordered queue{'' if complete else ' (not complete yet: both sides send)'}", None
    if not plan.binds_exchange:
        found = await plan.present(connection)
        missing_all = "none exists: see RABBITMQ_PREFIX_KEY, and RABBITMQ_GLOBAL_ENABLED in Evolution"
        missing_all += " (Evolution Go: AMQP_GLOBAL_ENABLED)"
        yield f"Evolution's own queues ({len(found)} found)", None if found else missing_all
