"""Where `order` is accepted, and why not elsewhere."""

from dataclasses import replace
from pathlib import Path

import pytest

from worker.domain.webhook import Webhook
from worker.stores.file.store import FileStore
from worker.webhooks.changing import Changed, Make
from worker.webhooks.fields import InvalidWebhook, fields_of, set_from
from worker.webhooks.pausing import InOrder, pause
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


async def test_an_ordered_webhook_is_not_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def change(store: object, endpoint: object, make: Make) -> Changed | None:
        await make(ORDERED)
        return None

    monkeypatch.setattr("worker.webhooks.pausing.change", change)
    with pytest.raises(InOrder, match="in order"):
        await pause(None, ORDERED.endpoint, 0)  # type: ignore[arg-type]
