"""Evolution Go's events: told by their envelope, named, and chosen by category (0.6.1 to 0.7.1)."""

import json

import pytest

from worker.domain.event import Dialect, InvalidEvent, parse
from worker.domain.evolution_go import CATEGORIES, KINDS, WIRE_NAMES, queue_of
from worker.domain.names import CHOOSABLE, COUNTED, KNOWN, canonical, path_of


def message(event: str, data: object, **others: object) -> bytes:
    """As Evolution Go writes it: keys in alphabetical order, no space."""
    whole = {"data": data, "event": event, "instanceId": "8f0a", "instanceName": "acme", "instanceToken": "t0ken"}
    return json.dumps(whole | others, sort_keys=True, separators=(",", ":")).encode()


def test_the_envelope_tells_the_dialect() -> None:
    event = parse(message("Message", {"Info": {"Chat": "5511999999999@s.whatsapp.net"}}))
    assert (event.dialect, event.name, event.kind, event.instance) == (Dialect.GO, "Message", "MESSAGE", "acme")
    assert list(event.fields) == ["data", "event", "instanceId", "instanceName", "instanceToken"]


def test_an_event_of_evolution_api_stays_one_whatever_else_it_carries() -> None:
    event = parse(b'{"event":"messages.upsert","instance":"acme","data":{},"instanceName":"other"}')
    assert (event.dialect, event.instance, event.categories) == (Dialect.API, "acme", frozenset())


@pytest.mark.parametrize("name", ["", None, 7, "x" * 256])
def test_an_instance_name_that_is_none_is_refused_by_its_key(name: object) -> None:
    with pytest.raises(InvalidEvent, match="`instanceName`"):
        parse(message("Message", {}, instanceName=name))


@pytest.mark.parametrize(
    ("name", "kind", "path"),
    [
        ("Message", "MESSAGE", "message"),
        ("SendMessage", "SEND_MESSAGE", "send-message"),
        ("CallOfferNotice", "CALL_OFFER_NOTICE", "call-offer-notice"),
        ("LoggedOut", "LOGGED_OUT", "logged-out"),
        ("QRCode", "QRCODE", "qrcode"),
        ("QRTimeout", "QR_TIMEOUT", "qr-timeout"),
    ],
)
def test_names(name: str, kind: str, path: str) -> None:
    assert canonical(name) == canonical(name.lower()) == canonical(kind) == kind
    assert path_of(kind) == path
    assert queue_of(kind) == name.lower()


def test_a_newer_event_has_one_name_however_it_is_spelled() -> None:
    event = parse(message("PollVote", {}))
    assert event.kind == canonical("pollvote") == "POLLVOTE"
    assert event.categories == frozenset()


def test_every_event_has_a_category_a_label_and_can_be_chosen() -> None:
    assert sorted(WIRE_NAMES.values()) == sorted(name for names in CATEGORIES.values() for name in names)
    assert KINDS <= COUNTED <= CHOOSABLE >= set(CATEGORIES)
    assert {"SEND_MESSAGE"} == KINDS & KNOWN


@pytest.mark.parametrize(
    ("event", "data", "categories"),
    [
        ("Message", {"Info": {"Chat": "5511999999999@s.whatsapp.net"}}, {"MESSAGE"}),
        ("Message", {"Info": {"Chat": "123@g.us"}}, {"MESSAGE", "GROUP"}),
        ("SendMessage", {"Info": {"Chat": "123@g.us"}}, {"SEND_MESSAGE", "GROUP"}),
        ("Receipt", {"Chat": "123@g.us"}, {"READ_RECEIPT", "GROUP"}),
        ("Message", {"Info": {"Chat": "99@newsletter"}}, {"MESSAGE", "NEWSLETTER"}),
        ("ChatPresence", {"Chat": "123@g.us"}, {"CHAT_PRESENCE"}),
        ("Archive", {}, {"CHAT_PRESENCE"}),
        ("OfflineSyncCompleted", {"Count": 3}, {"HISTORY_SYNC"}),
        ("QRSuccess", {}, {"QRCODE"}),
        ("Message", None, {"MESSAGE"}),
        ("Message", [], {"MESSAGE"}),
        ("Message", {"Info": "text"}, {"MESSAGE"}),
        ("Message", {"Info": {"Chat": 7}}, {"MESSAGE"}),
    ],
)
def test_categories(event: str, data: object, categories: set[str]) -> None:
    assert parse(message(event, data)).categories == categories
