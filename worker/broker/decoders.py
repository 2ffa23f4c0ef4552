"""Decoders for what RabbitMQ passes on and pamqp refuses: one such message would stop the whole intake.

A publisher may put any bytes into a routing key, a property or the key of a header, write timestamps in
microseconds, and nest headers as deeply as a frame allows. pamqp raises then, in aiormq's reader: the connection
ends before anybody has seen the message, and RabbitMQ delivers it again to the next one, which ends likewise.
"""

from pamqp import decode
from pamqp.common import FieldValue

from worker.broker.pamqp_internals import decode_field, replace_decoders

DEEPEST = 32
"""Tables and arrays within each other; what is nested deeper stays bytes. (Python's stack ends at about 500.)"""

LARGEST = 32 * 1024
"""Bytes of a table or array within another; a larger one stays bytes. A delivery's log has 24 KB at most."""

SIZED = b"SxAF"
"""Types of values that have their length before them: texts, bytes, arrays and tables (4.2.5.5)."""


def read_whatever_comes() -> None:
    """Replaces pamqp's decoders, for this whole process.

    Called where a connection is opened: none of ours can be without it, and an import changes nothing.
    """
    replace_decoders(
        {"shortstr": _short_str, "timestamp": _timestamp, "table": _table, "array": _array},
        {b"T": _timestamp, b"F": _table, b"A": _array},
    )


def _short_str(value: bytes) -> tuple[int, str]:
    try:
        return decode.short_str(value)
    except UnicodeDecodeError:
        end = 1 + value[0]
        return end, value[1:end].decode(errors="backslashreplace")


def _timestamp(value: bytes) -> tuple[int, FieldValue]:
    """The bare number when no date is that late."""
    try:
        return decode.timestamp(value)
    except (ValueError, OverflowError, OSError):
        return 8, int.from_bytes(value[:8])


def _table(value: bytes, depth: int = 0) -> tuple[int, FieldValue]:
    at, end = 4, _end(value)
    if depth > DEEPEST:
        return end, value[at:end]
    found: dict[str, FieldValue] = {}
    while at < end:
        size, key = _short_str(value[at : min(at + _LONGEST_KEY, end)])
        at += size
        size, found[key] = field(value, at, end, depth)
        at += size
    return end, found


def _array(value: bytes, depth: int = 0) -> tuple[int, FieldValue]:
    at, end = 4, _end(value)
    if depth > DEEPEST:
        return end, value[at:end]
    found: list[FieldValue] = []
    while at < end:
        size, item = field(value, at, end, depth)
        at += size
        found.append(item)
    return end, found


def _end(value: bytes) -> int:
    return min(4 + int.from_bytes(value[:4]), len(value))


def field(value: bytes, at: int, end: int, depth: int = 0) -> tuple[int, FieldValue]:
    """One value of a table that ends at `end`, with its type before it: how many bytes it takes, and what it is.

    A type that nobody knows has no known length: the rest is taken for it. No more is copied than the value, or a
    header of 130 KB in a hundred thousand pieces would hold the event loop for a second.
    """
    kind, first = value[at : min(at + 1, end)], at + 1
    size = 4 + int.from_bytes(value[first : min(first + 4, end)]) if kind in SIZED else _LONGEST_FIXED
    inner = value[first : min(first + size, end)]
    try:
        if kind not in _NESTED:
            size, found = decode_field(kind, inner)
        elif len(inner) > LARGEST:
            size, found = len(inner), inner
        else:
            size, found = _NESTED[kind](inner, depth + 1)
    except (KeyError, ValueError):
        return end - at, value[at:end]
    return 1 + size, found


_NESTED = {b"F": _table, b"A": _array}
_LONGEST_FIXED = 8
"""Bytes of a value whose length does not stand before it: a number or a date."""
_LONGEST_KEY = 256
