"""`history resend` and POST /history/{id}/resend: the parts of one such attempt, made and closed for it."""

import asyncio
import logging
import secrets
import socket
import time
from contextlib import AsyncExitStack

from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelNotFoundEntity

from worker.basics.clock import Clocks
from worker.broker.connection import BROKER_ERRORS, as_broker_errors, close, connect, in_words, while_open
from worker.broker.history import publish_once
from worker.broker.topology import topology
from worker.deadletters.browse import Stalled
from worker.deadletters.resend import NotThere, Resender
from worker.domain.history import Batch, Row
from worker.history.batches import encode
from worker.process import wiring
from worker.process.sources import webhook_source
from worker.settings.settings import Settings

log = logging.getLogger(__name__)

_one_at_a_time = asyncio.Lock()
"""Looking for a letter holds all of them: two that look at once would hide letters from each other."""


class BrokerUnavailable(Exception):
    """RabbitMQ could not be asked; the text says why, without the password."""


async def resend(settings: Settings, delivery_id: str, owner: str | None) -> Row:
    """The attempt. Raises NotThere, NotResendable, StoreUnavailable, BrokerUnavailable."""
    address = settings.rabbitmq_uri
    async with _one_at_a_time, AsyncExitStack() as stack:
        try:
            with as_broker_errors():
                connection = await connect(address, "evolution-webhook-worker resend")
                stack.push_async_callback(close, connection)
                return await while_open(connection, _resent(settings, connection, delivery_id, owner, stack))
        except ChannelNotFoundEntity:
            raise NotThere from None  # no worker ever ran, so there is no queue
        except (Stalled, *BROKER_ERRORS) as error:
            raise BrokerUnavailable(f"RabbitMQ at {address}: {address.clean(in_words(error))}") from None


async def _resent(
    settings: Settings, connection: AbstractConnection, delivery_id: str, owner: str | None, stack: AsyncExitStack
) -> Row:
    store = webhook_source(settings).store
    stack.push_async_callback(store.close)
    sender = wiring.sender(settings)
    stack.push_async_callback(sender.close)
    queues = topology(settings.worker_queue_prefix, "", (), history=settings.history != "off")

    async def keep(row: Row) -> None:
        wanted = settings.history == "all" or row.outcome != "Delivered"
        if queues.history is None or not wanted:
            return
        batch = Batch(secrets.token_hex(16), 0, socket.gethostname(), (row,))
        problem = await publish_once(connection, queues.history.name, encode(batch))
        if problem is not None:
            log.warning("an attempt is not in the history: %s", problem)

    policy = wiring.policy(settings, wiring.retry_schedule(settings))
    clocks = Clocks(time.time, time.monotonic)
    resender = Resender(store.load, wiring.global_webhook(settings), sender, policy, clocks, keep)
    return await resender.resend(connection, queues.dead, delivery_id, owner)
