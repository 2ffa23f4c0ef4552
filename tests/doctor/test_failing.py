"""Which webhooks the doctor says get nothing through, or nothing any more."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from worker.doctor.failing import disabled, failing, judged
from worker.domain.history import Batch, Row
from worker.domain.webhook import Endpoint, Webhook
from worker.history.store import Failing, Span
from worker.settings.settings import Settings, load
from worker.stores.history.store import history_store

MINUTE = 60_000
NOW = 1_800_000_000_000
URL = "https://receiver.example/in"
ACME = Webhook("acme", URL)
CRM = Webhook("acme", URL, "crm")
GLOBAL = Webhook("", URL, "global")


def fails(endpoint: Endpoint, last_success: int | None) -> Failing:
    return Failing(endpoint, Span(3, 0), NOW - 1000, last_success, "5xx")


@pytest.mark.parametrize(
    ("last_success", "told"),
    [(None, "no success"), (NOW - 11 * MINUTE, "last success 2027-01-15T07:49:00Z"), (NOW - 9 * MINUTE, None)],
)
def test_who_takes_nothing_for_ten_minutes_is_named(last_success: int | None, told: str | None) -> None:
    found = judged([fails(Endpoint("acme", "crm"), last_success)], [ACME, CRM], NOW)
    if told is None:
        assert found is None
        return
    assert found is not None
    assert (found.level, found.what) == ("warning", f"1 webhook gets nothing through: acme/crm (5xx, {told})")
    assert found.fix == "see what it answers: webhook-worker history list --instance acme --webhook crm"


def test_nobody_is_told_of_a_webhook_that_is_gone_or_off() -> None:
    fail = [fails(Endpoint("acme", "default"), None), fails(Endpoint("other", "default"), None)]
    assert judged(fail, [replace(ACME, enabled=False)], NOW) is None


def test_the_global_webhook_is_named_once() -> None:
    found = judged([fails(Endpoint(name, "global"), None) for name in ("a", "b")], [GLOBAL], NOW)
    assert found is not None
    assert found.items == ("WEBHOOK_GLOBAL_URL (5xx, no success)",)


def test_who_was_disabled_by_the_worker_is_told_with_the_command_that_enables_it() -> None:
    off = replace(CRM, enabled=False)
    assert disabled([ACME, off]) is None
    found = disabled([ACME, replace(off, disabled_reason="the receiver answered 410", disabled_at=NOW)])
    assert found is not None
    told = "acme/crm (the receiver answered 410, since 2027-01-15T08:00:00Z)"
    assert found.what == f"1 webhook gets nothing any more: {told}"
    assert found.fix == "once its receiver is back: webhook-worker webhook set acme --id crm --enabled"
    elsewhere = disabled([replace(off, disabled_reason="x")], "Evolution's own table")
    assert elsewhere is not None
    assert elsewhere.fix == "Evolution's own table"


def settings(path: Path, **others: str) -> Settings:
    return load({"HISTORY_DATABASE_URI": f"sqlite:///{path}", **others}, None)[0]


async def test_the_history_is_asked_and_never_made(tmp_path: Path) -> None:
    file, now = tmp_path / "history.db", int(time.time() * 1000)
    there = settings(file)
    assert await failing(there, [ACME]) is None
    assert not file.exists()
    store = history_store(there.history_database_uri, 7, lambda: now)
    await store.prepare()
    delivered = Row(
        now - 30 * MINUTE, "msg_1", "e1", "acme", "default", "messages.upsert", None, "Delivered", "ok", 1, 200, 5,
        None, None, None, 9, "receiver.example:443",
    )  # fmt: skip
    failed = delivered._replace(at=now - MINUTE, id="msg_2", event_id="e2", outcome="Retried", reason="5xx", status=503)
    await store.write([Batch("one", 0, "replica", (delivered, failed))])
    await store.close()
    found = await failing(there, [ACME])
    assert found is not None
    assert found.items[0].startswith("acme/default (5xx, last success 20")
    assert await failing(settings(file, HISTORY="off"), [ACME]) is None
    assert await failing(settings(file, HISTORY="failures"), [ACME]) is None
