"""The checks of `webhook-worker check`: each says what is wrong and what to do. Nothing is changed."""

from collections.abc import AsyncIterator

from aio_pika.abc import AbstractConnection

from worker import wiring
from worker.broker.connection import BROKER_ERRORS, close, connect, masked, said
from worker.broker.declare import missing, queue_exists
from worker.broker.intake import evolution_queues
from worker.configuration.port import StoreUnavailable
from worker.settings import Settings
from worker.webhook_source import webhook_source

Finding = tuple[str, str | None]
"""What was looked at, and the problem with it (None: there is none)."""


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    """One finding after another, settings first (they are right, or this would not run)."""
    yield "settings", None
    yield "webhook store", await _store_problem(settings)
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


async def _store_problem(settings: Settings) -> str | None:
    try:
        store = webhook_source(settings).store
    except StoreUnavailable as error:
        return str(error)
    try:
        await store.check()
    except StoreUnavailable as error:
        return str(error)
    finally:
        await store.close()
    return None


async def _broker_findings(settings: Settings, connection: AbstractConnection) -> AsyncIterator[Finding]:
    queues = wiring.queue_topology(settings)
    bind = settings.rabbitmq_source == "exchange"
    absent = await missing(connection, queues, bind=bind)
    if settings.rabbitmq_declare:
        created = f" ({len(absent)} are created at the first start)" if absent else ""
        yield f"queues and exchanges{created}", None
    else:
        yield "queues and exchanges", f"missing with RABBITMQ_DECLARE=false: {', '.join(absent)}" if absent else None
    if not bind:
        names = evolution_queues(settings.rabbitmq_prefix_key)
        found = [name for name in names if await queue_exists(connection, name)]
        problem = None if found else "none exists: see RABBITMQ_PREFIX_KEY, and RABBITMQ_GLOBAL_ENABLED in Evolution"
        yield f"Evolution's own queues ({len(found)} found)", problem
