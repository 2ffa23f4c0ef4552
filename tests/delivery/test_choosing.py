"""What webhooks chose, in force on the way of an event: filtered, slim, stale, superseded."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.delivery.conftest import MakeRig, Rig, calm
from tests.delivery.fakes import FakeMessage
from worker.broker.past_headers import headers_of
from worker.delivery import choosing
from worker.delivery.attempt import LARGE_BYTES
from worker.domain.event import identity
from worker.domain.past import Past
from worker.domain.request.signature import signature, signing_key
from worker.domain.webhook import GLOBAL_ID, Webhook

GROUP, ANA = "1203630@g.us", "5511999999999@s.whatsapp.net"
ACME = Webhook("acme", "http://h/acme")
SECRET = "whsec_" + "A" * 32


def said(chat: str = ANA, kind: str = "messages.upsert", **data: Any) -> FakeMessage:
    found = {"key": {"remoteJid": chat, "fromMe": False}, "messageType": "conversation", **data}
    return FakeMessage(json.dumps({"event": kind, "instance": "acme", "data": found}).encode())


def again(message: FakeMessage, first_seen: float) -> FakeMessage:
    """As it comes back from a delay queue."""
    past = Past(identity(message.body, None), first_seen, "evolution_exchange", "x", "default")
    return FakeMessage(message.body, headers_of(past), exchange="", routing_key="webhooks.retries")


def bodies(found: Rig) -> list[Any]:
    return [json.loads(request.body) for request, _ in found.sender.sent]


# Filtered


async def test_an_event_that_a_webhook_did_not_choose_is_skipped_for_it_alone(rig: MakeRig) -> None:
    private = replace(ACME, ignore=frozenset({"groups"}))
    audit = Webhook("acme", "http://h/audit", id="audit")
    found = rig(private, audit)
    message = said(GROUP)
    await found.take(message, said())
    assert found.posted == ["http://h/audit", "http://h/acme", "http://h/audit"]
    assert found.recorder.outcomes == ["Delivered ok"] * 3 + ["Skipped filtered"]
    assert message.ends == ["ack"]
    assert [record.webhook for record in found.recorder.records if record.outcome.reason == "filtered"] == ["default"]


@pytest.mark.parametrize(
    ("chosen", "passes"),
    [
        ({"only_chats": frozenset({"5511999999999"})}, True),
        ({"only_chats": frozenset({GROUP})}, False),
        ({"except_chats": frozenset({ANA})}, False),
        ({"message_types": frozenset({"imageMessage"})}, False),
        ({"message_types": frozenset({"conversation"})}, True),
        ({"filter": '{"data.key.fromMe":true}'}, False),
        ({"filter": '{"data.key.fromMe":false}'}, True),
    ],
)
async def test_each_choice_is_in_force_at_the_global_webhook_too(
    rig: MakeRig, chosen: dict[str, Any], passes: bool
) -> None:
    everybodys = Webhook("", "http://h/global", id=GLOBAL_ID, **chosen)
    found = rig(replace(ACME, **chosen), global_webhook=everybodys)
    await found.take(said())
    assert found.recorder.outcomes == ["Delivered ok" if passes else "Skipped filtered"] * 2


async def test_a_large_event_is_looked_into_in_a_thread(rig: MakeRig) -> None:
    found = rig(replace(ACME, ignore=frozenset({"groups"})))
    for size in (choosing.LARGE_BYTES, LARGE_BYTES):
        large = said(GROUP, text="x" * size)
        found.pipeline.take(large)
        assert large.ends == []
        await found.pipeline._reading.finished()
        assert large.ends == ["ack"]
    assert found.recorder.outcomes == ["Skipped filtered"] * 2


async def test_a_large_event_whose_channel_broke_meanwhile_is_handed_back(rig: MakeRig) -> None:
    found = rig(replace(ACME, ignore=frozenset({"channels"})))
    large = said(GROUP, text="x" * choosing.LARGE_BYTES)
    found.pipeline.take(large)
    large.lost = True
    await found.pipeline._reading.finished()
    assert (found.recorder.outcomes, found.posted) == (["Parked handed_back"], [])


async def test_a_choice_that_was_made_while_it_waited_is_in_force(rig: MakeRig) -> None:
    found = rig(ACME)
    found.admission.holding = True
    await found.take(said(GROUP))
    found.webhooks.known["acme"] = (replace(ACME, ignore=frozenset({"groups"})),)
    found.admission.start_next()  # it is looked into in a thread
    await found.pipeline._attempts.finished()
    assert (found.recorder.outcomes, found.posted) == (["Skipped filtered"], [])
    assert found.admission.running == 0


async def looking(found: Rig, monkeypatch: pytest.MonkeyPatch, *then: tuple[Webhook, ...] | None) -> FakeMessage:
    """Takes a large event; at the end of each look into it the webhooks become the next of `then` (None: uncached)."""
    look, changes = found.pipeline._choosing.look, list(then)

    def look_and_change(*arguments: Any) -> Any:
        seen = look(*arguments)
        match changes.pop(0) if changes else ():
            case None:
                found.webhooks.known.pop("acme")
            case (_, *_) as webhooks:
                found.webhooks.known["acme"] = tuple(webhooks)
        return seen

    monkeypatch.setattr(found.pipeline._choosing, "look", look_and_change)
    large = said(GROUP, text="x" * choosing.LARGE_BYTES)
    found.pipeline.take(large)
    await found.pipeline._reading.finished()
    await calm()
    return large


STATUS = replace(ACME, ignore=frozenset({"status"}))


async def test_a_webhook_that_is_changed_during_a_look_is_used_as_it_is_then(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rig(STATUS)
    large = await looking(found, monkeypatch, (replace(STATUS, url="http://h/moved"),))
    assert (found.posted, large.ends) == (["http://h/moved"], ["ack"])
    found = rig(STATUS)
    await looking(found, monkeypatch, (replace(ACME, ignore=frozenset({"groups"})),))
    assert (found.posted, found.recorder.outcomes) == ([], ["Skipped filtered"])
    found = rig(STATUS)
    gone = await looking(found, monkeypatch, None)
    assert (found.posted, found.recorder.outcomes, gone.ends) == ([], ["Skipped no_webhook"], ["ack"])


async def test_webhooks_that_change_during_each_look_do_not_hold_an_event_for_ever(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rig(STATUS)
    changes = [(replace(STATUS, url=f"http://h/{number}"),) for number in range(50)]
    large = await looking(found, monkeypatch, *changes)
    assert (found.posted, large.ends) == ([f"http://h/{choosing.MOST_LOOKS - 2}"], ["ack"])


async def test_a_look_whose_webhooks_are_unknown_at_its_end_is_parked(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rig(STATUS)
    found.webhooks.down = True
    large = await looking(found, monkeypatch, None)
    assert (found.posted, found.recorder.outcomes, large.ends) == ([], ["Parked config_unavailable"], ["ack"])


# Slim


async def test_what_is_sent_is_slim_and_signed_as_it_is_sent_under_the_events_id(rig: MakeRig) -> None:
    plain = Webhook("acme", "http://h/plain", id="default", secrets=(SECRET,))
    slim = replace(plain, media="strip", thumbnails="strip")
    message = said(message={"base64": "aGVsbG8=", "jpegThumbnail": {"0": 1}, "caption": "é"})
    sent = []
    for webhook in (plain, slim):
        found = rig(webhook)
        await found.take(FakeMessage(message.body))
        ((request, _),) = found.sender.sent
        sent.append(request)
        headers = request.headers
        expected = signature((signing_key(SECRET),), headers["webhook-id"], headers["webhook-timestamp"], request.body)
        assert headers["webhook-signature"] == expected
    assert sent[0].headers["webhook-id"] == sent[1].headers["webhook-id"]
    found_message = json.loads(sent[1].body)["data"]["message"]
    assert found_message["base64"]["omitted"] == "base64"
    assert found_message["base64"]["bytes"] == 5
    assert (found_message["jpegThumbnail"], found_message["caption"]) == (None, "é")
    assert json.loads(sent[0].body)["data"]["message"]["base64"] == "aGVsbG8="


async def test_a_body_that_stays_too_large_becomes_a_dead_letter_and_a_smaller_one_is_sent(rig: MakeRig) -> None:
    found = rig(replace(ACME, max_body_bytes=2000))
    await found.take(said(base64="A" * 4000), said(text="x" * 3000))
    assert found.recorder.outcomes == ["DeadLettered too_large", "Delivered ok"]
    (letter,) = found.publisher.published
    assert "2000 are allowed" in letter.facts["error"]
    assert json.loads(letter.body)["data"]["text"] == "x" * 3000
    assert bodies(found)[0]["data"]["base64"]["bytes"] == 3000
    assert found.admission.running == 0


# Stale


async def test_an_event_is_stale_by_its_first_taking_and_is_no_dead_letter(rig: MakeRig) -> None:
    found = rig(replace(ACME, ttl_seconds=(("MESSAGES_UPSERT", 60.0),)), max_age=100.0)
    now = found.clock.now
    await found.take(again(said(), now - 59), again(said(), now - 61), again(said(), now - 1000))
    assert found.recorder.outcomes == ["Delivered ok", "Skipped stale", "Skipped stale"]


async def test_an_event_that_grows_stale_in_its_lane_is_not_sent(rig: MakeRig) -> None:
    found = rig(replace(ACME, ttl_seconds=(("MESSAGES_UPSERT", 60.0),)))
    found.admission.holding = True
    message = said()
    await found.take(message)
    found.clock.now += 61
    found.admission.start_next()
    await calm()
    assert (found.recorder.outcomes, found.posted, message.ends) == (["Skipped stale"], [], ["ack"])
    assert found.admission.running == 0


async def test_other_events_have_no_end(rig: MakeRig) -> None:
    found = rig(replace(ACME, ttl_seconds=(("QRCODE_UPDATED", 60.0),)))
    await found.take(again(said(), found.clock.now - 1000))
    assert found.recorder.outcomes == ["Delivered ok"]


# Superseded


LATEST = replace(ACME, latest_only=frozenset({"PRESENCE_UPDATE"}))


def presence(chat: str, state: str) -> FakeMessage:
    data = {"id": chat, "presences": {chat: {"lastKnownPresence": state}}}
    return FakeMessage(json.dumps({"event": "presence.update", "instance": "acme", "data": data}).encode())


def states(found: Rig) -> list[str]:
    return [next(iter(body["data"]["presences"].values()))["lastKnownPresence"] for body in bodies(found)]


async def test_of_those_that_wait_the_latest_of_each_chat_is_sent(rig: MakeRig) -> None:
    found = rig(LATEST)
    found.admission.holding = True
    await found.take(presence(ANA, "1"), presence(GROUP, "g"), presence(ANA, "2"), said(), said(), presence(ANA, "3"))
    for _ in range(6):
        found.admission.start_next()
    await calm()
    presences = [body["data"] for body in bodies(found) if body["event"] == "presence.update"]
    assert [next(iter(data["presences"].values()))["lastKnownPresence"] for data in presences] == ["g", "3"]
    assert found.recorder.outcomes == ["Delivered ok"] * 4 + ["Skipped superseded"] * 2


async def test_one_that_comes_back_after_a_newer_one_is_not_sent_and_the_newer_one_is(rig: MakeRig) -> None:
    found = rig(LATEST)
    now = found.clock.now
    newer = presence(ANA, "new")
    await found.take(newer, again(presence(ANA, "old"), now - 5), again(newer, now))
    assert states(found) == ["new", "new"]
    assert found.recorder.outcomes == ["Delivered ok", "Delivered ok", "Skipped superseded"]


async def test_the_first_that_is_known_of_a_chat_is_sent_even_if_it_is_old(rig: MakeRig) -> None:
    found = rig(LATEST)
    await found.take(again(presence(ANA, "old"), found.clock.now - 500))
    assert states(found) == ["old"]


async def test_one_that_the_broker_delivers_again_supersedes_nothing_newer(rig: MakeRig) -> None:
    found = rig(LATEST)
    old, new = presence(ANA, "old"), presence(ANA, "new")
    found.admission.holding = True
    await found.take(old, new)
    found.clock.now += 1
    await found.take(FakeMessage(old.body, redelivered=True))
    for _ in range(2):
        found.admission.start_next()
    await calm()
    assert states(found) == ["new"]


async def test_a_clock_that_is_set_back_makes_nothing_old(rig: MakeRig) -> None:
    found = rig(LATEST)
    await found.take(presence(ANA, "1"))
    found.clock.now -= 3600
    await found.take(presence(ANA, "2"))
    await found.take(presence(ANA, "3"))
    assert states(found) == ["1", "2", "3"]


async def test_what_was_filtered_supersedes_nothing(rig: MakeRig) -> None:
    found = rig(replace(LATEST, filter='{"data.type":{"$ne":"no"}}'))
    found.admission.holding = True
    unwanted = {"event": "presence.update", "instance": "acme", "data": {"id": ANA, "type": "no"}}
    await found.take(presence(ANA, "1"), FakeMessage(json.dumps(unwanted).encode()))
    found.admission.start_next()
    await calm()
    assert states(found) == ["1"]


async def test_an_event_that_waited_for_a_thread_supersedes_nothing_that_came_after_it(rig: MakeRig) -> None:
    """Large ones are looked into apart: a small one that came later is fanned out before."""
    found = rig(LATEST)
    found.admission.holding = True
    large = presence(ANA, "old" + "x" * choosing.LARGE_BYTES)
    found.pipeline.take(large)
    found.clock.now += 0.001
    found.pipeline.take(presence(ANA, "new"))
    await found.pipeline._reading.finished()
    found.admission.start_next()
    await calm()
    assert states(found) == ["new"]
    assert sorted(found.recorder.outcomes) == ["Delivered ok", "Skipped superseded"]


async def test_one_whose_webhook_changed_while_it_waited_supersedes_nothing_that_came_after_it(rig: MakeRig) -> None:
    found = rig(LATEST)
    found.admission.holding = True
    await found.take(presence(ANA, "old"))
    moved = replace(LATEST, url="http://h/moved")
    found.webhooks.known["acme"] = (moved,)
    found.admission.start_next()  # it is looked into again, in a thread
    found.clock.now += 0.001
    await found.take(presence(ANA, "new"))
    await found.pipeline._attempts.finished()
    while found.admission.turns:
        found.admission.start_next()
    await calm()
    assert states(found) == ["new"]
    assert sorted(found.recorder.outcomes) == ["Delivered ok", "Skipped superseded"]
