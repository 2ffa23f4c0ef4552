"""What a message's content header says (AMQP 0-9-1, 4.2.6.1): 10 us for one that comes back from a delay queue, where
pamqp takes 31.

Read is what the worker asks for: the headers of a delivery's past, of the archive, the trace, the message's id. All
else is stepped over: `x-death`, which grows with each stay in a queue, and whatever a publisher has put there, as that
may be 130 KB in a hundred thousand pieces. What is broken is pamqp's to judge; either way finds the same, once pamqp
has our decoders (decoders.py).
"""

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from pamqp import frame
from pamqp.header import ContentHeader

from worker.broker.decoders import SIZED, field
from worker.broker.past_headers import PREFIX, TRACE_HEADERS
from worker.broker.publishing.content import CONTENT_TYPE, DELIVERY_MODE, HEADERS, MESSAGE_ID

NO_HEADERS: Mapping[str, object] = {}

STREAM_OFFSET = "x-stream-offset"
"""Which message of the archive it is; by RabbitMQ."""

MARK, MARKED_AT = "x-archive-mark", "x-archive-at"
"""Of our own messages in the archive (archive/marks.py)."""

_OTHERS_OF_USE = frozenset({*TRACE_HEADERS, STREAM_OFFSET, MARK, MARKED_AT})

HEADER_BYTES = 21
"""Of the frame, up to its properties."""

header_at = struct.Struct(">BHIHHQH").unpack_from
"""The frame's type, channel and size, class, weight, the body's size, property flags."""

_PRIORITY, _TIMESTAMP, _MORE_FLAGS = 0x0800, 0x0040, 0x0001
_SHORTS_FIRST = (CONTENT_TYPE, 0x4000)
"""And of content-encoding."""
_SHORTS_BEFORE = (0x0400, 0x0200, 0x0100)
"""Of correlation-id, reply-to and expiration, which stand before the message's id."""
_SHORTS_AFTER = (0x0020, 0x0010, 0x0008, 0x0004)
"""Of type, user-id, app-id and cluster-id, which stand behind it and the timestamp."""
_RARE = _PRIORITY | sum(_SHORTS_BEFORE) | _TIMESTAMP | sum(_SHORTS_AFTER)
_OF_USE = HEADERS | MESSAGE_ID | _MORE_FLAGS
_TEXT, _LONG = b"Sl"
_size = struct.Struct(">I").unpack_from
_long = struct.Struct(">q").unpack_from

_FIXED = dict(zip(b"V\0tbBsuIifdlLTD", (0, 0, 1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 8, 5), strict=True))
"""Bytes of values that have no length before them."""


class Properties(NamedTuple):
    """Of a message."""

    body_size: int
    headers: Mapping[str, object]
    message_id: str | None


def says_something(data: bytes, at: int) -> bool:
    """Whether the header at `at` has properties of use; most messages of Evolution have none."""
    flags: int = header_at(data, at)[6]
    return flags & _OF_USE != 0


def properties_in(data: bytes, at: int, end: int) -> Properties:
    """Of the header frame between the two, which is whole. Raises what pamqp raises."""
    try:
        found = _usual(data, at, end)
    except (IndexError, KeyError, struct.error, ValueError):
        found = None
    return found or _by_pamqp(data[at:end])


def headers_of_use(headers: Mapping[str, object] | None) -> Mapping[str, object]:
    """Of those that pamqp has read."""
    return {key: value for key, value in headers.items() if _is_of_use(key)} if headers else NO_HEADERS


def _by_pamqp(data: bytes) -> Properties:
    header = frame.unmarshal(data)[2]
    assert isinstance(header, ContentHeader)
    found = header.properties
    return Properties(header.body_size, headers_of_use(found.headers), found.message_id)


def _usual(data: bytes, at: int, end: int) -> Properties | None:
    """None, or one of the errors that `properties_in` catches: something is broken."""
    *_, body_size, flags = header_at(data, at)
    if flags & _MORE_FLAGS:
        return None
    headers, message_id = NO_HEADERS, None
    at = _behind(data, at + HEADER_BYTES, flags, _SHORTS_FIRST)
    if flags & HEADERS:
        first, at = at + 4, at + 4 + _size(data, at)[0]
        if at >= end:
            return None
        headers = _table(data, first, at)
    if flags & DELIVERY_MODE:
        at += 1
    if flags & _RARE:
        at += flags & _PRIORITY != 0
        at = _behind(data, at, flags, _SHORTS_BEFORE)
    if flags & MESSAGE_ID:
        first, at = at + 1, at + 1 + data[at]
        message_id = data[first:at].decode(errors="backslashreplace")
    if flags & _RARE:
        at = _behind(data, at + (8 if flags & _TIMESTAMP else 0), flags, _SHORTS_AFTER)
    return Properties(body_size, headers, message_id) if at == end - 1 else None


def _behind(data: bytes, at: int, flags: int, shorts: Sequence[int]) -> int:
    """Where those of the short strings end that are there."""
    for flag in shorts:
        if flags & flag:
            at += 1 + data[at]
    return at


def _table(data: bytes, at: int, end: int) -> dict[str, object]:
    """Raises ValueError where its values do not fill it, and KeyError for a type that nobody knows."""
    found: dict[str, object] = {}
    while at < end:
        first, at = at + 1, at + 1 + data[at]
        key, kind, value = _key_of_use(data[first:at]), data[at], at
        at += 5 + _size(data, at + 1)[0] if kind in SIZED else 1 + _FIXED[kind]
        if key is None or at > end:
            continue
        if kind == _TEXT:
            found[key] = _text(data[value + 5 : at])
        elif kind == _LONG:
            (found[key],) = _long(data, value + 1)
        else:
            _, found[key] = field(data, value, at)
    if at != end:
        raise ValueError("values that do not fill their table")
    return found


@lru_cache(maxsize=1024)
def _key_of_use(raw: bytes) -> str | None:
    """The same two dozen in each message. None: nobody asks for it."""
    key = raw.decode(errors="backslashreplace")
    return key if _is_of_use(key) else None


def _is_of_use(key: str) -> bool:
    return key.startswith(PREFIX) or key in _OTHERS_OF_USE


def _text(raw: bytes) -> str | bytes:
    """As pamqp does: what is no UTF-8 stays bytes."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
