"""Which webhooks the doctor says get nothing through, or nothing any more."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.history.fakes import row
from worker.doctor.failing import disabled, failing, judged
from worker.domain.history import Batch, Row
from worker.domain.notices.trouble import Example, Key, Trouble, TroubleKind
from worker.domain.webhook import Webhook
from worker.settings.settings import Settings, load
from worker.stores.history.store import history_store

MINUTE = 60_000
NOW = 1_800_000_000_000
URL = "https://receiver.example/in"
ACME = Webhook("acme", URL)
CRM = Webhook("acme", URL, "crm")
GLOBAL = Webhook("", URL, "global")


def trouble(instance: str, webhook: str) -> Trouble:
    return Trouble(
        Key(TroubleKind.FAILING, instance, webhook), NOW, NOW + 11 * MINUTE, 9, Example("answered 503", None)
    )


@pytest.mark.parametrize(
    ("webhook", "name", "fix"),
    [
        (CRM, "acme/crm", "--instance=acme --webhook=crm"),
        (Webhook("-a b", URL, "-x"), "-a b/-x", "'--instance=-a b' --webhook=-x"),
        (GLOBAL, "WEBHOOK_GLOBAL_URL", "--webhook=global"),
    ],
)
def test_who_fails_is_named_with_the_command_that_shows_why(webhook: Webhook, name: str, fix: str) -> None:
    found = judged([trouble(webhook.instance, webhook.id)], [ACME, webhook])
    assert found is not None
    assert found.items == (f"{name} since 2027-01-15T08:00:00Z (answered 503)",)
    assert (found.level, found.what) == ("warning", f"1 webhook gets nothing through: {found.items[0]}")
    assert found.fix == f"see what its receiver answers: webhook-worker history list {fix}"


@pytest.mark.parametrize("webhooks", [[CRM], [replace(ACME, enabled=False)], [replace(ACME, paused_at=NOW)]])
def test_nobody_is_told_of_one_to_which_nothing_is_sent(webhooks: list[Webhook]) -> None:
    assert judged([trouble("acme", "default")], webhooks) is None


def test_who_was_disabled_by_the_worker_is_told_with_the_command_that_enables_it() -> None:
    off = replace(CRM, enabled=False)
    assert disabled([ACME, off]) is None
    found = disabled([ACME, replace(off, disabled_reason="the receiver answered 410", disabled_at=NOW)])
    assert found is not None
    told = "acme/crm (the receiver answered 410, disabled at 2027-01-15T08:00:00Z)"
    assert found.what == f"1 webhook gets nothing any more: {told}"
    assert found.fix == "once its receiver is back: webhook-worker webhook set --id=crm --enabled acme"


def settings(path: Path, **others: str) -> Settings:
    return load({"HISTORY_DATABASE_URI": f"sqlite:///{path}", **others}, None)[0]


def attempt(at: int, instance: str, webhook: str, status: int) -> Row:
    outcome, reason = ("Delivered", "ok") if status == 200 else ("Retried", "5xx")
    return row(at, instance=instance, webhook=webhook, status=status, outcome=outcome, reason=reason)


async def test_what_failed_for_ten_minutes_without_a_success_is_found(tmp_path: Path) -> None:
    """A single failure is none, nor is the global webhook's at one instance while others take theirs."""
    file, now = tmp_path / "history.db", int(time.time() * 1000)
    there = settings(file)
    webhooks = [ACME, CRM, Webhook("b", URL), GLOBAL]
    assert await failing(there, webhooks) is None
    assert not file.exists()
    store = history_store(there.history_database_uri, 7, lambda: now)
    await store.prepare()
    begin = now - 30 * MINUTE
    rows = [attempt(begin, "acme", "crm", 200), attempt(now - 1000, "b", "default", 503)]
    rows += [attempt(begin + n * MINUTE, "acme", "crm", 503) for n in (1, 5, 12)]
    rows += [attempt(begin + n * MINUTE, "acme", "default", 503) for n in (1, 5, 12)] + [
        attempt(now, "acme", "default", 200)
    ]
    rows += [attempt(begin + n * MINUTE, "new", "global", 503) for n in (1, 12)] + [attempt(now, "acme", "global", 200)]
    await store.write([Batch("one", 0, "replica", tuple(rows))])
    await store.close()
    found = await failing(there, webhooks)
    assert found is not None
    assert [name.partition(" since ")[0] for name in found.items] == ["acme/crm"]
    assert await failing(settings(file, HISTORY="off"), webhooks) is None
    assert await failing(settings(file, HISTORY="failures"), webhooks) is None
