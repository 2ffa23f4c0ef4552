"""The broker's memory and disk alarms, as a connection that publishes hears of them (Connection.Blocked)."""

import asyncio
import logging
from collections.abc import Callable

from aio_pika.abc import AbstractConnection

from worker.broker.aiormq_internals import connection_beneath, publishes_taken

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0


async def watch_alarm(connection: AbstractConnection, on_change: Callable[[bool], None]) -> None:
    """Calls `on_change` as an alarm begins and ends, until the connection closes. aiormq is polled: it tells nobody."""
    beneath = connection_beneath(connection)
    if beneath is None:
        return
    ready = publishes_taken(beneath)
    while not connection.is_closed:
        waiting = asyncio.ensure_future(ready())
        try:
            _, blocked = await asyncio.wait({waiting}, timeout=POLL_SECONDS)
            if not blocked:
                await asyncio.sleep(POLL_SECONDS)
                continue
            log.warning("RabbitMQ takes no publishes (memory or disk alarm): retries and dead letters wait")
            on_change(True)
            await waiting
            log.info("RabbitMQ takes publishes again")
            on_change(False)
        finally:
            waiting.cancel()
