"""What takes the place of a secret, and how much of a URL each reader sees."""

import re
from urllib.parse import urlsplit

MASK = "***"

_CREDENTIALS = re.compile(r"(?<=://)[^/\s@\"']+@")
_AUTHORITY = re.compile(r"(?s)([a-zA-Z0-9+.-]*://)?(.*@)?([^:/?#@]*(?::\d{1,5}(?=[/?]|$))?)")


def without(secret: str | None, text: str) -> str:
    """The text with every occurrence of the secret masked; unchanged without a secret."""
    return text.replace(secret, MASK) if secret else text


def without_credentials(url: str) -> str:
    """A URL with its `user:password@` masked; a text that cannot be split as one is masked as a whole."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    _, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{MASK}@{host}").geturl() if at else url


def text_without_credentials(text: str) -> str:
    """Any text with the credentials of the URLs in it masked."""
    return _CREDENTIALS.sub(MASK + "@", text) if "@" in text else text


def without_secrets(url: str) -> str:
    """A URL without credentials, query and fragment, each of which may hold a secret. Raises ValueError."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def authority_alone(text: str) -> str:
    """Scheme, host and port of what may be a URL, well written or not; `…` stands for what follows them."""
    match = _AUTHORITY.match(text)
    scheme, credentials, host = match.groups() if match else ("", "", "")
    rest = "…" if match and match.end() < len(text) else ""
    return f"{scheme or ''}{f'{MASK}@' if credentials else ''}{host}{rest}"
