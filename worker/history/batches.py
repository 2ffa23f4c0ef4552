"""Batches as bytes: what goes through the history's queue from those who record to those who write.

JSON, as `{"v":1,"producer":...,"number":...,"replica":...,"rows":[[...],...]}`; a row is an array in the order of its
fields. Version 2 is `{"v":2,"pulses":[[...],...]}`: signs of life of instances, which have no number, since it changes
nothing when they come twice. msgspec checks the type of every value as it decodes it, so that no database sees what was
never checked.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from worker.domain.history import Batch, Row
from worker.domain.silence.pulse import Pulse

VERSION = 2
"""The newest; rows are still version 1, so that a writer of before reads them and leaves out only pulses. Who reads a
newer one than it knows refuses it: writers are updated before those who record."""

Pulses = tuple[Pulse, ...]


class UnreadableBatch(ValueError):
    """These bytes are no batch, or one of another version; the text says why, without quoting a row."""


class _Envelope(msgspec.Struct, gc=False, tag_field="v", tag=1):
    producer: str
    number: int
    replica: str
    rows: tuple[Row, ...]


class _PulsesEnvelope(msgspec.Struct, gc=False, tag_field="v", tag=2):
    pulses: Pulses


class _Version(msgspec.Struct, gc=False):
    v: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Envelope | _PulsesEnvelope).decode
_decode_version = msgspec.json.Decoder(_Version).decode


def encode(batch: Batch) -> bytes:
    """Never fails: a text that UTF-8 cannot hold (an unpaired surrogate) is written with `?` in that place."""
    try:
        return _encode(_Envelope(batch.producer, batch.number, batch.replica, batch.rows))
    except UnicodeEncodeError:
        rows = tuple(Row(*map(_encodable, row)) for row in batch.rows)
        return _encode(_Envelope(batch.producer, batch.number, _encodable(batch.replica), rows))


def encode_pulses(pulses: Sequence[Pulse]) -> bytes:
    """Names of instances are UTF-8: they were read from an event."""
    return _encode(_PulsesEnvelope(tuple(pulses)))


def decode(body: bytes) -> Batch | Pulses:
    """Raises UnreadableBatch."""
    try:
        found = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableBatch(_reason(body, error)) from None
    if isinstance(found, _PulsesEnvelope):
        return found.pulses
    if not found.producer or found.number < 0 or not found.rows:
        raise UnreadableBatch("it has no producer, a number below 0, or no rows")
    return Batch(found.producer, found.number, found.replica, found.rows)


def _reason(body: bytes, error: Exception) -> str:
    try:
        version = _decode_version(body).v
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return f"it is no batch: {error}"
    if version not in range(1, VERSION + 1):
        return f"it has version {version}, and this writer reads up to {VERSION}: update the writer"
    return f"it is no batch: {error}"


def _encodable(value: Any) -> Any:
    return value.encode(errors="replace").decode() if isinstance(value, str) else value
