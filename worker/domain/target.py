"""Where a delivery is POSTed: a webhook's URL, checked and taken apart once."""

import re
import sys
from base64 import b64encode
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import SplitResult, quote, urlsplit

from yarl import URL

from worker.basics.masking import without_secrets
from worker.domain.names import path_of

SILENT_PREFIX = "worker+"
"""Evolution 2.3+ stores any URL and sends only http(s): `worker+https://...` is silent there, ours here."""

MOST_TARGETS = 16_384
"""Kept parsed, of webhooks that have a path for each event: their number times that of their events."""

_FORBIDDEN = re.compile("[\x00-\x20\x7f\ud800-\udfff]")
_NOT_ALLOWED = re.compile(r"%(?![0-9A-Fa-f]{2})|[^\w.~:/?#\[\]@!$&'()*+,;=%-]+", re.ASCII)
"""Outside RFC 3986's characters (2.1 to 2.3): what is sent percent-encoded, a `%` that begins no pair of digits too."""


class BadUrl(ValueError):
    """The webhook's URL cannot be POSTed to; the text says why, without credentials."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL with its parts. Credentials stand in `url` and `authorization` alone, which no repr shows.

    `path`, with the query, is what the HTTP client sends (RFC 9112, 3.2.1), None: it cannot. `authorization` is the
    URL's credentials as the header of that name (RFC 7617), `origin` its scheme, host and port (RFC 9110, 4.3.1),
    `place` what is connected to: the host in lower case, without brackets, and the port.
    """

    url: str = field(repr=False)
    place: tuple[str, int]
    path: str | None = field(repr=False)
    authorization: str | None = field(repr=False)
    origin: str
    server: str = field(init=False)
    """Host and port, as people write them."""

    def __post_init__(self) -> None:
        host, port = self.place
        # Interned: ten thousand webhooks of one receiver ask for one origin, by one object.
        object.__setattr__(self, "origin", sys.intern(self.origin))
        object.__setattr__(self, "server", sys.intern(f"[{host}]:{port}" if ":" in host else f"{host}:{port}"))

    @property
    def host(self) -> str:
        return self.place[0]

    @property
    def sent(self) -> URL | None:
        """As the HTTP client sends it, without a fragment. Made anew each time: kept, it is 400 bytes a webhook."""
        return None if self.path is None else URL(self.origin + self.path, encoded=True)

    @property
    def bare(self) -> str:
        """The URL without credentials, query and fragment, each of which may hold a secret."""
        return without_secrets(self.url)


@lru_cache(maxsize=MOST_TARGETS)
def target_of(url: str, kind: str | None = None) -> Target:
    """A webhook's target, for the event `kind` if it has a path for each. Raises BadUrl."""
    return parsed(plain_url(url) if kind is None else target_url(url, kind))


def plain_url(url: str) -> str:
    """The URL itself, checked. Raises BadUrl."""
    url = url.removeprefix(SILENT_PREFIX)
    try:
        parts = urlsplit(url)
        host, port = _host(parts), parts.port
    except ValueError:  # its text quotes the URL
        raise BadUrl("the webhook's URL is malformed, or its port is not a number up to 65535") from None
    if port == 0:
        raise BadUrl("the port of the webhook's URL is 0, at which nobody can listen")
    if parts.fragment and "@" in parts.fragment and not (parts.path or parts.query or "@" in parts.netloc):
        raise BadUrl("the webhook's URL has a raw '#' in front of an '@': in a user and a password write it as %23")
    if parts.scheme.lower() not in ("http", "https"):
        raise BadUrl("the webhook's URL must begin with http:// or https://")
    if not host:
        raise BadUrl("the webhook's URL has no host")
    _check_host(host)
    if _FORBIDDEN.search(url) or "\\" in parts.netloc:
        raise BadUrl("the webhook's URL has a space, a control character or, in its host, a backslash")
    return url


def target_url(url: str, kind: str) -> str:
    """The URL of one event: its path is appended to the URL's path, the query is kept. Raises BadUrl.

    Evolution appends to the whole string, which breaks queries and doubles a trailing slash; this does not.
    """
    parts = urlsplit(plain_url(url))
    return parts._replace(path=f"{parts.path.rstrip('/')}/{path_of(kind)}").geturl()


