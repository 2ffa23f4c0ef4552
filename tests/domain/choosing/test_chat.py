"""The canonical chat on recorded traffic, and on what nobody would send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.choosing.made import event_with, raw_event
from tests.domain.json_documents import ANY_TEXT, values
from tests.support.captures import EVOLUTION_1, EVOLUTION_2, load
from worker.domain.choosing.jid import canonical_jid, kind_of, user_of
from worker.domain.choosing.plan import ChatOfEvent
from worker.domain.event import parse

CLIENT, CUSTOMER = "5511888888888@s.whatsapp.net", "5521977776666@s.whatsapp.net"


def test_every_captured_event() -> None:
    chat = ChatOfEvent()
    found: dict[tuple[str, str], set[str | None]] = {}
    for capture in (EVOLUTION_1, EVOLUTION_2):
        for message in load(capture):
            event = parse(message.body)
            got = chat(event.fields)
            found.setdefault((event.instance, event.kind), set()).add(got.jid if got else None)
    assert found == {
        ("loja-1", "INSTANCE_CREATE"): {None},
        ("loja-1", "CONTACTS_UPSERT"): {None},
        ("loja-1", "MESSAGES_UPSERT"): {CLIENT},
        ("loja-1", "MESSAGES_UPDATE"): {CLIENT},
        ("acme", "QRCODE_UPDATED"): {None},
        ("acme", "CONNECTION_UPDATE"): {None},
        ("acme", "MESSAGES_UPSERT"): {CUSTOMER},
        ("acme", "CHATS_DELETE"): {CUSTOMER},
        ("acme", "GROUP_PARTICIPANTS_UPDATE"): {"1203630@g.us"},
        ("acme", "MESSAGES_SET"): {None},
        ("acme", "SEND_MESSAGE"): {None},
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "5511",
        "@s.whatsapp.net",
        "5511@",
        "5511@example.com",
        "5511@s.whatsapp.net@g.us",
        "55 11@g.us",
        "5511@S.WHATSAPP.NET",
        "1" * 200 + "@lid",
        "5511:a@lid",
        "a\n@lid",
        "5511@lid\n",
        "\ud83d@lid",
        5511,
        None,
        True,
    ],
)
def test_no_jid(text: object) -> None:
    assert canonical_jid(text) is None


def test_the_parts_of_a_jid() -> None:
    assert user_of("5511@s.whatsapp.net") == "5511"
    kinds = ("5511@s.whatsapp.net", "1@lid", "1@g.us", "status@broadcast", "1@broadcast", "1@newsletter")
    assert [kind_of(jid) for jid in kinds] == [None, None, "groups", "status", "broadcasts", "channels"]


@given(values(ANY_TEXT | st.sampled_from(["key", "remoteJid", "Info", "Chat", "id", CLIENT, "1@lid"])))
def test_no_event_makes_it_raise(data: object) -> None:
    chat = ChatOfEvent()(event_with(data).fields)
    assert chat is None or canonical_jid(chat.jid) == chat.jid


def test_an_event_nested_too_deeply_has_no_chat() -> None:
    assert ChatOfEvent()(raw_event(b'{"key":{"remoteJid":"1@g.us"},"q":' + b"[" * 900 + b"]" * 900 + b"}").fields)
