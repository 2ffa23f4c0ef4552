"""Where a POST goes: a webhook's URL, taken apart once."""

import re
from base64 import b64encode
from functools import lru_cache

from yarl import URL

_SENDABLE = re.compile(r"https?://[\w.~:/?#\[\]@!$&'()*+,;=%-]+", re.ASCII)  # RFC 3986's characters


@lru_cache(maxsize=16384)
def target(url: str) -> tuple[URL, str | None]:
    """The URL without its credentials, and those as `Authorization` (RFC 7617). Raises ValueError.

    A URL that can be sent as it is keeps its bytes (yarl would turn `%2F` of a signed query into `/`).
    """
    parsed = URL(url, encoded=_SENDABLE.fullmatch(url) is not None)
    if parsed.scheme not in ("http", "https"):
        raise ValueError("not an HTTP URL")
    if parsed.raw_user is None and parsed.raw_password is None:
        return parsed, None
    pair = f"{parsed.user or ''}:{parsed.password or ''}".encode()
    return parsed.with_user(None), "Basic " + b64encode(pair).decode()
