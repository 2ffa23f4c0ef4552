"""Makes an event's `data` smaller where its webhook asked for that: media, thumbnails, bodies beyond a size."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from worker.domain.choosing.scan import Found, found_values, key_pattern

SMALLEST_BODY, LARGEST_BODY = 1024, 128 * 1024 * 1024
"""Bounds of `max_body_bytes`; RabbitMQ takes no message beyond the second."""

SHORTEST_BODY_MEDIA = 1024
"""Characters: a `body` this long, of nothing but base64 and without a space, is media and no one's text."""

_BASE64 = rb"base64"
_BODY = rb"body"
_THUMBNAILS = rb"[A-Za-z]{0,24}Thumbnail|thumbnail[0-9A-Za-z]{0,40}"

_MEDIA_KEYS = key_pattern(_BASE64, _BODY)
_THUMBNAIL_KEYS = key_pattern(_THUMBNAILS)
_BOTH_KEYS = key_pattern(_BASE64, _BODY, _THUMBNAILS)


@dataclass(frozen=True, slots=True)
class Slimming:
    """`max_body_bytes`: a larger body is stripped of media and thumbnails, whatever the other two say."""

    strip_media: bool = False
    strip_thumbnails: bool = False
    max_body_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The body would still have this many bytes after all that can be cut."""

    body_bytes: int


def slim(data: bytes, asked: Slimming, other_bytes: int = 0) -> bytes | TooLarge:
    """`data` as this webhook wants it; the same object when there is nothing to cut.

    `data` is the JSON text of the event's `data`, `other_bytes` the size of the body around it. Every byte outside
    the values that are replaced stays as it came, invalid UTF-8 and unpaired surrogates included.
    """
    cut = stripped(data, asked.strip_media, asked.strip_thumbnails)
    most = asked.max_body_bytes
    if most is None or other_bytes + len(cut) <= most:
        return cut
    cut = stripped(cut, not asked.strip_media, not asked.strip_thumbnails)
    return cut if other_bytes + len(cut) <= most else TooLarge(other_bytes + len(cut))


def stripped(data: bytes, media: bool, thumbnails: bool) -> bytes:
    """`data` without media (`{"omitted":"base64","bytes":N,"sha256":"..."}`) or thumbnails (`null`), or both."""
    if not media and not thumbnails:
        return data
    keys = (_BOTH_KEYS if thumbnails else _MEDIA_KEYS) if media else _THUMBNAIL_KEYS
    return _joined(data, found_values(data, keys))


def cuttable(data: bytes) -> tuple[int, int]:
    """How many media and how many thumbnails `stripped` would cut."""
    whole = memoryview(data)
    keys = [value.key for value in found_values(data, _BOTH_KEYS) if _instead(value, whole) is not None]
    media = sum(key in (_BASE64, _BODY) for key in keys)
    return media, len(keys) - media


def _joined(data: bytes, found: Iterable[Found]) -> bytes:
    parts: list[bytes | memoryview] = []
    whole, end = memoryview(data), 0
    for value in found:
        instead = _instead(value, whole)
        if instead is not None:
            parts += (whole[end : value.start], instead)
            end = value.end
    return b"".join((*parts, whole[end:])) if parts else data


def _instead(value: Found, whole: memoryview) -> bytes | None:
    """What stands in place of a value; None: it stays."""
    if value.key == _BASE64:
        return _omitted(whole[value.start : value.end]) if value.is_string else None
    if value.key == _BODY:
        return _omitted_body(whole[value.start : value.end]) if value.is_string else None
    return b"null"


def _omitted_body(text: memoryview) -> bytes | None:
    if len(text) < SHORTEST_BODY_MEDIA + 2:
        return None
    quoted = bytes(text)
    decoded = None if b" " in quoted else _decoded(quoted)
    return None if decoded is None else _told(decoded)


def _omitted(text: memoryview) -> bytes:
    """For text that is not base64 the bytes told are its own (UTF-8), and `"invalid":true` says so."""
    quoted = bytes(text)
    decoded = _decoded(quoted)
    return _told(_own(quoted), invalid=True) if decoded is None else _told(decoded)


def _told(content: bytes, invalid: bool = False) -> bytes:
    tail = ',"invalid":true}' if invalid else "}"
    return f'{{"omitted":"base64","bytes":{len(content)},"sha256":"{sha256(content).hexdigest()}"{tail}'.encode()


_decode = msgspec.json.Decoder(bytes).decode
"""0.7 ms a megabyte; binascii.a2b_base64 takes 5."""

_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def _decoded(quoted: bytes) -> bytes | None:
    """A JSON string's base64: standard or URL alphabet, padded or not, in lines or not, as a data URI or bare."""
    if quoted.startswith(b'"data:'):
        comma = quoted.find(b",", 0, 256)
        quoted = b'"' + quoted[comma + 1 :] if comma > 0 else quoted
    try:
        return _decode(quoted)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _leniently(quoted)


def _leniently(quoted: bytes) -> bytes | None:
    text = _own(quoted).translate(_URL_SAFE, b" \t\r\n").rstrip(b"=")
    try:
        return _decode(b'"' + text + b"=" * (-len(text) % 4) + b'"')
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _own(quoted: bytes) -> bytes:
    """The string's own text as UTF-8, an unpaired surrogate as its three bytes."""
    if b"\\" not in quoted:
        return quoted[1:-1]
    try:
        text: str = json.loads(quoted.decode("utf-8", "replace"), strict=False)
    except ValueError:  # an escape that JSON does not have: then the text is what stands there
        return quoted[1:-1]
    return text.encode("utf-8", "surrogatepass")
