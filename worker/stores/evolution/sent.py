"""What Evolution would send of a webhook as it is stored there: rows and API answers are read through this alone.

Evolution checks little of what it stores. What it sends is decided by axios 1.x (headers: `AxiosHeaders`, and
`mergeConfig`, which folds names by case) and by the WHATWG's URL standard (whitespace), whose rules stand here. A value
that Evolution could make nothing of stays as it is, for the reader to refuse by its name.
"""

import re
from collections.abc import Mapping

import orjson

from worker.domain.names import canonical
from worker.domain.target import SILENT_PREFIX

Fields = dict[str, object]
"""By the names of Webhook's attributes, in their plain (JSON) forms."""


def sent(url: object, headers: object, events: object, enabled: object, by_events: object, base64: object) -> Fields:
    """The fields of a webhook with `url`, `headers`, ... as Evolution holds them, JSON already parsed."""
    return {
        "url": url_sent(url) if isinstance(url, str) else url,
        "enabled": bool(enabled),
        "events": _events(events),
        "by_events": bool(by_events),
        "base64": bool(base64),
        "headers": _headers(headers),
    }


def is_marked(url: str) -> bool:
    """Whether the row is the worker's although Evolution sends the others itself. A scheme's case means nothing."""
    return _MARK.match(_trimmed(url)) is not None


def url_sent(url: str) -> str:
    """Without the mark and without what was pasted around it; whitespace inside is encoded.

    WHATWG URL, 4.4: C0 controls and spaces at the ends, tabs and line ends anywhere, surplus slashes of the authority
    go; a backslash before the query is a slash. What else has to be encoded is encoded where it is sent.
    """
    scheme, colon, rest = _trimmed(_MARK.sub("", _trimmed(url))).partition(":")
    if not colon or scheme.lower() not in ("http", "https"):
        return scheme + colon + rest
    at = _QUERY.search(rest)
    path, query = (rest[: at.start()], rest[at.start() :]) if at else (rest, "")
    slashed = path.replace("\\", "/")
    if slashed.startswith("//"):
        slashed = "//" + slashed.lstrip("/")
    return f"{scheme}:{_BARE.sub(_percent_encoded, slashed + query)}"


_MARK = re.compile(rf"\A{re.escape(SILENT_PREFIX)}", re.IGNORECASE)
_QUERY = re.compile("[?#]")
_BARE = re.compile("[\x00-\x20\x7f]")


def _percent_encoded(found: re.Match[str]) -> str:
    return f"%{ord(found[0]):02X}"


def _trimmed(url: str) -> str:
    return re.sub("[\t\n\r]", "", url).strip("".join(map(chr, range(0x21))))


def _events(events: object) -> object:
    """Canonical names in the order of stored ones, names that are not known here too; nothing: all.

    Evolution looks an event up in the list, which no entry but text can match.
    """
    if not events:
        return []
    if not isinstance(events, list):
        return events
    return sorted({canonical(name.strip()) for name in events if isinstance(name, str)}) or events


def _headers(headers: object) -> object:
    """Of names that are equal but for case the last value counts under the first spelling; null and false are left out.

    `jwt_key` is no header: Evolution signs with it, and fails on a key that is no text.
    """
    if headers is None:
        return {}
    if not isinstance(headers, Mapping):
        return headers
    spelling: dict[str, str] = {}
    values: dict[str, object] = {}
    for given, value in headers.items():
        name = spelling.setdefault(given.strip().lower(), given.strip())
        values[name] = value
    return {name: _value(name, value) for name, value in values.items() if not _left_out(name, value)}


def _left_out(name: str, value: object) -> bool:
    return (value is None or value is False) and name != JWT_KEY


def _value(name: str, value: object) -> object:
    if name == JWT_KEY:
        return value if isinstance(value, str) else ""
    return _text(value).strip(" \t\r\n")


JWT_KEY = "jwt_key"


def _text(value: object) -> str:
    """As JavaScript's `String(value)`, but for a list, whose items are values of one field each (RFC 9110, 5.3)."""
    match value:
        case str():
            return value
        case list():
            return ", ".join(map(_text, value))
        case Mapping():
            return "[object Object]"
        case float() if value.is_integer() and abs(value) < 1e21:
            return str(int(value))
    return orjson.dumps(value).decode()
