"""The content header of what we publish (AMQP 0-9-1, 4.2.6.1): 4 us, where pamqp takes 16 for our headers."""

import struct
from collections.abc import Mapping

from pamqp import encode

PERSISTENT = 2

_HEADER_FRAME, _BASIC = 2, 60
_CONTENT_TYPE, _HEADERS, _DELIVERY_MODE, _MESSAGE_ID = 0x8000, 0x2000, 0x1000, 0x0080
_FLAGS = _CONTENT_TYPE | _HEADERS | _DELIVERY_MODE | _MESSAGE_ID
_INT_END = 2**63

_frame = struct.Struct(">BHI").pack
_begin = struct.Struct(">HHQH").pack
_length = struct.Struct(">I").pack
_int = struct.Struct(">cq").pack


def content_header(channel: int, body_size: int, headers: Mapping[str, object], message_id: str) -> bytes:
    """The whole frame of a persistent JSON message. Keys and `message_id` have 255 bytes at most.

    Raises TypeError or ValueError for what AMQP cannot hold: other types, integers over 64 bits, unpaired surrogates.
    """
    table = b"".join([_short(key) + _value(value) for key, value in headers.items()])
    payload = (
        _begin(_BASIC, 0, body_size, _FLAGS)
        + b"\x10application/json"
        + _length(len(table))
        + table
        + bytes((PERSISTENT,))
        + _short(message_id)
    )
    return _frame(_HEADER_FRAME, channel, len(payload)) + payload + b"\xce"


def _short(text: str) -> bytes:
    raw = text.encode()
    return bytes((len(raw),)) + raw


def _value(value: object) -> bytes:
    if type(value) is str:
        raw = value.encode()
        return b"S" + _length(len(raw)) + raw
    if type(value) is int and -_INT_END <= value < _INT_END:
        return _int(b"l", value)
    return bytes(encode.encode_table_value(value))  # type: ignore[arg-type]  # it judges by itself
