"""What the `webhook` commands share: the store that WEBHOOK_SOURCE names, and telling the running workers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from worker.cli.common import complain
from worker.settings.settings import Settings

if TYPE_CHECKING:
    from worker.webhooks.store import WritableStore


@asynccontextmanager
async def opened_store(settings: Settings, *, must_exist: bool = False) -> AsyncIterator["WritableStore"]:
    """Raises StoreUnavailable. A source that others write refuses changes by the name of the setting.

    `must_exist`: our own table is not created. An empty one in the place of one that is away would tell the
    running workers that no instance has a webhook.
    """
    from worker.process.sources import webhook_source  # noqa: PLC0415

    source = webhook_source(settings)
    try:
        if must_exist and source.writable is not None:
            await source.store.load("-")
        else:
            await source.prepare()
        yield source.store
    finally:
        await source.store.close()


async def announce(settings: Settings, *changes: tuple[str, int]) -> None:
    """Announces to the running workers which instances are at which revision now.

    The changes themselves are made, so a broker that is away is no failure.
    """
    from worker.broker.announcements import announce_all  # noqa: PLC0415
    from worker.broker.topology import config_exchange  # noqa: PLC0415

    exchange = config_exchange(settings.worker_queue_prefix)
    problem = await announce_all(settings.rabbitmq_uri, exchange, changes)
    if problem:
        seconds = settings.cache_ttl_seconds
        complain(f"running workers were not told ({problem}); they notice within CACHE_TTL_SECONDS ({seconds:g} s)")
