"""Slimming against a reference that knows, for each made event, both its text and its slim text."""

import base64
import json
import random
from hashlib import sha256
from time import thread_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.domain.json_documents import ANY_TEXT
from worker.domain.choosing.slim import Slimming, TooLarge, slim, stripped

MEDIA = base64.b64encode(bytes(range(256)) * 4).decode()
TEXTS = ANY_TEXT | st.sampled_from(
    ['"base64":"AAAA"', '\\"base64":"AAAA"', "base64", ':"', MEDIA, "AA==", "a b", "data:image/png;base64,AAAA"]
)
KEYS = (
    st.sampled_from(
        [
            "base64",
            "body",
            "jpegThumbnail",
            "JPEGThumbnail",
            "thumbnail",
            "thumbnailDirectPath",
            "a",
            "message",
            "xbase64",
            'x"base64',
            "\\",
            "base64\\",
            "thumbnails",
            "Thumbnails",
            "mybody",
        ]
    )
    | ANY_TEXT
)
BYTES = st.lists(st.integers(0, 255), max_size=4)
BYTE_OBJECTS = (
    BYTES
    | BYTES.map(lambda items: {str(at): item for at, item in enumerate(items)})
    | BYTES.map(lambda items: {"type": "Buffer", "data": items})
    | st.just({"type": "Buffer", "data": "AAA="})
)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS | BYTE_OBJECTS
)
DOCUMENTS = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)


def is_bytes(value: object) -> bool:
    match value:
        case list():
            return all(type(item) is int and item >= 0 for item in value)
        case {"type": "Buffer", "data": data} if list(value) == ["type", "data"]:
            return data == "AAA=" or (isinstance(data, list) and is_bytes(data))
        case dict():
            return all(key.isascii() and key.isdigit() for key in value) and is_bytes(list(value.values()))
    return False


def omitted(text: str) -> dict[str, Any]:
    media = text.partition(",")[2] if text.startswith("data:") and "," in text[:250] else text
    compact = media.translate(str.maketrans("-_", "+/", " \t\r\n")).rstrip("=")
    try:
        content, valid = base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True), True
    except ValueError:
        content, valid = text.encode("utf-8", "surrogatepass"), False
    told = {"omitted": "base64", "bytes": len(content), "sha256": sha256(content).hexdigest()}
    return told if valid else told | {"invalid": True}


def slimmed(key: str, value: object, media: bool, thumbnails: bool) -> object:
    """What the page says of one member; the member itself where it says nothing."""
    if (
        media
        and isinstance(value, str)
        and (key == "base64" or (key == "body" and len(value) >= 1024 and "invalid" not in omitted(value)))
    ):
        return omitted(value)
    if (
        thumbnails
        and (key.startswith("thumbnail") or key.endswith("Thumbnail"))
        and (isinstance(value, str) or is_bytes(value))
    ):
        return None
    return value


def rendered(value: object, spaces: random.Random, media: bool, thumbnails: bool) -> tuple[str, str]:
    """JSON text with odd spacing: as it comes, and as it should be afterwards."""
    gaps = [spaces.choice(["", "", " ", "\n\t"]) for _ in range(4)]
    if isinstance(value, list):
        parts = [rendered(item, spaces, media, thumbnails) for item in value]
        return tuple(
            "[" + gaps[0] + (gaps[1] + "," + gaps[2]).join(part[side] for part in parts) + gaps[3] + "]"
            for side in (0, 1)
        )  # type: ignore[return-value]
    if not isinstance(value, dict):
        text = json.dumps(value)
        return text, text
    members: list[tuple[str, str]] = []
    for key, item in value.items():
        name = json.dumps(key) + gaps[0] + ":" + gaps[1]
        before, after = rendered(item, spaces, media, thumbnails)
        instead = slimmed(key, item, media, thumbnails)
        members.append(
            (name + before, name + (after if instead is item else json.dumps(instead, separators=(",", ":"))))
        )
    return tuple(
        "{" + gaps[2] + (gaps[3] + ",").join(member[side] for member in members) + gaps[0] + "}" for side in (0, 1)
    )  # type: ignore[return-value]


@settings(max_examples=400)
@given(DOCUMENTS, st.randoms(use_true_random=False), st.booleans(), st.booleans())
def test_it_cuts_what_the_page_says_and_keeps_every_other_byte(
    value: object, spaces: random.Random, media: bool, thumbnails: bool
) -> None:
    before, after = rendered(value, spaces, media, thumbnails)
    data = before.encode()
    cut = stripped(data, media, thumbnails)
    assert cut.decode() == after
    assert stripped(cut, media, thumbnails) == cut
    if before == after:
        assert cut is data


