"""A replay to an ordered webhook goes by the ordered queue, whatever ORDER its own process was given."""

from pathlib import Path

import pytest

from tests.support.amqp import Amqp, Names
from tests.support.local_broker import LocalBroker
from worker.domain.past import Past
from worker.process.history_store import store_of_history
from worker.process.replaying import Replayer
from worker.settings.settings import load

BODY = b'{"event":"messages.upsert","instance":"acme","data":{}}'


@pytest.mark.parametrize("there", [True, False], ids=["workers deliver in order", "nobody does"])
async def test_the_queue_is_asked_of_rabbitmq(
    broker: LocalBroker, amqp: Amqp, names: Names, tmp_path: Path, there: bool
) -> None:
    for queue in (names.retries, *([names.ordered] if there else [])):
        await amqp.declare_queue(queue)
    uri = f"sqlite:///{tmp_path}/history.db"
    settings, _ = load({"RABBITMQ_URI": broker.uri, "HISTORY_DATABASE_URI": uri, **names.environment()}, None)
    assert not settings.order, "as on a command line that knows nothing of it"
    store = store_of_history(settings)
    outside = Replayer(settings, store, load=lambda _: pytest.fail("no webhook is asked for"))._outside()
    past = Past("e" * 64, 1_795_867_200.0, names.exchange, "messages.upsert", "default", replayed=1_795_867_200.0)
    assert outside.opened_in_order is not None
    for opened in (outside.opened_in_order, outside.opened):
        async with opened() as (_, publish):
            await publish(BODY, past)
    counts = [await amqp.depth(queue) for queue in (names.ordered, names.retries)]
    assert counts == ([1, 1] if there else [None, 2])
    await store.close()
