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
        size, key = _short_str(value[at:end])
        at += size
        size, found[key] = field(value[at:end], depth)
        at += size
    return end, found


def _array(value: bytes, depth: int = 0) -> tuple[int, FieldValue]:
    at, end = 4, _end(value)
    if depth > DEEPEST:
        return end, value[at:end]
    found: list[FieldValue] = []
    while at < end:
        size, item = field(value[at:end], depth)
        at += size
        found.append(item)
    return end, found


def _end(value: bytes) -> int:
    return min(4 + int.from_bytes(value[:4]), len(value))


def field(value: bytes, depth: int = 0) -> tuple[int, FieldValue]:
    """One value of a table, with its type before it: how many bytes it takes, and what it is.

    A type that nobody knows has no known length: the rest is taken for it.
    """
    kind, rest = value[:1], value[1:]
    try:
        if kind in _NESTED:
            size, found = _NESTED[kind](rest, depth + 1)
        else:
            size, found = decode_field(kind, rest)
    except (KeyError, ValueError):
        return len(value), value
    return 1 + size, found


_NESTED = {b"F": _table, b"A": _array}
