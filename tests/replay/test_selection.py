"""Which archived events a webhook is given back: exactly those that it would be sent today, each once."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from tests.support.events import event
from worker.delivery.choosing import Choosing
from worker.domain.event import identity
from worker.domain.routing import delivery_id
from worker.domain.webhook import GLOBAL_ID, Webhook
from worker.replay import selection
from worker.replay.archive import Archived
from worker.replay.jobs import Asked
from worker.replay.selection import Gone, NotNow, Selection

ANA, GROUP = "5511999999999@s.whatsapp.net", "120363041234567890@g.us"
HOOK = Webhook("acme", "https://h.example/x")
OPERATORS = Webhook("", "https://ops.example/x", id=GLOBAL_ID)


def archived(
    number: int = 1, kind: str = "messages.upsert", instance: str = "acme", chat: str = ANA, exchange: str = "evolution"
) -> Archived:
    body = event(kind, instance=instance, data={"key": {"remoteJid": chat, "fromMe": False}, "n": number})
    return Archived(number, body, exchange, kind, None)


def selecting(hook: Webhook = HOOK, operators: Webhook | None = None, **asked: object) -> Selection:
    made = Selection(
        Asked("acme", hook.id, 0, 1, **asked),  # type: ignore[arg-type]
        operators,
        Choosing(None, time.time).look,
    )
    made.use([hook] if hook.instance else [])
    return made


def test_an_event_keeps_the_ids_of_its_first_delivery() -> None:
    one = archived()
    found = selecting().of(one)
    assert found is not None
    event_id = identity(one.body, None)
    assert (found.id, found.event_id) == (delivery_id(event_id, "acme", "default"), event_id)


@pytest.mark.parametrize(
    ("hook", "one", "chosen"),
    [
        (HOOK, archived(), True),
        (HOOK, archived(instance="ACME"), False),
        (HOOK, archived(instance="acme2"), False),
        (replace(HOOK, events=frozenset({"CALL"})), archived(), False),
        (replace(HOOK, events=frozenset({"CALL"})), archived(kind="call"), True),
        (replace(HOOK, ignore=("groups",)), archived(chat=GROUP), False),
        (replace(HOOK, ignore=("groups",)), archived(), True),
        (replace(HOOK, filter='{"data.n":{"$gt":1}}'), archived(1), False),
        (replace(HOOK, filter='{"data.n":{"$gt":1}}'), archived(2), True),
        (replace(HOOK, url="no url"), archived(), False),
        (HOOK, Archived(1, b"\xff no event", "evolution", "x", None), False),
        (HOOK, Archived(1, b"[" * 100_000, "evolution", "x", None), False),
    ],
)
def test_it_is_chosen_as_a_delivery_would_be_today(hook: Webhook, one: Archived, chosen: bool) -> None:
    assert (selecting(hook).of(one) is not None) is chosen


@pytest.mark.parametrize(
    ("asked", "one", "chosen"),
    [
        ({"events": ("MESSAGES_UPSERT",)}, archived(), True),
        ({"events": ("MESSAGES_UPSERT", "CALL")}, archived(kind="presence.update"), False),
        ({"chat": "5511999999999"}, archived(), True),
        ({"chat": "5511999999999"}, archived(chat=GROUP), False),
        ({"chat": GROUP}, archived(chat=GROUP), True),
        ({"chat": "5511999999999"}, archived(chat="5511999999999:12@s.whatsapp.net"), True),
    ],
)
def test_of_those_the_asked_for_alone(asked: dict[str, object], one: Archived, chosen: bool) -> None:
    assert (selecting(**asked).of(one) is not None) is chosen


@pytest.mark.parametrize(
    "data",
    [
        {"Message": {"base64": "A" * 70_000}, "Info": {"Chat": ANA}},
        {"Info": {"Chat": ANA, "IsFromMe": False}, "Message": {"base64": "A" * 70_000}},
        {"base64": "A" * 70_000, "key": {"remoteJid": "77@lid", "remoteJidAlt": ANA}},
    ],
)
@pytest.mark.parametrize(("chat", "chosen"), [("5511999999999", True), ("5511888888888", False)])
def test_a_chat_is_found_in_events_of_any_size(data: dict[str, object], chat: str, chosen: bool) -> None:
    one = Archived(1, event("messages.upsert", data=data), "evolution", "messages.upsert", None)
    assert (selecting(chat=chat).of(one) is not None) is chosen


def test_an_event_that_came_over_two_exchanges_is_sent_once_and_again_when_it_starts_over() -> None:
    made = selecting()
    assert made.of(archived(exchange="evolution")) is not None
    assert made.of(archived(exchange="acme_exchange")) is None
    made.start_over()
    assert made.of(archived(exchange="acme_exchange")) is not None


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "MOST_REMEMBERED", 10)
    made = selecting()
    assert all(made.of(archived(number)) for number in range(20))
    assert made.of(archived(19)) is None, "of the last ten"
    assert made.of(archived(9)) is not None, "and no more"


def test_the_global_webhook_is_found_without_webhooks_of_the_instance() -> None:
    found = selecting(OPERATORS, OPERATORS).of(archived())
    assert found is not None
    assert found.id == delivery_id(found.event_id, "acme", GLOBAL_ID)


@pytest.mark.parametrize(
    ("hooks", "refused"),
    [
        ([], Gone),
        ([replace(HOOK, id="other")], Gone),
        ([replace(HOOK, enabled=False)], NotNow),
        ([replace(HOOK, paused_at=1)], NotNow),
    ],
)
def test_a_webhook_that_takes_nothing_now_is_told(hooks: list[Webhook], refused: type[Exception]) -> None:
    with pytest.raises(refused, match=r"gone|disabled|paused"):
        selecting().use(hooks)
