"""Split a broker message into an event without decoding its `data`."""

import json
import re
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from hashlib import sha256

import msgspec

from worker.domain import evolution_go
from worker.domain.names import canonical

LONGEST_NAME = 255
"""Characters of an event's or an instance's name: where AMQP's short strings and Evolution's column end."""

MOST_KEYS = 1000
"""An envelope has ten keys at most; 26 MB of nothing but keys would hold up the event loop for seconds."""

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


_ID_KEY = b'"instanceId":'
"""Within JSON this is always a key: in a text its quotes would be escaped."""

_ID = re.compile(rb'"([A-Za-z0-9_-]{8,64})"')

_TAIL_BYTES = 512
"""Evolution 2.x writes `instanceId` at the end of `data`, with at most `source` and Chatwoot's ids behind it, so that
much of it is looked through. Trade-off: written elsewhere it is not found, and the header it is for stays away."""


class InvalidEvent(ValueError):
    """The message is not an event; the text says what is wrong with it, in an operator's words."""


class NestedTooDeeply(InvalidEvent):
    """For who asks: an event of 970 to 990 levels is one to those who are called from less deep (3.11's recursion limit
    counts all levels together)."""

    def __init__(self) -> None:
        super().__init__("the message is nested too deeply to be an event")


class Dialect(Enum):
    """Whose envelope a message has."""

    API = "Evolution API"
    GO = "Evolution Go"


GO = Dialect.GO
"""Python 3.11 takes 0.2 us to find a member in its Enum."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something that happened at an instance. A Struct, as each message makes one.

    `fields` holds every top-level key with its JSON text, byte for byte as received, in wire order; it never
    appears in a repr. `kind` is the canonical name (`MESSAGES_UPSERT`), `name` as the message has it
    (`messages.upsert`). `categories`: the names, beside its own, by which a webhook may have chosen it (Evolution Go).
    """

    name: str
    kind: str
    instance: str
    fields: Mapping[str, msgspec.Raw | bytes]
    dialect: Dialect = Dialect.API
    categories: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"Event(name={self.name!r}, kind={self.kind!r}, instance={self.instance!r}, dialect={self.dialect})"

    @property
    def instance_id(self) -> str | None:
        """Evolution's own id of the instance, if the message has it: Go's `instanceId`, or `data.instanceId` (2.x)."""
        if self.dialect is GO:
            found = _ID.fullmatch(self.fields.get("instanceId", b""))
            return found[1].decode() if found else None
        tail = bytes(memoryview(self.fields.get("data", b""))[-_TAIL_BYTES:])
        at = tail.rfind(_ID_KEY)
        found = _ID.match(tail, at + len(_ID_KEY)) if at >= 0 else None
        return found[1].decode() if found else None


def parse(body: bytes) -> Event:
    """Split the envelope of Evolution API (1.x and 2.x) or Evolution Go (`instanceName`). Raises InvalidEvent.

    Of a key that appears twice the last value counts, as in JavaScript. Bytes within `data` that are not
    UTF-8 pass as they came.
    """
    fields = _fields(body)
    if "instance" not in fields and "instanceName" in fields:
        return _of_evolution_go(fields)
    raw, instance = fields.get("event"), fields.get("instance")
    name, kind = _names(bytes(raw)) if raw else (_text(raw, "event"), "")
    plain = _PLAIN(instance) if instance else None
    return Event(name, kind, plain[1].decode() if plain else _text(instance, "instance"), fields)


@lru_cache(maxsize=1024)
def _names(raw: bytes) -> tuple[str, str]:
    """An event's name and its canonical one: a few dozen, of which a worker sees the same few all day."""
    name = _text(raw, "event")
    return name, canonical(name)


def _of_evolution_go(fields: Mapping[str, msgspec.Raw | bytes]) -> Event:
    name = _text(fields.get("event"), "event")
    kind = canonical(name)
    categories = evolution_go.categories(kind, bytes(fields.get("data", b"")))
    return Event(name, kind, _text(fields.get("instanceName"), "instanceName"), fields, Dialect.GO, categories)


def identity(body: bytes, message_id: str | None) -> str:
    """What makes an event itself, whatever exchange brought it: its message_id, else its bytes.

    64 hex digits. Byte-identical events share it (Evolution sets no message_id; an empty one counts as none).
    """
    return sha256(b"message_id:" + message_id.encode() if message_id else body).hexdigest()


