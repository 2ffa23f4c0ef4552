"""Seeded changes of bytes and of JSON values: the same `random.Random` makes the same ones. Pure."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

TOKENS = (
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u", rb"\ud83d", rb"\uDE00", rb"\u0000", rb"\x"),
    *(b"\x00", b"\xff", b"\xed\xa0\xbd", b"\xef\xbb\xbf", b"\xc0\xaf", "\u2028é".encode(), b" ", b"\r\n", b"\t"),
    *(b"null", b"true", b"NaN", b"-Infinity", b"1e400", b"-0", b"01", b"9" * 400, b'"event":', b'"data":'),
)
LONGEST = 1 << 20
DEEPEST = 60


def changed_bytes(chance: random.Random, text: bytes, others: Sequence[bytes]) -> bytes:
    """One to eight changes, each at a random place; `others` are what it may be spliced with."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        text = chance.choice(_CHANGES)(chance, text, others)
    return text[:LONGEST]


def _flip(chance: random.Random, text: bytes, _: Sequence[bytes]) -> bytes:
    if not text:
        return b"\x01"
    changed, at = bytearray(text), chance.randrange(len(text))
    changed[at] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _insert(chance: random.Random, text: bytes, _: Sequence[bytes]) -> bytes:
    at = chance.randint(0, len(text))
    token = chance.choice(TOKENS) if chance.random() < 0.8 else chance.randbytes(chance.randint(1, 8))
    return text[:at] + token + text[at:]


def _replace(chance: random.Random, text: bytes, _: Sequence[bytes]) -> bytes:
    begin, end = _span(chance, text)
    return text[:begin] + chance.choice(TOKENS) + text[end:]


def _delete(chance: random.Random, text: bytes, _: Sequence[bytes]) -> bytes:
    begin, end = _span(chance, text)
    return text[:begin] + text[end:]


def _repeat(chance: random.Random, text: bytes, _: Sequence[bytes]) -> bytes:
    begin, end = _span(chance, text)
    times = chance.choice((1, 2, 10, 1000))
    return text[:begin] + text[begin:end] * min(times, LONGEST // max(1, end - begin)) + text[begin:]


def _truncate(chance: random.Random, text: bytes, _: Sequence[bytes]) -> bytes:
    return text[: chance.randint(0, len(text))]


def _splice(chance: random.Random, text: bytes, others: Sequence[bytes]) -> bytes:
    other = chance.choice(others)
    return text[: chance.randint(0, len(text))] + other[chance.randint(0, len(other)) :]


_CHANGES: tuple[Callable[[random.Random, bytes, Sequence[bytes]], bytes], ...] = (
    *(_flip, _flip, _insert, _insert, _replace, _delete),
    *(_repeat, _truncate, _splice),
)


def _span(chance: random.Random, text: bytes) -> tuple[int, int]:
    begin = chance.randint(0, len(text))
    return begin, min(len(text), begin + chance.choice((1, 2, 4, 16, 64)))


def any_value(chance: random.Random, depth: int = 0) -> Any:
    """A value that json.dumps takes: what programs send, and what they should not."""
    if depth < 3 and chance.random() < 0.3:
        size = chance.randint(0, 3)
        if chance.random() < 0.5:
            return [any_value(chance, depth + 1) for _ in range(size)]
        return {any_text(chance): any_value(chance, depth + 1) for _ in range(size)}
    if chance.random() < 0.02:
        return _nested(chance.randint(1, DEEPEST))
    return any_text(chance) if chance.random() < 0.4 else chance.choice(_SCALARS)


_SCALARS = (None, True, False, 0, 1, -1, 0.1, 1e300, 255, 65536, 2**31, 2**63, 10**30, -0.0)


def any_text(chance: random.Random) -> str:
    """Halves of torn emojis included, as JavaScript writes them."""
    if chance.random() < 0.5:
        return chance.choice(_TEXTS)
    return "".join(chr(_code_point(chance)) for _ in range(chance.choice((1, 2, 5, 20, 300))))


_TEXTS = (
    *("", " ", "*", ".", "..", "null", "default", "global", "acme", "Loja 1 / São", "\ud83d", "\ude00\ud83d", "😀"),
    *("a\r\nb", "\x00", "\x7f", '"', "\\", "\\ud83d", "{}", "%", "%2F", "../..", "\u2028", "é" * 255, "x" * 256),
    *(
        "https://h.example/x",
        "http://u:p@h.example:1/?q#f",
        "worker+https://h.example",
        "http://10.internal/",
        "http://[",
    ),
    *("whsec_" + "QUJD" * 8, "whsec_%", "MESSAGES_UPSERT", "messages.upsert", "2026-11-22T08:00:00.000Z", "***"),
)


def _code_point(chance: random.Random) -> int:
    return chance.choice((chance.randint(32, 126), chance.randint(0, 0x2FF), chance.randint(0, 0x10FFFF)))


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def changed_value(chance: random.Random, value: Any, keys: Sequence[str]) -> Any:
    """The JSON value with one node changed: replaced, dropped, renamed, or a member of `keys` added to an object."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        return _changed_object(chance, value, keys)
    if isinstance(value, list) and value and chance.random() < 0.7:
        at = chance.randrange(len(value))
        return [*value[:at], changed_value(chance, value[at], keys), *value[at + 1 :]]
    return any_value(chance)


def _changed_object(chance: random.Random, value: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    key = chance.choice(list(value))
    rest = {name: each for name, each in value.items() if name != key}
    match chance.randrange(6):
        case 0:
            return rest
        case 1:
            return {**rest, chance.choice((*keys, any_text(chance))): value[key]}
        case 2:
            return {**value, chance.choice((*keys, any_text(chance))): any_value(chance)}
        case _:
            return {**value, key: changed_value(chance, value[key], keys)}


def json_text(chance: random.Random, value: Any) -> bytes:
    """Compact or spaced; escaped, or UTF-8 where it can be."""
    separators = chance.choice(((",", ":"), (", ", ": "), (" ,\r\n", "\t: ")))
    if chance.random() < 0.5:
        try:
            return json.dumps(value, separators=separators, ensure_ascii=False).encode()
        except UnicodeEncodeError:  # an unpaired surrogate has no UTF-8
            pass
    return json.dumps(value, separators=separators).encode()
