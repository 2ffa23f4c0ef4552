"""What a message's content header says (AMQP 0-9-1, 4.2.6.1): 10 us for one that comes back from a delay queue, where
pamqp takes 31.

Read here are headers as the worker writes them, with what RabbitMQ and its plugins add to them; whatever is odd is
pamqp's, which also judges what is broken. Either way finds the same, once pamqp has our decoders (decoders.py).
Trade-off: `x-death`, half of what RabbitMQ adds, is left out whoever reads: nobody who consumes asks how often a
message has expired.
"""

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from pamqp import frame
from pamqp.header import ContentHeader

from worker.broker.decoders import field

NO_HEADERS: Mapping[str, object] = {}

LEFT_OUT = "x-death"

LARGEST_TABLE = 16 * 1024
"""Bytes. Ours have a third of it; of a larger one each odd value would be copied with all that follows, twice."""

HEADER_BYTES = 21
"""Of the frame, up to its properties."""

header_at = struct.Struct(">BHIHHQH").unpack_from
"""The frame's type, channel and size, class, weight, the body's size, property flags."""

_CONTENT_TYPE, _HEADERS, _DELIVERY_MODE, _MESSAGE_ID = 0x8000, 0x2000, 0x1000, 0x0080
_MORE_FLAGS = 0x0001
_READ = _CONTENT_TYPE | _HEADERS | _DELIVERY_MODE | _MESSAGE_ID
_OF_USE = _HEADERS | _MESSAGE_ID | _MORE_FLAGS
_TEXT, _LONG, _ARRAY = b"SlA"
_size = struct.Struct(">I").unpack_from
_long = struct.Struct(">q").unpack_from


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
    except (IndexError, struct.error, ValueError):
        found = None
    return found or _by_pamqp(data[at:end])


def headers_of_use(headers: Mapping[str, object] | None) -> Mapping[str, object]:
    """Those that pamqp has read, without LEFT_OUT."""
    if headers and LEFT_OUT in headers:
        return {key: value for key, value in headers.items() if key != LEFT_OUT}
    return headers or NO_HEADERS


def _by_pamqp(data: bytes) -> Properties:
    header = frame.unmarshal(data)[2]
    assert isinstance(header, ContentHeader)
    found = header.properties
    return Properties(header.body_size, headers_of_use(found.headers), found.message_id)


def _usual(data: bytes, at: int, end: int) -> Properties | None:
    """None, or one of the errors that `properties_in` catches: not the usual header."""
    *_, body_size, flags = header_at(data, at)
    if flags & ~_READ:
        return None
    headers, message_id = NO_HEADERS, None
    at += HEADER_BYTES
    if flags & _CONTENT_TYPE:
        at += 1 + data[at]
    if flags & _HEADERS:
        first, at = at + 4, at + 4 + _size(data, at)[0]
        if at >= end or at - first > LARGEST_TABLE:
            return None
        headers = _table(data, first, at)
    if flags & _DELIVERY_MODE:
        at += 1
    if flags & _MESSAGE_ID:
        first, at = at + 1, at + 1 + data[at]
        message_id = data[first:at].decode(errors="backslashreplace")
    return Properties(body_size, headers, message_id) if at == end - 1 else None


def _table(data: bytes, at: int, end: int) -> dict[str, object]:
    """Raises ValueError where its values do not fill it."""
    found: dict[str, object] = {}
    while at < end:
        first, at = at + 1, at + 1 + data[at]
        key, kind = _name(data[first:at]), data[at]
        if kind == _TEXT:
            first, at = at + 5, at + 5 + _size(data, at + 1)[0]
            found[key] = _text(data[first:at])
        elif kind == _LONG:
            (found[key],) = _long(data, at + 1)
            at += 9
        elif kind == _ARRAY and key == LEFT_OUT:
            at += 5 + _size(data, at + 1)[0]
        else:
            taken, found[key] = field(data[at:end])
            at += taken
    if at != end:
        raise ValueError("values that do not fill their table")
    found.pop(LEFT_OUT, None)  # somebody else's, of another type
    return found


@lru_cache(maxsize=1024)
def _name(raw: bytes) -> str:
    """Keys are the same two dozen in each message."""
    return raw.decode(errors="backslashreplace")


def _text(raw: bytes) -> str | bytes:
    """As pamqp does: what is no UTF-8 stays bytes."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
