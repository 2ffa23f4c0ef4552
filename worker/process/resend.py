"""`history resend`, `history show --body` and their calls: the parts of one such attempt, made and closed for it."""

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import NamedTuple

from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelNotFoundEntity
from msgspec.structs import replace

from worker.basics.clock import Clocks
from worker.basics.moments import iso
from worker.broker.archive.reading import Archive
from worker.broker.connection import BROKER_ERRORS, connected, in_words, while_open
from worker.broker.declare import queue_exists
from worker.broker.history import publish_once
from worker.broker.topology import Topology, archive_name, topology
from worker.deadletters.browse import Stalled
from worker.deadletters.resend import NotThere, Resender, Standing, letter_of
from worker.delivery.ports import PublishFailed
from worker.domain.history import Batch, Row
from worker.domain.outcome import SkipReason
from worker.domain.past import Past
from worker.history.batches import encode
from worker.history.store import Kept
from worker.process import wiring
from worker.process.history_store import asking
from worker.process.sources import webhook_source
from worker.replay.archive import ArchiveStalled
from worker.replay.fates import Fate, Fates, Moment
from worker.replay.finding import find
from worker.settings.settings import Settings
from worker.webhooks.store import StoreUnavailable

log = logging.getLogger(__name__)

REST_SECONDS = 0.01
"""After each 50 archived events that were looked at: the API may answer beside deliveries."""

_one_at_a_time = asyncio.Lock()
"""Looking for a letter holds all of them: two that look at once would hide letters from each other."""


class BrokerUnavailable(Exception):
    """RabbitMQ could not be asked; the text says why, without the password."""


async def resend(settings: Settings, delivery_id: str, owner: str | None) -> Row:
    """The attempt. Raises NotThere, NotResendable, StoreUnavailable, BrokerUnavailable."""
    async with _one_at_a_time, _connected(settings) as connection, AsyncExitStack() as stack:
        resender, dead = _resender(settings, connection, stack)
        try:
            return await while_open(connection, resender.resend(connection, dead, delivery_id, owner))
        except NotThere:
            found = await archived(settings, connection, delivery_id, owner)
            past = replace(found.past, replayed=time.time())
            return await while_open(connection, resender.send(found.body, past))


class Found(NamedTuple):
    """An archived event, and what it was to one webhook."""

    body: bytes
    past: Past


async def body_of(settings: Settings, delivery_id: str, owner: str | None) -> bytes:
    """The event of a delivery: from the dead letters or the archive. Raises NotThere, StoreUnavailable,
    BrokerUnavailable."""
    async with _one_at_a_time, _connected(settings) as connection:
        letter = await while_open(connection, letter_of(connection, _queues(settings).dead, delivery_id, owner))
        if letter is not None:
            return letter.body
        return (await archived(settings, connection, delivery_id, owner)).body


async def archived(settings: Settings, connection: AbstractConnection, delivery_id: str, owner: str | None) -> Found:
    """By the delivery's history. Raises NotThere."""
    rows = [kept.row for kept in await _timeline(settings, delivery_id, owner) if kept.row.webhook is not None]
    if not rows:
        raise NotThere(f"{delivery_id!r:.200} is neither in the dead letters nor in the history")
    first, name = rows[0], archive_name(settings.worker_queue_prefix)
    if not settings.archive or not await queue_exists(connection, name):
        raise NotThere(
            f"{delivery_id} is not in the dead letters, and there is no archive to look in"
            + ("" if settings.archive else ": ARCHIVE is false")
        )
    found = await while_open(connection, find(Archive(connection, name), first.event_id, first.at, REST_SECONDS))
    if found is None:
        raise NotThere(
            f"{delivery_id} is not in the dead letters, and its event of {iso(first.at / 1000, 'seconds')} is gone: "
            f"the archive keeps {settings.archive_hours} hours (ARCHIVE_HOURS), no more than ARCHIVE_MAX_BYTES, and "
            "nothing from before it was made"
        )
    tried = max(row.attempt for row in rows)
    return Found(
        found.body, Past(first.event_id, first.at / 1000, found.exchange, found.routing_key, first.webhook, tried)
    )


async def _standing(settings: Settings, delivery_id: str) -> Standing:
    """A letter may lie there although a replay has sent its event since. It can be sent without a history, too."""
    try:
        rows = [kept.row for kept in await _timeline(settings, delivery_id, None)]
    except StoreUnavailable as error:
        log.warning("whether %s waits for a retry is not known: %s", delivery_id, error)
        return Standing()
    fates = Fates(Moment(row.id, row.at, row.outcome, row.reason, row.attempt) for row in rows)
    since = int((time.time() - settings.webhook_retry_max_age_seconds) * 1000)
    match fates.of(delivery_id, since):
        case Fate.WAITS:
            return Standing(waits=True)
        case Fate.OVER:
            return Standing(skipped=SkipReason(rows[-1].reason))
    return Standing()


async def _timeline(settings: Settings, delivery_id: str, owner: str | None) -> Sequence[Kept]:
    asked = asking(settings)
    if asked is None:
        return ()
    try:
        return await asked.timeline(delivery_id, owner)
    finally:
        await asked.close()


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[AbstractConnection]:
    """Raises NotThere where no worker ever ran, and BrokerUnavailable for whatever breaks within."""
    address = settings.rabbitmq_uri
    try:
        async with connected(address, "evolution-webhook-worker resend") as connection:
            yield connection
    except ChannelNotFoundEntity:
        raise NotThere("no worker ever ran on this RabbitMQ: there are no dead letters") from None
    except (Stalled, ArchiveStalled, PublishFailed, *BROKER_ERRORS) as error:
        raise BrokerUnavailable(f"RabbitMQ at {address}: {address.clean(in_words(error))}") from None


def _queues(settings: Settings) -> Topology:
    return topology(settings.worker_queue_prefix, "", (), history=settings.history != "off")


def _resender(settings: Settings, connection: AbstractConnection, stack: AsyncExitStack) -> tuple[Resender, str]:
    store = webhook_source(settings).store
    stack.push_async_callback(store.close)
    sender = wiring.sender(settings)
    stack.push_async_callback(sender.close)
    queues = _queues(settings)

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
    hearing = wiring.operators_notices(settings)
    operators, standing = wiring.global_webhook(settings), partial(_standing, settings)
    resender = Resender(store.load, operators, hearing, sender, policy, clocks, keep, standing)
    return resender, queues.dead
