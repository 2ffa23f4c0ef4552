"""The canonical chat of every event that is delivered, for its history: fast where it stands in front, as in messages.

Evolution API writes a message's `data` as `{"key":{"remoteJid":...},...`: that small object alone is decoded then (1 us
instead of 4), and not even that where the address itself stands in front, in its canonical spelling and not hidden
(0.4 us). Its text ends at the first brace: with one inside a string or an object within, the text would be no
JSON, and the whole event is read. Trade-off: of a `data` with two `key`, as no program writes it, the first counts.
"""

import re
from collections.abc import Mapping

import msgspec

from worker.domain.choosing.jid import PERSON, canonical_jid, is_hidden, is_person
from worker.domain.choosing.plan import ChatOfEvent

LARGE_BYTES = 64 * 1024
"""Of `data`: above this only what stands in front is looked at, so that no event holds up the others."""

_BEGIN = b'{"key":{'
_PLAIN = re.compile(
    rb'{"key":{"remoteJid":"([0-9A-Za-z_+-]{1,64}@(?:%b|g[.]us))"[,}]' % re.escape(PERSON.encode())
).match
_INFO = re.compile(rb'{"Info":({(?:[^{}"]|"(?:[^"\\]|\\.)*"|{(?:[^{}"]|"(?:[^"\\]|\\.)*")*})*})', re.DOTALL).match
"""Evolution Go's messages begin so; the objects within hold no others."""

_INFO_BYTES = 8192
_HEAD_BYTES = 512
"""Longer than any `key`: it has an id and at most four addresses."""


class _Key(msgspec.Struct, gc=False, rename="camel"):
    remote_jid: object = None
    remote_jid_alt: object = None
    previous_remote_jid: object = None
    sender_pn: object = None
    from_me: object = None


_decode = msgspec.json.Decoder(_Key).decode
_read_all = ChatOfEvent()


def quick_chat(fields: Mapping[str, msgspec.Raw | bytes]) -> str | None:
    """The chat's canonical address; None for an event about none, and for a large one where it is not in front."""
    data = fields.get("data")
    if data is None:
        return None
    plain = _PLAIN(data)
    if plain is not None:
        return str(plain[1], "ascii")
    view = memoryview(data)
    jid = _in_front(bytes(view[:_HEAD_BYTES]))
    if jid is not None:
        return jid
    if len(view) > LARGE_BYTES:
        info = _INFO(bytes(view[:_INFO_BYTES]))
        return None if info is None else _read({"data": b'{"Info":%b}' % info[1]})
    return _read(fields) if b"@" in bytes(view) else None  # every address has one


def _read(fields: Mapping[str, msgspec.Raw | bytes]) -> str | None:
    chat = _read_all(fields)
    return None if chat is None else chat.jid


def _in_front(head: bytes) -> str | None:
    """None: not there, or it takes the whole event to tell."""
    if not head.startswith(_BEGIN):
        return None
    try:
        key = _decode(head[len(_BEGIN) - 1 : head.find(b"}") + 1])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    jid = canonical_jid(key.remote_jid)
    if jid is None or not is_hidden(jid):
        return jid
    for other in (key.remote_jid_alt, key.previous_remote_jid):
        shown = canonical_jid(other)
        if shown is not None and is_person(shown):
            return shown
    sender = canonical_jid(key.sender_pn)
    if sender is None or not is_person(sender) or key.from_me is True:
        return jid
    return sender if key.from_me is False else None