def parsed(url: str) -> Target:
    """Any text, taken apart and not checked: what cannot be split has no host, port 0, and cannot be sent."""
    url = url.removeprefix(SILENT_PREFIX)
    try:
        parts = urlsplit(url)
        place = _host(parts), parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return Target(url, ("", 0), None, None, "")
    try:
        sent, authorization = _as_sent(parts)
    except ValueError:
        return Target(url, place, None, None, "")
    return Target(url, place, sent.raw_path_qs, authorization, f"{sent.scheme}://{sent.raw_authority}")


def is_literal(host: str) -> bool:
    """An address, or a number that HTTP clients take for one: no name server is asked for it."""
    return ":" in host or host.replace(".", "").isdigit()


def _as_sent(parts: SplitResult) -> tuple[URL, str | None]:
    """Without its credentials, and those as `Authorization`. Raises ValueError.

    What RFC 3986 allows keeps its bytes, and so does each `%2F` or `%2f` (what was signed is what arrives); anything
    else is percent-encoded as UTF-8. The WHATWG's URL standard, and with it Evolution, would send a few more
    characters bare (`|`, `^`, a lone `%`), which servers that go by the RFC refuse.
    """
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an HTTP URL")
    userinfo, at, place = parts.netloc.rpartition("@")
    sendable = parts._replace(
        netloc=f"{_encoded(userinfo)}{at}{_ascii_place(place)}",
        path=_encoded(parts.path),
        query=_encoded(parts.query),
        fragment=_encoded(parts.fragment),
    )
    found = URL(sendable.geturl(), encoded=True)
    if not at:
        return found, None
    pair = f"{found.user or ''}:{found.password or ''}".encode()
    return found.with_user(None), "Basic " + b64encode(pair).decode()


def _encoded(text: str) -> str:
    return _NOT_ALLOWED.sub(lambda found: quote(found[0], safe=""), text)


def _ascii_place(place: str) -> str:
    """Host and port as they are connected to: a name in its IDNA form, an IPv6 zone behind a bare `%`.

    Raises ValueError.
    """
    if place.startswith("["):
        return place.replace("%25", "%", 1)
    if place.isascii():
        if _NOT_ALLOWED.search(place):
            raise ValueError("no host has such a character")
        return place
    host, colon, port = place.partition(":")
    return f"{URL.build(scheme='http', host=host).raw_host}{colon}{port}"


def _host(parts: SplitResult) -> str:
    """In lower case; of an IPv6 address with its zone as RFC 4007 writes it (`fe80::1%eth0`), not as URLs do."""
    host = parts.hostname or ""
    return host.replace("%25", "%", 1) if ":" in host else host


def _check_host(host: str) -> None:
    """What no HTTP client can connect to: found here, it is reported as the webhook's fault and not as ours."""
    if ":" in host:
        _check_ipv6(host)
        return
    if is_literal(host) and not _is_ipv4(host):
        raise BadUrl("the host of the webhook's URL is a number, but no IPv4 address")
    if "%" in host:
        raise BadUrl("the host of the webhook's URL is not a valid name: it has a %")
    try:
        host.encode("idna")  # RFC 3490: labels of 1 to 63 characters that a resolver can be asked for
        _ = URL.build(scheme="http", host=host).host  # and what the HTTP client makes of it
    except ValueError:  # UnicodeError is one
        raise BadUrl("the host of the webhook's URL is not a valid name") from None


def _check_ipv6(host: str) -> None:
    """A zone names the interface of a link-local address (RFC 4007, 6): no system connects to another with one."""
    try:
        address = IPv6Address(host)
    except ValueError:
        raise BadUrl("the host of the webhook's URL is no IPv6 address") from None
    if address.scope_id is not None and not address.is_link_local:
        raise BadUrl("the address of the webhook's URL has a zone (after the %), which only link-local addresses have")


def _is_ipv4(host: str) -> bool:
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True
