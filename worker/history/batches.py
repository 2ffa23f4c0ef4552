"""Batches as bytes: what goes through the history's queue from those who record to those who write.

JSON, as `{"v":1,"producer":...,"number":...,"replica":...,"rows":[[...],...]}`; a row is an array in the order of its
fields. msgspec checks the type of every value as it decodes it, so that no database sees what was never checked.
"""

from typing import Any, Literal

import msgspec

from worker.domain.history import Batch, Row

VERSION = 1
"""A row's fields and their order. Who reads another one refuses it: writers are updated before those who record."""


class UnreadableBatch(ValueError):
    """These bytes are no batch, or one of another version; the text says why, without quoting a row."""


class _Envelope(msgspec.Struct, gc=False):
    v: Literal[1]
    producer: str
    number: int
    replica: str
    rows: tuple[Row, ...]


class _Version(msgspec.Struct, gc=False):
    v: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Envelope).decode
_decode_version = msgspec.json.Decoder(_Version).decode


def encode(batch: Batch) -> bytes:
    """Never fails: a text that UTF-8 cannot hold (an unpaired surrogate) is written with `?` in that place."""
    try:
        return _encode(_Envelope(1, batch.producer, batch.number, batch.replica, batch.rows))
    except UnicodeEncodeError:
        rows = tuple(Row(*map(_encodable, row)) for row in batch.rows)
        return _encode(_Envelope(1, batch.producer, batch.number, _encodable(batch.replica), rows))


def decode(body: bytes) -> Batch:
    """Raises UnreadableBatch."""
    try:
        found = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableBatch(_reason(body, error)) from None
    if not found.producer or found.number < 0 or not found.rows:
        raise UnreadableBatch("it has no producer, a number below 0, or no rows")
    return Batch(found.producer, found.number, found.replica, found.rows)


def _reason(body: bytes, error: Exception) -> str:
    try:
        version = _decode_version(body).v
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return f"it is no batch: {error}"
    if version != VERSION:
        return f"it has version {version}, and this writer reads {VERSION}: update the writer"
    return f"it is no batch: {error}"


def _encodable(value: Any) -> Any:
    return value.encode(errors="replace").decode() if isinstance(value, str) else value
