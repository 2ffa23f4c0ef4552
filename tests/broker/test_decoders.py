"""Decoders that refuse nothing: whatever a publisher put into a message, it is read to its end."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from pamqp import decode, encode

from worker.broker.decoders import DEEPEST, LARGEST, read_whatever_comes


@pytest.fixture(autouse=True)
def installed() -> None:
    read_whatever_comes()
    read_whatever_comes()  # each connection does it again


def table(*fields: bytes) -> bytes:
    return struct.pack(">I", sum(map(len, fields))) + b"".join(fields)


def read(value: bytes) -> Any:
    size, found = decode.by_type(value, "table")
    assert size == len(value)
    return found


def test_what_pamqp_reads_is_read_as_before() -> None:
    value: dict[str, Any] = {
        "text": "é",
        "number": 5,
        "big": 2**40,
        "flag": True,
        "none": None,
        "float": 1.5,
        "list": [1, "two", {"three": [3]}],
        "table": {"k": {}},
        "date": datetime(2026, 11, 22, 8, tzinfo=UTC),
        "bytes": bytearray(b"\xff"),
    }
    assert read(encode.field_table(value)) == value


def test_keys_and_short_texts_that_are_no_utf_8_keep_every_byte_readable() -> None:
    assert read(table(b"\x03\xffk\xfe", b"t\x01", b"\x01b", b"t\x00")) == {r"\xffk\xfe": True, "b": False}
    assert decode.by_type(b"\x02\xffaxyz", "shortstr") == (3, r"\xffa")


def test_a_date_beyond_all_years_is_its_number() -> None:
    microseconds = 1_700_000_001_000_000
    raw = struct.pack(">Q", microseconds)
    assert decode.by_type(raw, "timestamp") == (8, microseconds)
    assert read(table(b"\x01k", b"T" + raw, b"\x01l", b"t\x01")) == {"k": microseconds, "l": True}


@pytest.mark.parametrize("kind", [b"A", b"F"])
def test_what_is_nested_too_deeply_stays_bytes_and_its_neighbours_are_read(kind: bytes) -> None:
    deep = table()
    for _ in range(4_000):
        deep = table(kind + deep if kind == b"A" else b"\x01n" + kind + deep)
    found = read(table(b"\x01k" + kind + deep, b"\x01l", b"t\x01"))
    assert found["l"] is True
    inner, levels = found["k"], 0
    while not isinstance(inner, bytes):
        inner, levels = inner[0] if kind == b"A" else inner["n"], levels + 1
    assert levels == DEEPEST


@pytest.mark.parametrize("kind", [b"A", b"F"])
def test_what_is_nested_and_large_stays_bytes_and_its_neighbours_are_read(kind: bytes) -> None:
    value = b"V" if kind == b"A" else b"\x00V"
    fits, large = (table(*[value] * ((LARGEST - 4) // len(value) + more)) for more in (0, 1))
    found = read(table(b"\x01a" + kind + fits, b"\x01b" + kind + large, b"\x01c", b"t\x01"))
    assert found == {"a": [None] * (LARGEST - 4) if kind == b"A" else {"": None}, "b": large, "c": True}


@pytest.mark.parametrize(
    "broken",
    [b"", b"\x00\x00", b"\x00\x00\x00\x09", table(b"\x05ab"), table(b"\x01k"), table(b"\x01k", b"?whatever")],
    ids=repr,
)
def test_a_table_that_is_cut_or_of_a_type_that_nobody_knows_is_no_error(broken: bytes) -> None:
    _, found = decode.by_type(broken, "table")
    assert isinstance(found, dict)


@pytest.mark.parametrize("kind", sorted(decode.TABLE_MAPPING))
def test_a_value_that_is_cut_is_no_error(kind: bytes) -> None:
    _, found = decode.by_type(table(b"\x01k", kind), "table")
    assert list(found) == ["k"]  # type: ignore[arg-type]