@given(
    st.binary()
    | st.lists(
        st.sampled_from([b'"base64"', b":", b'"', b"\\", b"{", b"}", b"[", b"1", b",", b'"thumbnail":', b" "])
    ).map(b"".join)
)
def test_no_bytes_make_it_raise(data: bytes) -> None:
    stripped(data, True, True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('"AAEC"', (3, b"\0\1\2", False)),
        ('"AAE"', (2, b"\0\1", False)),
        ('"AAE="', (2, b"\0\1", False)),
        ('"-_8="', (2, b"\xfb\xff", False)),
        ('"AA\\nEC"', (3, b"\0\1\2", False)),
        ('"\\/\\/8="', (2, b"\xff\xff", False)),
        ('"data:image/png;base64,AAEC"', (3, b"\0\1\2", False)),
        ('""', (0, b"", False)),
        ('"A"', (1, b"A", True)),
        ('"ol\u00e1"', (4, "ol\u00e1".encode(), True)),
        ('"\\ud83d"', (3, b"\xed\xa0\xbd", True)),
    ],
)
def test_size_and_hash_of_the_media(text: str, told: tuple[int, bytes, bool]) -> None:
    size, content, invalid = told
    found = json.loads(stripped(b'{"base64":' + text.encode() + b"}", True, False))["base64"]
    assert found == {"omitted": "base64", "bytes": size, "sha256": sha256(content).hexdigest()} | (
        {"invalid": True} if invalid else {}
    )


def test_a_long_text_under_body_stays_and_media_in_lines_goes() -> None:
    text = json.dumps({"body": "lorem ipsum " * 300}).encode()
    assert stripped(text, True, True) == text
    assert b"omitted" in stripped(json.dumps({"body": "QUJD\r\n" * 300}).encode(), True, True)


def test_an_escape_that_json_does_not_have_is_text() -> None:
    assert b'"bytes":2,' in stripped(rb'{"base64":"\q"}', True, True)


def test_what_is_no_utf8_stays_as_it_came() -> None:
    data = b'{"a":"\xff\\ud83d","base64":"AAEC","b":"\xfe"}'
    cut = stripped(data, True, True)
    assert cut.startswith(b'{"a":"\xff\\ud83d","base64":{"omitted"')
    assert cut.endswith(b'},"b":"\xfe"}')


def test_a_larger_body_is_stripped_and_a_still_larger_one_told() -> None:
    data = json.dumps({"base64": MEDIA, "jpegThumbnail": MEDIA, "text": "x" * 500}).encode()
    small = slim(data, Slimming(max_body_bytes=2000), other_bytes=100)
    assert isinstance(small, bytes)
    assert json.loads(small)["jpegThumbnail"] is None
    assert json.loads(small)["base64"]["bytes"] == 1024
    assert slim(data, Slimming(max_body_bytes=100 + len(data)), other_bytes=100) is data
    assert slim(data, Slimming(max_body_bytes=400), other_bytes=100) == TooLarge(100 + len(small))
    media_first = slim(data, Slimming(strip_media=True, max_body_bytes=2500), other_bytes=100)
    assert isinstance(media_first, bytes)
    assert json.loads(media_first)["jpegThumbnail"] == MEDIA


HOSTILE = {
    "escaped quotes": b'{"base64":"' + rb"\"" * 500_000 + b'"}',
    "backslashes": b'{"base64":"' + rb"\\" * 500_000 + b'"}',
    "keys without values": b'"base64":' * 100_000,
    "unclosed strings": b'"base64":"' * 100_000,
    "open byte objects": b'"thumbnail":{"0":1,' * 50_000,
    "open byte arrays": b'{"thumbnail":[' + b"1," * 500_000,
    "long escaped text": b'{"base64":"' + "é\\n".encode() * 300_000 + b'"}',
    "quotes": b'"' * 1_000_000,
    "spaces": b'"base64"' + b" " * 1_000_000,
    "spaced": (b'"base64"' + b" " * 1000) * 1000,
    "thumbnails in name only": b'"' + b"a" * 1_000_000 + b'Thumbnail":"x"',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_work_is_linear(name: str) -> None:
    start = thread_time()
    stripped(HOSTILE[name], True, True)
    assert thread_time() - start < 10, "a quadratic one takes minutes"