def _fields(body: bytes) -> Mapping[str, msgspec.Raw]:
    try:
        return _split(body)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        tame = _without_surrogates(body)
        if tame == body:
            raise _invalid(error) from None
        return _cut(body, tame)


def _split(text: bytes | bytearray) -> dict[str, msgspec.Raw]:
    fields = _decode(text)
    if len(fields) > MOST_KEYS:
        raise InvalidEvent(f"the message has {len(fields)} keys, {MOST_KEYS} at most are allowed")
    return fields


def _invalid(error: Exception) -> InvalidEvent:
    match error:
        case RecursionError():
            return NestedTooDeeply()
        case msgspec.ValidationError():
            return InvalidEvent(f"the message is not a JSON object: {error}")
        case _:
            return InvalidEvent(f"the message is not JSON: {error}")


_KINDS = {b"{": "an object", b"[": "an array", b'"': "an empty one", b"t": "true", b"f": "false", b"n": "null"}
"""JSON values by their first byte: what is named in place of the value, which may hold an API key."""


def _text(value: msgspec.Raw | bytes | None, key: str) -> str:
    raw = bytes(value or b"")
    if not raw:
        raise InvalidEvent(f"the message has no `{key}`")
    if not raw.startswith(b'"') or raw == b'""':
        raise InvalidEvent(f"`{key}` must be a non-empty string, not {_KINDS.get(raw[:1], 'a number')}")
    try:
        text = str(json.loads(raw))
    except ValueError:
        raise InvalidEvent(f"`{key}` is not valid UTF-8 text") from None
    if len(text) > LONGEST_NAME:
        raise InvalidEvent(f"`{key}` has {len(text)} characters, {LONGEST_NAME} at most are allowed")
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        raise InvalidEvent(f"`{key}` holds an unpaired surrogate, so it names nothing")
    return text


_PLAIN = re.compile(rb'"([ !#-\[\]-~]{1,%d}+)"' % LONGEST_NAME).fullmatch
"""JSON strings that are a name and need no decoder: 0.4 us instead of 2. Remembering names is as fast for 10 instances,
but not for 10,000, where each name remembered is a miss of the processor's cache."""


# JavaScript writes half of a torn emoji as `\ud83d`: valid JSON text that msgspec refuses. Such a message is
# split by way of a copy of the same length in which each `\ud...` reads `\u0...`: the lengths of the copy's
# values cut the original, whose bytes stay as they were.


def _cut(body: bytes, tame: bytearray) -> dict[str, msgspec.Raw]:
    try:
        values = _split(tame).values()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _invalid(error) from None
    whole, end = memoryview(body), 0
    fields: dict[str, msgspec.Raw] = {}
    for value in values:
        key = _KEY.match(tame, end)
        if key is None or not tame.startswith(value, key.end()):
            break
        end = key.end() + len(value)
        fields[json.loads(body[slice(*key.span(1))].decode())] = msgspec.Raw(whole[key.end() : end])
    if tame[end:].strip() != b"}":
        # Never JavaScript's. The copy lacks the first of the two values, so nothing can be cut by it.
        raise InvalidEvent("the message holds an unpaired surrogate and a key that appears twice")
    return fields


_KEY = re.compile(rb'[\s{,]*+("(?:[^"\\]++|\\.)*+")\s*+:\s*+', re.DOTALL)

_FEW = 10_000
"""Escapes up to here are visited one by one: 20 MB of base64 take 2 ms that way, 50 by replacing. Beyond,
26 MB of nothing but escapes take 65 ms by replacing, 6 s one by one."""


def _without_surrogates(body: bytes) -> bytearray:
    tame = bytearray(body)
    at = tame.find(b"\\")
    for _ in range(_FEW):
        if at < 0:
            return tame
        if tame.startswith((b"ud", b"uD"), at + 1):
            tame[at + 2] = ord("0")
        at = tame.find(b"\\", at + 2)
    if at >= 0:
        rest = tame[at:].replace(b"\\\\", b"__")  # so that each backslash left begins an escape
        tame[at:] = rest.replace(b"\\ud", b"\\u0").replace(b"\\uD", b"\\u0")
    return tame
