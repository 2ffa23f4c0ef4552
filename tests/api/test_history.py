"""GET /history: pages, filters, one delivery; and that an instance's own token sees its own rows alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.api.conftest import TOKENS, Api, MakeApi
from tests.history.fakes import row
from worker.api.ports import BodyGone, CannotResend
from worker.domain.history import Batch, Row
from worker.domain.webhook import Webhook
from worker.history.asked import written
from worker.history.asking import Asking
from worker.history.store import Cursor, HistoryStore
from worker.stores.history.store import history_store
from worker.stores.own.store import SqlStore

NOW_MS = 1_795_000_000_123
OTHERS = ("ACME", "acme ", "acmé", "acme\u0301", "\N{CYRILLIC SMALL LETTER A}cme", "other", "acme%", "_cme")
"""Instances that a careless comparison takes for acme: case, a blank, accents, Cyrillic, patterns."""


@pytest.fixture
async def history(tmp_path: Path) -> AsyncIterator[HistoryStore]:
    """Three rows of acme, one of each other instance, in a real database."""
    store = history_store(f"sqlite:///{tmp_path / 'history.db'}", 7, lambda: NOW_MS)
    await store.prepare()
    rows = [row(NOW_MS - n, id=f"msg_{n}", instance="acme", status=500 + n) for n in range(3)]
    rows += [row(NOW_MS - 1, id=f"msg_of_{name}", instance=name) for name in OTHERS]
    rows.append(row(NOW_MS - 5, id="evt_1", instance=None, webhook=None))
    await store.write([Batch("run-1", 0, "pod-1", tuple(rows))])
    yield store
    await store.close()


@pytest.fixture
async def api(make_api: MakeApi, store: SqlStore, history: HistoryStore) -> Api:
    async def owner(token: str) -> str | None:
        return TOKENS.get(token)

    asking = Asking(history, lambda: None, lambda: NOW_MS / 1000)
    return await make_api(store, token_owner=owner, history=asking)


async def instances(api: Api, query: str, key: str = "acme-token") -> set[str]:
    answer = await api.call("GET", f"/history?{query}", key=key)
    assert answer.status == 200, answer.text
    return {item["instance"] for item in answer.json["items"]}


async def test_the_operator_pages_through_everything_newest_first(api: Api) -> None:
    found: list[Any] = []
    after = ""
    while True:
        answer = await api.call("GET", f"/history?limit=4{after}")
        found += answer.json["items"]
        if answer.json["next"] is None:
            break
        after = "&after=" + quote(answer.json["next"])
    assert len(found) == len({item["id"] for item in found}) == 3 + len(OTHERS) + 1
    assert [item["at"] for item in found] == sorted((item["at"] for item in found), reverse=True)


async def test_filters_hold_together(api: Api) -> None:
    answer = await api.call("GET", "/history?instance=acme&status=501&event=messages.upsert&since=1h&chat=5511")
    assert answer.status == 400
    answer = await api.call("GET", "/history?instance=acme&status=501&event=messages.upsert&since=1h")
    assert [item["id"] for item in answer.json["items"]] == ["msg_1"]
    assert answer.json["next"] is None


async def test_one_delivery_is_found_by_its_id(api: Api) -> None:
    answer = await api.call("GET", "/history/msg_2")
    assert (answer.status, [item["status"] for item in answer.json["items"]]) == (200, [502])
    assert (await api.call("GET", "/history/msg_9")).status == 404


async def test_a_token_sees_its_own_rows(api: Api) -> None:
    assert await instances(api, "") == {"acme"}
    assert (await api.call("GET", "/history/msg_0", key="acme-token")).status == 200


@pytest.mark.parametrize("name", OTHERS)
async def test_no_filter_breaks_out_of_an_instance(api: Api, name: str) -> None:
    assert await instances(api, f"instance={quote(name)}") == set()
    assert await instances(api, f"id={quote(f'msg_of_{name}')}") == set()
    answer = await api.call("GET", f"/history/{quote(f'msg_of_{name}', safe='')}", key="acme-token")
    never = await api.call("GET", "/history/msg_never", key="acme-token")
    assert (answer.status, never.status) == (404, 404)


@pytest.mark.parametrize(
    "query",
    [
        "since=365d",
        "limit=500",
        "webhook=default",
        "outcome=Delivered",
        "status=200",
        f"after={quote(str(written(Cursor(NOW_MS + 10**9, 10**9))))}",
        f"after={quote(str(written(Cursor(NOW_MS, 0))))}",
    ],
)
async def test_no_cursor_and_no_width_breaks_out_of_an_instance(api: Api, query: str) -> None:
    assert await instances(api, query) <= {"acme"}


@pytest.mark.parametrize("name", ["owner", "Instance", "instance[]", "instance%00", "where"])
async def test_what_is_no_filter_is_refused(api: Api, name: str) -> None:
    answer = await api.call("GET", f"/history?{name}=other", key="acme-token")
    assert answer.status == 400


async def test_a_cursor_of_somebody_else_shows_nothing_of_theirs(api: Api) -> None:
    operators = await api.call("GET", "/history?limit=1&instance=other&until=1s")
    first = await api.call("GET", "/history?limit=2")
    assert operators.status == 200
    assert await instances(api, f"after={quote(first.json['next'])}") <= {"acme"}


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("status=many", "status"),
        ("outcome=lost", "outcome"),
        ("reason=weather", "reason"),
        ("since=soon", "since"),
        ("until=", "until"),
        ("chat=you", "chat"),
        ("limit=0", "limit"),
        ("after=x", "after"),
        ("instance=a&instance=b", "instance"),
        ("id=", "id"),
        ("nonsense=1", "nonsense"),
    ],
)
async def test_every_bad_filter_is_named(api: Api, query: str, named: str) -> None:
    answer = await api.call("GET", f"/history?{query}")
    assert answer.status == 400
    assert named in json.dumps(answer.json["response"]["message"])


async def test_it_needs_a_key(api: Api) -> None:
    assert (await api.call("GET", "/history", key="wrong")).status == 401
    assert (await api.call("GET", "/history/msg_0", key=None)).status == 401


async def test_off_is_said(make_api: MakeApi, store: SqlStore) -> None:
    off = await make_api(store)
    for path in ("/history", "/history/msg_0"):
        answer = await off.call("GET", path)
        assert (answer.status, answer.json["response"]["message"]) == (404, ["no history is kept: HISTORY is off"])


async def test_a_database_that_is_away_is_503_there_and_null_in_find(
    make_api: MakeApi, store: SqlStore, tmp_path: Path
) -> None:
    (tmp_path / "folder.db").mkdir()
    away = history_store(f"sqlite:///{tmp_path / 'folder.db'}", 7, lambda: NOW_MS)
    api = await make_api(store, history=Asking(away, lambda: None, lambda: NOW_MS / 1000))
    await store.put(Webhook("acme", "https://h.example/x"))
    assert (await api.call("GET", "/history")).status == 503
    answer = await api.find("acme")
    assert (answer.status, answer.json["health"]) == (200, None)
    await away.close()


async def test_find_tells_how_a_webhook_fares(api: Api, store: SqlStore) -> None:
    await store.put(Webhook("acme", "https://h.example/x"))
    await store.put(Webhook("acme", "https://h.example/y", id="new"))
    health = (await api.find("acme")).json["health"]
    assert health["hour"] == {"attempts": 3, "success": 1.0}
    assert health["last_success"] == "2026-11-18T11:06:40.123Z"
    assert (await api.find("acme", "?id=new")).json["health"]["day"] == {"attempts": 0, "success": None}
    assert (await api.find("nobody")).json["health"] is None


class FakeLetters:
    """api.ports.Resend over one letter of acme's."""

    def __init__(self, row_of_attempt: Row) -> None:
        self.row = row_of_attempt
        self.problem: CannotResend | None = None

    async def __call__(self, delivery_id: str, owner: str | None) -> Row:
        if self.problem is not None:
            raise self.problem
        if delivery_id != self.row.id or owner not in (None, self.row.instance):
            raise BodyGone("its event of 2026-11-27T08:00:00Z is gone")
        return self.row


