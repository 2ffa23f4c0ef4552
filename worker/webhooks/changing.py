"""A change of a part of one webhook: read, make the new one, write, and all of it again if somebody else was faster."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from worker.domain.webhook import Endpoint, Webhook
from worker.webhooks.store import ListableStore, RowDamaged, Stored, StoreUnavailable, WritableStore, Written

MOST_TRIES = 100
"""Each one lost means that another writer's was finished: more cannot be lost by chance."""

Make = Callable[[Webhook | None], Awaitable[Webhook | None]]
"""From the webhook as it is (None: there is none) to the one that it is to be; None: leave it. Called again when
another writer came between, so it must not act."""


Enabling = Callable[[Webhook], Awaitable[None]]
"""Hears of a disabled webhook before it is enabled; again when another writer came between."""


async def leave(_: Webhook) -> None:
    """What was missed meanwhile is not sent."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What was written."""

    webhook: Webhook
    written: Written


async def change(store: WritableStore, endpoint: Endpoint, make: Make, enabling: Enabling) -> Changed | None:
    """Changes one webhook, again if another writer was faster. None: `make` left it as it is.

    So no two writers undo each other's fields, on whatever replica. A webhook that stays disabled keeps the reason. A
    damaged row counts as none and is replaced whole. Raises StoreUnavailable, and what `make` raises.
    """
    for _ in range(MOST_TRIES):
        try:
            found = await find(store, endpoint)
        except RowDamaged as error:
            if error.webhook_id != endpoint.webhook_id:
                raise  # a neighbour's: what this one says cannot be read, so it must not be overwritten
            damaged, found = True, None
        else:
            damaged = False
        webhook = await make(found.webhook if found else None)
        if webhook is None:
            return None
        if found and not webhook.enabled:
            webhook = replace(webhook, disabled_reason=found.webhook.disabled_reason)
        if found and webhook.enabled and not found.webhook.enabled:
            await enabling(found.webhook)
        seen = found.revision if found else 0
        written = await (store.put(webhook) if damaged else store.put_if_unchanged(webhook, seen))
        if written is not None:
            return Changed(webhook, written)
    raise StoreUnavailable(
        f"webhook {endpoint.webhook_id!r} of {endpoint.instance!r} is changed by others all the time: try again"
    )


async def find(store: ListableStore, endpoint: Endpoint) -> Stored | None:
    """One webhook. Raises StoreUnavailable."""
    found = await store.get(endpoint.instance)
    return next((item for item in found if item.webhook.id == endpoint.webhook_id), None)
