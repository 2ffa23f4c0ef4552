"""LISTEN for the optional trigger (deploy/sql/evolution_notify.sql). Without it nothing comes, and polling serves."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import msgspec
import psycopg

from worker.stores.database import Database
from worker.stores.engine import postgresql_arguments

CHANNEL = "evolution_webhook"
AGAIN_SECONDS = 5.0

log = logging.getLogger(__name__)


class Notice(msgspec.Struct, frozen=True):
    """The trigger's payload: the row of this instance changed, in this schema."""

    schema: str
    instance: str


_decode = msgspec.json.Decoder(Notice).decode


async def listen(database: Database, ask: Callable[[Iterable[str]], None]) -> NoReturn:
    """Calls `ask` with each instance that the trigger names, and without any after each new connection."""
    while True:
        try:
            await _listen(database, ask)
        except (psycopg.Error, OSError) as error:
            log.info("not listening for changes in Evolution's database, polling goes on: %s", type(error).__name__)
        await asyncio.sleep(AGAIN_SECONDS)


async def _listen(database: Database, ask: Callable[[Iterable[str]], None]) -> None:
    at = database.address
    # A vanished server is noticed by the keep-alives; a wait for notifications has no deadline of its own.
    arguments: dict[str, Any] = {"user": at.user, "password": at.password, "host": at.host or None, "port": at.port}
    arguments |= {"dbname": database.name} | postgresql_arguments(database)
    async with await psycopg.AsyncConnection.connect(autocommit=True, **arguments) as connection:
        await connection.execute(f"LISTEN {CHANNEL}")
        ask(())  # something may have changed while nobody listened
        async for notification in connection.notifies():
            notice = _read(notification.payload)
            if notice is not None and notice.schema == (database.schema or "public"):
                ask((notice.instance,))


def _read(payload: str) -> Notice | None:
    try:
        return _decode(payload)
    except msgspec.MsgspecError:
        log.warning("somebody notified %s of no change: not the trigger of deploy/sql/evolution_notify.sql", CHANNEL)
        return None