@pytest.fixture
def letters() -> FakeLetters:
    return FakeLetters(row(id="msg_dead", instance="other"))


@pytest.fixture
async def resending(make_api: MakeApi, store: SqlStore, letters: FakeLetters) -> Api:
    async def owner(token: str) -> str | None:
        return TOKENS.get(token)

    return await make_api(store, token_owner=owner, resend=letters)


async def test_a_dead_letter_is_sent_again_and_the_attempt_told(resending: Api) -> None:
    answer = await resending.call("POST", "/history/msg_dead/resend")
    assert answer.status == 200
    assert answer.json == {"id": "msg_dead", "ok": True, "status": 200, "ms": 12, "error": None, "answer": None}


async def test_another_instances_letter_is_as_unknown_as_one_that_never_was(resending: Api) -> None:
    for path in ("/history/msg_dead/resend", "/history/msg_never/resend"):
        assert (await resending.call("POST", path, key="acme-token")).status == 404
    never = await resending.call("POST", "/history/msg_never/resend")
    assert (never.status, never.json["response"]["message"]) == (404, ["its event of 2026-11-27T08:00:00Z is gone"])
    assert (await resending.call("POST", "/history/msg_dead/resend", key="wrong")).status == 401


@pytest.mark.parametrize(("away", "status"), [(True, 503), (False, 409)])
async def test_why_it_cannot_be_sent_is_said(resending: Api, letters: FakeLetters, away: bool, status: int) -> None:
    letters.problem = CannotResend("its webhook is gone", away=away)
    answer = await resending.call("POST", "/history/msg_dead/resend")
    assert (answer.status, answer.json["response"]["message"]) == (status, ["its webhook is gone"])
