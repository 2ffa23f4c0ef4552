"""What the fault tests ask at their end: is anything left, and how often was each delivery made?"""

from __future__ import annotations

from collections import Counter

from tests.support.amqp import Amqp, Names
from tests.support.local_broker import LocalBroker
from tests.support.receiver import Receiver
from tests.support.worker import Worker

QUICK = {"WEBHOOK_RETRY_INITIAL_DELAY_SECONDS": "1", "WEBHOOK_RETRY_MAX_ATTEMPTS": "5", "BREAKER_FAILURES": "1000"}
"""First retry after a second, and no circuit breaker in between."""


def posts_by_id(receiver: Receiver) -> Counter[str | None]:
    return Counter(request.header("webhook-id") for request in receiver.requests)


async def assert_nothing_is_left(daemon: Worker, broker: LocalBroker, names: Names, *, dead: int = 0) -> None:
    """The worker ends cleanly, which hands back what it had not settled; then the queues are empty."""
    assert await daemon.stop() == 0
    async with await Amqp.connect(broker.uri) as amqp:
        for queue in (names.events, names.retries, names.retry(1)):
            assert not await amqp.depth(queue), queue
        assert await amqp.depth(names.dead) == dead
