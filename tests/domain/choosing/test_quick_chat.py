"""The chat that history keeps of each event: found in front where it stands there, and never another one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.captures import EVOLUTION_1, EVOLUTION_2, EVOLUTION_24, EVOLUTION_GO, load
from worker.domain.choosing import quick_chat as module
from worker.domain.choosing.plan import ChatOfEvent
from worker.domain.choosing.quick_chat import LARGE_BYTES, quick_chat
from worker.domain.event import parse

read_all = ChatOfEvent()


def whole(data: bytes) -> str | None:
    chat = read_all({"data": data})
    return None if chat is None else chat.jid


@pytest.mark.parametrize("capture", [EVOLUTION_1, EVOLUTION_2, EVOLUTION_24, EVOLUTION_GO])
def test_it_is_the_chat_that_the_whole_event_tells(capture: str) -> None:
    found = [(quick_chat(event.fields), read_all(event.fields)) for event in (parse(m.body) for m in load(capture))]
    assert [quick for quick, _ in found] == [None if chat is None else chat.jid for _, chat in found]
    assert any(quick for quick, _ in found)


JIDS = st.sampled_from(
    [
        "5511@s.whatsapp.net",
        "5511:3@s.whatsapp.net",
        "77@lid",
        "1-2@g.us",
        "status@broadcast",
        "5511@c.us",
        "a}b",
        "",
        "{",
    ]
)
VALUES = JIDS | st.none() | st.booleans() | st.integers() | st.lists(JIDS, max_size=2) | st.text(max_size=8)
KEYS = st.sampled_from(
    ["remoteJid", "remoteJidAlt", "previousRemoteJid", "senderPn", "fromMe", "id", "participant", "}", '"']
)
OBJECTS = st.dictionaries(KEYS, VALUES | st.dictionaries(KEYS, VALUES, max_size=2), max_size=6)


@given(key=OBJECTS, beside=OBJECTS, escaped=st.booleans())
def test_whatever_stands_in_a_key_it_is_what_the_slow_reader_finds(
    key: dict[str, Any], beside: dict[str, Any], escaped: bool
) -> None:
    data = json.dumps({"key": key, **beside}, separators=(",", ":"), ensure_ascii=escaped).encode(
        errors="surrogatepass"
    )
    assert quick_chat({"data": data}) == whole(data)


@pytest.mark.parametrize("pushed", [rb'"\ud83d"', b'"\xff\xfe"', b"1e999", b'"a}b"'])
def test_what_no_fast_decoder_reads_changes_nothing(pushed: bytes) -> None:
    for data in (
        b'{"key":{"remoteJid":"5511@s.whatsapp.net","x":%b},"y":1}' % pushed,
        b'{"key":{"remoteJid":"5511@s.whatsapp.net"},"x":%b}' % pushed,
    ):
        assert quick_chat({"data": data}) == whole(data) == "5511@s.whatsapp.net"


def test_a_message_is_not_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_read_all", lambda _: pytest.fail("the whole event was read"))
    hidden = b'{"key":{"remoteJid":"77@lid","remoteJidAlt":"5511@s.whatsapp.net","id":"A"},"pushName":"x"}'
    assert quick_chat({"data": hidden}) == "5511@s.whatsapp.net"


def test_a_large_message_of_evolution_go_has_its_chat_in_front_too() -> None:
    told = []
    for event in (parse(message.body) for message in load(EVOLUTION_GO)):
        data = bytes(event.fields.get("data", b""))
        if data.startswith(b'{"Info":{'):
            large = data[:-1] + b',"base64":"' + b"A" * LARGE_BYTES + b'"}'
            told.append((quick_chat({"data": large}), whole(data)))
    assert told
    assert all(quick == slow is not None for quick, slow in told)


@pytest.mark.parametrize("nested", ['{"a":"}\\""}', '{"a":{"b":{}}}', '"\\"}{"', "[{}]"])
def test_what_stands_in_info_makes_no_other_chat_of_it(nested: str) -> None:
    large = b'{"Info":{"Meta":%b,"Chat":"1-2@g.us"},"x":"%b"}' % (nested.encode(), b"A" * LARGE_BYTES)
    assert quick_chat({"data": large}) in ("1-2@g.us", None)
    assert whole(large) == "1-2@g.us"


def test_of_a_large_event_only_the_front_is_looked_at() -> None:
    filling = b'"base64":"' + b"A" * LARGE_BYTES + b'"'
    assert quick_chat({"data": b'{"key":{"remoteJid":"1-2@g.us"},' + filling + b"}"}) == "1-2@g.us"
    for key, jid in (
        (b'"remoteJid":"77@lid"', "77@lid"),
        (b'"remoteJid":"77@lid","senderPn":"5511@s.whatsapp.net","fromMe":false', "5511@s.whatsapp.net"),
        (b'"remoteJid":"77@lid","senderPn":"5500@s.whatsapp.net","fromMe":true', "77@lid"),
    ):
        assert quick_chat({"data": b'{"key":{' + key + b"}," + filling + b"}"}) == jid
    assert quick_chat({"data": b"{" + filling + b',"key":{"remoteJid":"1-2@g.us"}}'}) is None


@pytest.mark.parametrize(
    "fields", [{}, {"data": b"null"}, {"data": b"7"}, {"data": b"[]"}, {"data": b'{"state":"open"}'}]
)
def test_an_event_about_no_chat_has_none(fields: dict[str, bytes]) -> None:
    assert quick_chat(fields) is None
