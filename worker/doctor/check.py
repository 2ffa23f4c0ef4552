"""The checks of `webhook-worker check`: each says what is wrong and what to do. Nothing is changed."""

import asyncio
import os
from collections.abc import AsyncIterator

from aio_pika.abc import AbstractConnection

from worker.broker.connection import BROKER_ERRORS, close, connect, masked, said
from worker.broker.consuming.intake import evolution_queues
from worker.broker.declare import mismatch, missing, queue_exists
from worker.doctor.refusals import host_of, refusals
from worker.domain.webhook import Webhook
from worker.process import wiring
from worker.process.sources import webhook_source
from worker.settings import traces as settings_traces
from worker.settings.settings import Settings
from worker.webhooks.store import StoreUnavailable
from worker.webhooks.transfer import everything

EXAMPLES = 10
READ_SECONDS = 8.0

Finding = tuple[str, str | None]
"""What was looked at, and the problem with it (None: there is none)."""


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    """One finding after another, settings first (they are right, or this would not run)."""
    yield "settings", None
    if settings_traces.endpoint(os.environ) is not None:
        yield "traces", settings_traces.problem(os.environ)
    problem, webhooks = await look_through(settings)
    yield "webhook store", None if problem is None else str(problem)
    if problem is None:
        yield await _egress_finding(settings, webhooks)
    uri = settings.rabbitmq_uri
    try:
        connection = await connect(uri, "evolution-webhook-worker check")
    except (*BROKER_ERRORS, ValueError) as error:
        yield "RabbitMQ", f"no connection to {masked(uri)}: {said(error)}; see RABBITMQ_URI"
        return
    try:
        yield "RabbitMQ", None
        async for finding in _broker_findings(settings, connection):
            yield finding
    finally:
        await close(connection)


async def look_through(settings: Settings) -> tuple[StoreUnavailable | None, list[Webhook] | None]:
    """The store's problem, if any, and all that it holds; None: its tables are made or changed at the next start."""
    try:
        source = webhook_source(settings)
    except StoreUnavailable as error:
        return error, None
    store = source.store
    try:
        await store.check()
        if source.migrated is not None and not await source.migrated():
            return None, None
        async with asyncio.timeout(READ_SECONDS):
            return None, [item.webhook for item in await everything(store)]
    except TimeoutError:
        return StoreUnavailable(f"its webhooks could not be read within {READ_SECONDS:g} s"), None
    except StoreUnavailable as error:
        return error, None
    finally:
        await store.close()


async def _egress_finding(settings: Settings, webhooks: list[Webhook] | None) -> Finding:
    """Webhooks that get nothing because of the egress rules; receivers inside the cluster are common."""
    operators = wiring.global_webhook(settings)
    enabled = [webhook for webhook in (*(webhooks or ()), *filter(None, [operators])) if webhook.enabled]
    found = await refusals((webhook.url for webhook in enabled), wiring.egress_policy(settings))
    late = f", {found.unanswered} not looked up in time" if found.unanswered else ""
    looked_at = f"{len(enabled)} webhooks, {found.hosts} hosts{late}"
    name = f"egress rules ({looked_at if webhooks is not None else 'the table of webhooks is made at the first start'})"
    refused = [webhook for webhook in enabled if host_of(webhook.url) in found.reasons]
    if not refused:
        return name, None
    examples = [_example(webhook, found.reasons[host_of(webhook.url)]) for webhook in refused[:EXAMPLES]]
    more = f"; and {len(refused) - EXAMPLES} more" if len(refused) > EXAMPLES else ""
    return name, f"{len(refused)} refused: {'; '.join(examples)}{more}. See EGRESS_ALLOW and EGRESS_DENY"


def _example(webhook: Webhook, reason: str) -> str:
    who = f"{webhook.instance}/{webhook.id}" if webhook.instance else "WEBHOOK_GLOBAL_URL"
    return f"{who} {host_of(webhook.url)}: {reason.removesuffix('; allow it with EGRESS_ALLOW')}"


async def _broker_findings(settings: Settings, connection: AbstractConnection) -> AsyncIterator[Finding]:
    queues = wiring.queue_topology(settings)
    bind = settings.rabbitmq_source == "exchange"
    absent = await missing(connection, queues, bind=bind)
    if settings.rabbitmq_declare:
        created = f" ({len(absent)} are created at the first start)" if absent else ""
        other = await mismatch(connection, queues, absent)
        fix = "delete it when it is empty, choose another name, or set RABBITMQ_DECLARE=false"
        yield f"queues and exchanges{created}", f"one exists with other arguments: {other}; {fix}" if other else None
    else:
        yield "queues and exchanges", f"missing with RABBITMQ_DECLARE=false: {', '.join(absent)}" if absent else None
    if not bind:
        names = evolution_queues(settings.rabbitmq_prefix_key)
        found = [name for name in names if await queue_exists(connection, name)]
        problem = None if found else "none exists: see RABBITMQ_PREFIX_KEY, and RABBITMQ_GLOBAL_ENABLED in Evolution"
        yield f"Evolution's own queues ({len(found)} found)", problem
