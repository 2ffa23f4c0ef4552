"""`webhook import`: the plan before the change; and what a running Evolution answers (1.x and 2.x)."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.contract.conftest import Clock
from tests.support.webhook_commands import carry_out, set_webhook
from worker.domain.webhook import Endpoint, RateLimit, Webhook
from worker.stores.evolution.http import fetch
from worker.stores.own.store import SqlStore
from worker.webhooks.commands import SetArguments
from worker.webhooks.fields import InvalidWebhook
from worker.webhooks.store import StoreUnavailable
from worker.webhooks.transfer import Candidate, everything, plan, whole

URL = "https://h.example/x"
SECRET = "whsec_" + "A" * 43 + "="
KEPT = Webhook("acme", URL, secrets=(SECRET,), timeout_ms=5, rate_limit=RateLimit(1, 2), headers=(("A", "b"),))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    found = SqlStore(f"sqlite:///{tmp_path}/webhooks.db", Clock())
    await found.migrate()
    yield found
    await found.close()


async def test_a_plan_says_what_would_change_and_changes_nothing(store: SqlStore) -> None:
    for webhook in (KEPT, Webhook("same", URL), Webhook("other", URL)):
        await store.put(webhook)
    before = await everything(store)
    planned = await plan(
        store,
        [
            Candidate("acme", "default", {"url": "https://new.example/", "events": ["CALL"], "headers": {"A": "b"}}),
            Candidate("new", "default", {"url": URL}),
            Candidate("bad", "default", {"url": "ftp://u:hunter2@h/", "events": ["NOPE"]}),
            whole(Webhook("same", URL)),
        ],
    )
    assert [(change.webhook.instance, change.fields) for change in planned.create] == [("new", ())]
    assert [(change.webhook.instance, change.fields) for change in planned.change] == [("acme", ("url", "events"))]
    ((endpoint, problem),) = planned.refused
    assert endpoint == Endpoint("bad", "default")
    assert "url: " in problem
    assert "events[0]: " in problem
    assert "hunter2" not in problem
    assert (planned.same, planned.others) == (1, 1)
    assert await everything(store) == before


async def test_carrying_it_out_keeps_what_the_source_does_not_know_and_can_be_repeated(store: SqlStore) -> None:
    await store.put(KEPT)
    candidates = [Candidate("acme", "default", {"url": "https://new.example/"}), Candidate("new", "x", {"url": URL})]
    assert await carry_out(store, await plan(store, candidates)) == [("new", 1), ("acme", 2)]
    assert await store.load("acme") == (replace(KEPT, url="https://new.example/"),)
    again = await plan(store, candidates)
    assert (again.create, again.change, again.same) == ((), (), 2)


async def test_what_others_write_between_plan_and_change_stays(store: SqlStore) -> None:
    await store.put(replace(KEPT, secrets=()))
    planned = await plan(store, [Candidate("acme", "default", {"url": "https://new.example/"})])
    await store.put(KEPT)
    assert await carry_out(store, planned) == [("acme", 3)]
    assert await store.load("acme") == (replace(KEPT, url="https://new.example/"),)


class FakeEvolution:
    """GET /instance/fetchInstances and /webhook/find/{instance}, as Evolution 1.x and 2.x answer them."""

    def __init__(self, instances: list[Any], webhooks: dict[str, Any]) -> None:
        self.instances = instances
        self.webhooks = webhooks
        app = web.Application()
        app.router.add_get("/base/instance/fetchInstances", self._instances)
        app.router.add_get("/base/webhook/find/{instance:[^/]+}", self._find)
        self.server = TestServer(app)

    async def __aenter__(self) -> str:
        await self.server.start_server()
        return str(self.server.make_url("/base/"))

    async def __aexit__(self, *_: object) -> None:
        await self.server.close()

    async def _instances(self, request: web.Request) -> web.Response:
        return self._answer(request, self.instances)

    async def _find(self, request: web.Request) -> web.Response:
        return self._answer(request, self.webhooks.get(request.match_info["instance"]))

    def _answer(self, request: web.Request, found: Any) -> web.Response:
        if request.headers.get("apikey") != "global":
            return web.json_response({"status": 401, "error": "Unauthorized"}, status=401)
        return web.json_response(found)


V2 = {
    "id": "cm1", "url": "worker+https://h.example/x", "headers": {"X-A": "1"}, "enabled": True,
    "events": ["QRCODE_UPDATED", "GROUP_UPDATE"], "webhookByEvents": True, "webhookBase64": False,
    "createdAt": "2025-10-21T14:00:00.000Z", "updatedAt": "2025-10-21T14:00:00.000Z", "instanceId": "8f0a",
}  # fmt: skip
V1 = {"enabled": True, "url": URL, "events": ["CALL"], "webhook_by_events": True, "webhook_base64": True}


async def test_evolution_2_is_read_over_its_api(store: SqlStore) -> None:
    instances = [{"id": "1", "name": "loja 1/ção"}, {"id": "2", "name": "unset"}]
    async with FakeEvolution(instances, {"loja 1/ção": V2}) as url:
        planned = await plan(store, await fetch(url, "global"))
    assert [change.webhook for change in planned.create] == [
        Webhook(
            "loja 1/ção", URL, events=frozenset({"QRCODE_UPDATED", "GROUPS_UPDATE"}), by_events=True,
            headers=(("X-A", "1"),),
        )
    ]  # fmt: skip


async def test_evolution_1_is_read_over_its_api(store: SqlStore) -> None:
    instances = [{"instance": {"instanceName": name, "status": "open"}} for name in ("acme", "unset")]
    unset = {"enabled": False, "url": "", "events": [], "webhook_by_events": False, "webhook_base64": False}
    async with FakeEvolution(instances, {"acme": V1, "unset": unset}) as url:
        planned = await plan(store, await fetch(url, "global"))
    wanted = Webhook("acme", URL, events=frozenset({"CALL"}), by_events=True, base64=True)
    assert [change.webhook for change in planned.create] == [wanted]


async def test_a_repeated_import_finds_everything_the_same(store: SqlStore) -> None:
    async with FakeEvolution([{"name": "acme"}], {"acme": V2}) as url:
        await carry_out(store, await plan(store, await fetch(url, "global")))
        planned = await plan(store, await fetch(url, "global"))
    assert (planned.create, planned.change, planned.same) == ((), (), 1)


async def test_what_evolution_holds_and_the_worker_cannot_send_is_refused_by_name(store: SqlStore) -> None:
    found = {"acme": {**V2, "url": 5}, "odd": {**V2, "events": "all"}, "bad": {**V2, "headers": {"a b": "1"}}}
    async with FakeEvolution([{"name": name} for name in found], found) as url:
        planned = await plan(store, await fetch(url, "global"))
    problems = {endpoint.instance: problem for endpoint, problem in planned.refused}
    assert problems["acme"].startswith("url: ")
    assert problems["odd"].startswith("events: ")
    assert problems["bad"].startswith("headers: ")


async def test_rows_as_people_leave_them_are_imported_as_evolution_sends_them(store: SqlStore) -> None:
    pasted = {
        **V2, "url": f" {URL}?a b\n", "events": ["CALL", "NEW_THING"],
        "headers": {"X-A": "1", "x-a": 2, "X-None": None, "X-Yes": True},
    }  # fmt: skip
    async with FakeEvolution([{"name": "acme"}], {"acme": pasted}) as url:
        planned = await plan(store, await fetch(url, "global"))
        assert planned.refused == ()
        await carry_out(store, planned)
        again = await plan(store, await fetch(url, "global"))
    assert (again.create, again.change, again.same) == ((), (), 1)
    (webhook,) = await store.load("acme")
    assert (webhook.url, webhook.headers) == (f"{URL}?a%20b", (("X-A", "2"), ("X-Yes", "true")))
    assert webhook.events == {"CALL", "NEW_THING"}
    result = await set_webhook(store, SetArguments("acme", timeout_ms="5"))
    assert (result.webhook["events"], result.webhook["timeout_ms"]) == (["CALL", "NEW_THING"], 5)
    with pytest.raises(InvalidWebhook, match=r"events\[0\]: 'NEWER_THING' is not an event"):
        await set_webhook(store, SetArguments("acme", events=["NEWER_THING"]))


@pytest.mark.parametrize("name", ["..", ".", "...", "a/../b", "%2e%2e", "a b?c#d"])
async def test_an_instance_is_asked_for_by_its_name_whatever_it_is(store: SqlStore, name: str) -> None:
    async with FakeEvolution([{"name": name}], {name: V2}) as url:
        planned = await plan(store, await fetch(url, "global"))
    assert [change.webhook.instance for change in planned.create] == [name]


async def test_what_the_source_has_twice_is_counted_once(store: SqlStore) -> None:
    async with FakeEvolution([{"name": "acme"}, {"name": "acme"}], {"acme": V2}) as url:
        planned = await plan(store, await fetch(url, "global"))
    assert (len(planned.create), planned.refused, planned.same) == (1, (), 0)
    one, other = (Candidate("acme", "default", {"url": each}) for each in (URL, "https://other.example/"))
    planned = await plan(store, [one, one, other, Candidate("bad", "default", {}), Candidate("bad", "default", {})])
    assert [change.webhook.url for change in planned.create] == [URL]
    assert [endpoint.instance for endpoint, _ in planned.refused] == ["acme", "bad"]
    assert (planned.same, planned.others) == (0, 0)


async def test_an_answer_that_comes_in_many_pieces_is_read_whole() -> None:
    """fetchInstances has a QR code for each instance that is not connected."""
    instances = [{"name": f"i{number}", "qrcode": "x" * 12_000} for number in range(100)]
    async with FakeEvolution(instances, {"i99": V2}) as url:
        assert [found.instance for found in await fetch(url, "global")] == ["i99"]


@pytest.mark.parametrize(
    ("key", "instances", "said"),
    [("wrong", [], "the API key is refused"), ("global", {}, "no list of instances")],
)
async def test_an_evolution_that_refuses_is_an_error(key: str, instances: Any, said: str) -> None:
    async with FakeEvolution(instances, {}) as url:
        with pytest.raises(StoreUnavailable, match=f"GET /instance/fetchInstances: .*{said}"):
            await fetch(url, key)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            {
                "error": "service not activated",
                "code": "LICENSE_REQUIRED",
                "register_url": "https://license.example/r?t=1",
            },
            "not activated yet (LICENSE_REQUIRED); activate it: open https://license.example/r?t=1, then import again",
        ),
        (
            {"code": "LICENSE_REQUIRED", "register_url": "https://h/\x1b[2J"},
            "activate it: open https://h/\\u001b[2J, then",
        ),
        ({"code": "LICENSE_REQUIRED", "register_url": None}, "activate it in its manager, then import again"),
        ({"error": "service not activated"}, "it answered 503"),
        (["LICENSE_REQUIRED"], "it answered 503"),
    ],
)
async def test_an_evolution_without_its_licence_says_where_to_get_it(answer: Any, said: str) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response(answer, status=503)

    app = web.Application()
    app.router.add_get("/{path:.*}", refuse)
    async with TestServer(app) as server:
        with pytest.raises(StoreUnavailable, match=re.escape(said)):
            await fetch(str(server.make_url("/")), "global")


async def test_a_host_that_does_not_answer_is_an_error() -> None:
    with pytest.raises(StoreUnavailable, match="GET /instance/fetchInstances: "):
        await fetch("http://127.0.0.1:1", "global")


@pytest.mark.parametrize("url", ["ftp://h/", "nonsense", "http://user:pa#ss@h/"])
async def test_an_address_that_is_none_is_told_with_what_is_allowed(url: str) -> None:
    with pytest.raises(ValueError, match="must be a URI") as raised:
        await fetch(url, "global")
    assert "pa#ss" not in str(raised.value)
