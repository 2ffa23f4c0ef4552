"""Writers at the same time, damaged rows, faults of ours, the largest bodies, and the end of the server."""

import asyncio
import json
import time
from typing import Any

import pytest

from tests.api.conftest import Api, MakeApi
from worker.domain.webhook import Webhook
from worker.stores.own.store import SqlStore
from worker.webhooks.store import RowDamaged

URL = "https://h.example/x"


async def test_two_writers_of_one_webhook_take_turns_and_the_last_wins(make_api: MakeApi, store: SqlStore) -> None:
    first, second = await make_api(store), await make_api(store)
    calls = [(first if n % 2 else second).set("acme", {"url": f"{URL}/{n}", "timeout_ms": n + 1}) for n in range(40)]
    answers = await asyncio.gather(*calls)
    assert {found.status for found in answers} == {201}
    revisions = [revision for _, revision in first.changes + second.changes]
    assert sorted(revisions) == list(range(1, 41))
    (webhook,) = await store.load("acme")
    assert webhook.url == f"{URL}/{(webhook.timeout_ms or 0) - 1}"


async def test_a_secret_survives_sets_at_the_same_time_on_another_replica(make_api: MakeApi, store: SqlStore) -> None:
    first, second = await make_api(store), await make_api(store)
    calls = [first.set("acme", {"url": URL, "secret": "generate"})]
    calls += [(first, second)[n % 2].set("acme", {"url": URL, "timeout_ms": n + 1}) for n in range(20)]
    answers = await asyncio.gather(*calls)
    secret = next(found.json["secret"] for found in answers if "secret" in found.json)
    assert (await store.load("acme"))[0].secrets == (secret,)


async def test_a_delete_between_write_and_answer_harms_nothing(make_api: MakeApi, store: SqlStore) -> None:
    api = await make_api(store)

    async def deleted(instance: str, revision: int) -> None:
        await store.delete(instance, None)

    api.server._handlers._saving._changed = deleted
    found = await api.set("acme", {"webhook": {"url": URL}})
    assert (found.status, found.json["createdAt"]) == (201, None)


class Damaged:
    """One damaged row; a set repairs it."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    async def get(self, instance: str) -> object:
        if not await self._store.load(instance):
            raise RowDamaged("column `events` of webhook 'default' of instance 'acme' is damaged")
        return await self._store.get(instance)

    async def put(self, webhook: Webhook) -> object:
        return await self._store.put(webhook)


async def test_a_damaged_row_is_named_and_a_set_repairs_it(make_api: MakeApi, store: SqlStore) -> None:
    api = await make_api(Damaged(store))
    found = await api.find("acme")
    assert (found.status, "events" in found.text) == (500, True)
    assert (await api.set("acme", {"url": URL})).status == 201
    assert (await api.find("acme")).status == 200


async def test_a_fault_of_ours_is_an_answer_too_and_logged(make_api: MakeApi, caplog: pytest.LogCaptureFixture) -> None:
    api = await make_api(object())
    found = await api.find("acme")
    assert (found.status, found.json["error"]) == (500, "Internal Server Error")
    assert "AttributeError" in caplog.text
    assert "AttributeError" not in found.text


async def test_close_lets_a_request_under_way_finish(make_api: MakeApi, store: SqlStore) -> None:
    api = await make_api(store)
    entered, release = asyncio.Event(), asyncio.Event()

    async def slow(*_: object) -> None:
        entered.set()
        await release.wait()

    api.server._handlers._saving._changed = slow
    call = asyncio.create_task(api.set("acme", {"url": URL}))
    await entered.wait()
    closing = asyncio.create_task(api.server.close())
    await asyncio.sleep(0)
    release.set()
    assert (await call).status == 201
    await closing


@pytest.mark.parametrize("depth", [20, 200, 500, 800, 900, 950, 1000, 2000])
@pytest.mark.parametrize(
    "place", ['{"url": "https://h.example", "events": %s}', '{"webhook": {"id": %s}}', '{"x": %s}']
)
async def test_nesting_of_any_depth_gets_an_answer(api: Api, depth: int, place: str) -> None:
    raw = (place % ("[" * depth + "]" * depth)).encode()
    assert (await api.call("POST", "/webhook/set/acme", raw=raw)).status in {201, 400}


@pytest.mark.parametrize(
    "body",
    [
        {"url": URL, "events": ["A" * 1_000_000]},
        {"url": URL, "events": ["a"] * 200_000},
        {"url": URL, "x" * 1_000_000: 1},
        {"url": "https://" + "h" * 1_000_000},
        {"url": URL, "headers": {f"h{n}": str(n) for n in range(199)}},
        {"url": URL, "id": "x" * 1_000_000},
        {"url": URL, "secret": "whsec_" + "A" * 1_000_000},
    ],
    ids=["long event", "many events", "long key", "long host", "many headers", "long id", "long secret"],
)
async def test_the_largest_bodies_take_no_time_and_get_short_answers(api: Api, body: Any) -> None:
    began = time.process_time()
    found = await api.call("POST", "/webhook/set/acme", body=None, raw=json.dumps(body).encode())
    assert time.process_time() - began < 2
    assert len(found.text) < 30_000
