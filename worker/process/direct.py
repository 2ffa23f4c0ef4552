"""One delivery outside the running worker, with its settings, webhooks and egress rules."""

import time
from collections.abc import Sequence

from worker.deadletters.direct import DirectDelivery
from worker.domain.past import Past
from worker.process import wiring
from worker.process.sources import webhook_source
from worker.settings.settings import Settings
from worker.webhooks.store import StoreUnavailable


async def deliver(settings: Settings, body: bytes, past: Past) -> Sequence[str]:
    """See deadletters.direct.Deliver. Opens the store and closes it again: such letters are few."""
    try:
        store = webhook_source(settings).store
    except StoreUnavailable as error:
        return [str(error)]
    sender = wiring.sender(settings)
    policy = wiring.policy(settings, wiring.retry_schedule(settings))
    try:
        direct = DirectDelivery(store.load, wiring.global_webhook(settings), sender, policy, time.time)
        return await direct.deliver(body, past)
    finally:
        await sender.close()
        await store.close()
