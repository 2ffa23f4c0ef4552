"""Where `order` is accepted, and why not elsewhere."""

from dataclasses import replace
from pathlib import Path

import pytest

from worker.domain.webhook import Webhook
from worker.stores.file.store import FileStore
from worker.stores.own.store import SqlStore
from worker.webhooks.fields import InvalidWebhook, fields_of, set_from, warnings
from worker.webhooks.pausing import AlreadySo, pause, resume
from worker.webhooks.store import StoreUnavailable

PLAIN = Webhook("acme", "https://bot.example/in")
ORDERED = replace(PLAIN, order="chat")


def given(webhook: Webhook) -> dict[str, object]:
    return {"instance": webhook.instance, "id": webhook.id, **fields_of(webhook)}


def test_a_new_webhook_may_have_an_order_where_workers_deliver_in_order() -> None:
    assert set_from(given(ORDERED), None, 0.0, orders=True).order == "chat"
    with pytest.raises(InvalidWebhook, match="order: needs workers that deliver in order: set ORDER=true"):
        set_from(given(ORDERED), None, 0.0)


@pytest.mark.parametrize(
    ("before", "after"), [(PLAIN, ORDERED), (ORDERED, PLAIN), (ORDERED, replace(ORDERED, order="instance"))]
)
def test_another_order_of_a_webhook_begins_a_switch(before: Webhook, after: Webhook) -> None:
    switched = set_from(given(after), before, 7.0, orders=True)
    assert switched == replace(before, order_next=after.order, order_switch_at=7000)
    assert (switched.sent_in_order, switched.sent_as_they_come) == (True, True), "both sides send meanwhile"
    assert any(f"is being switched to {after.order!r}" in text for text in warnings(switched))
    with pytest.raises(InvalidWebhook, match="order: needs workers that deliver in order"):
        set_from(given(after), before, 7.0)


def test_a_switch_under_way_goes_on_whatever_else_is_changed_and_only_ends_where_it_was_to_end() -> None:
    switching = replace(PLAIN, order_next="chat", order_switch_at=7000)
    for again in (PLAIN, ORDERED):
        changed = set_from({**given(again), "url": "https://new.example/in"}, switching, 9.0, orders=True)
        assert changed == replace(switching, url="https://new.example/in")
    with pytest.raises(InvalidWebhook, match="order: is being switched to 'chat': try again when this has ended"):
        set_from(given(replace(PLAIN, order="instance")), switching, 9.0, orders=True)


@pytest.mark.parametrize(
    ("order", "following", "in_order", "as_they_come"),
    [
        ("none", None, False, True),
        ("chat", None, True, False),
        ("none", "chat", True, True),
        ("chat", "none", True, True),
        ("chat", "instance", True, True),
    ],
)
def test_which_side_sends(order: str, following: str | None, in_order: bool, as_they_come: bool) -> None:
    webhook = replace(PLAIN, order=order, order_next=following)
    assert (webhook.sent_in_order, webhook.sent_as_they_come) == (in_order, as_they_come)


def test_an_ordered_webhook_can_be_changed_otherwise_even_where_order_is_off() -> None:
    assert set_from({**given(ORDERED), "url": "https://new.example/in"}, ORDERED, 0.0).url == "https://new.example/in"


async def test_a_file_cannot_have_one(tmp_path: Path) -> None:
    path = tmp_path / "webhooks.toml"
    path.write_text('[[webhook]]\ninstance = "acme"\nurl = "https://bot.example/in"\norder = "chat"\n')
    with pytest.raises(StoreUnavailable, match="webhook 'default' of 'acme': order needs webhooks in the worker's own"):
        await FileStore(path).check()
    path.write_text('[[webhook]]\ninstance = "acme"\nurl = "https://bot.example/in"\norder = "none"\n')
    await FileStore(path).check()


def test_a_paused_one_keeps_its_order() -> None:
    with pytest.raises(InvalidWebhook, match="order: cannot be changed while the webhook is paused: resume it first"):
        set_from(given(PLAIN), replace(ORDERED, paused_at=1), 7.0, orders=True)


async def test_during_a_switch_nothing_is_paused(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path}/webhooks.db", lambda: 7000)
    await store.migrate()
    await store.put(replace(ORDERED, order_next="none", order_switch_at=7000))
    with pytest.raises(AlreadySo, match="its order is being switched"):
        await pause(store, ORDERED.endpoint, 7001)
    await store.put(ORDERED)
    assert (await pause(store, ORDERED.endpoint, 7001)).webhook.paused_at == 7001
    resumed = (await resume(store, ORDERED.endpoint, 7002)).webhook
    assert resumed == replace(ORDERED, resumed_at=7002)
    assert set_from(given(resumed), resumed, 9.0) == resumed, "another change keeps it"
    await store.close()
