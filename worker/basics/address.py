"""An address that may carry credentials: parsed strictly or refused, and never shown with its password."""

import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_to_bytes

from worker.basics.masking import MASK

_PARTS = re.compile(r"(?s)([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(?:\?([^#]*))?(#.*)?")
_ESCAPES = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_LONGEST = 4096
_CREDENTIALS_ONLY = "in user and password, "


@dataclass(frozen=True, slots=True)
class Address:
    """`scheme://user:password@host:port/path?options`, its parts percent-decoded (`path` is as written).

    Its only text, however it is made (str, repr, format, a traceback), has the user and `***` for the password,
    and no options. `host` is without the brackets of an IPv6 address; "" where the scheme allows none.
    """

    scheme: str
    host: str
    path: str = ""
    port: int | None = None
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)

    @classmethod
    def parse(cls, text: str, schemes: Collection[str], *, without_host: bool = False) -> "Address":
        """Raises ValueError, worded to follow "must be", which never quotes user, password, host or options."""
        scheme, authority, path, query = _split(text, schemes)
        credentials, at, server = authority.rpartition("@")
        user, colon, password = credentials.partition(":")
        _only_encoded(credentials, "@[]", _CREDENTIALS_ONLY)
        host, port = _server(server)
        if not host and not without_host:
            raise ValueError(f"a URI with a host: {scheme}://<host>")
        return cls(
            scheme,
            host,
            path,
            port,
            _decoded(user) if at else None,
            _decoded(password) if colon else None,
            _options(query),
        )

    @property
    def server(self) -> str:
        """`host:port` as a URI has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def decoded_path(self) -> str:
        """Without the leading slash."""
        return _decoded(self.path[1:])

    def clean(self, text: str) -> str:
        """A text of others (a driver's error), with the password masked in each form that it has in a URI."""
        if not self.password:
            return text
        for form in {self.password, quote(self.password, safe=""), quote(self.password)}:
            text = text.replace(form, MASK)
        return text

    def __str__(self) -> str:
        """User shown only beside a password: alone it is often a token."""
        user = quote(self.user or "", safe="") if self.password is not None else MASK
        credentials = f"{user}:{MASK}@" if self.password is not None else f"{MASK}@"
        return f"{self.scheme}://{credentials if self.user is not None else ''}{self.server}{self.path}"

    def __repr__(self) -> str:
        return f"<{self}>"


def _split(text: str, schemes: Collection[str]) -> tuple[str, str, str, str]:
    allowed = " or ".join(f"{scheme}://" for scheme in schemes)
    match = _PARTS.fullmatch(text)
    if len(text.encode("utf-8", "replace")) > _LONGEST or match is None or match[1].lower() not in schemes:
        raise ValueError(f"a URI of at most {_LONGEST} bytes that begins with {allowed}")
    scheme, authority, path, query, fragment = match.groups(default="")
    if _CONTROLS.search(text):
        raise ValueError("a URI without control characters")
    _only_encoded(text, "\\ ")
    if _ESCAPES.search(text):
        raise ValueError("a URI in which each % begins an escape such as %2F: write % itself as %25")
    if fragment:
        raise ValueError(f"a URI without '#': {_CREDENTIALS_ONLY}write it as %23")
    if "@" in path + query:
        last = "/" if "@" in path else "?"
        encoded = f"write {last} as {quote(last, safe='')}, @ as %40"
        raise ValueError(f"a URI without an @ after a '{last}': {_CREDENTIALS_ONLY}{encoded}")
    return scheme.lower(), authority, path, query


def _only_encoded(text: str, characters: str, where: str = "") -> None:
    for character in characters:
        if character in text:
            named = {" ": "a space", "\\": "a backslash"}.get(character, f"a raw '{character}'")
            raise ValueError(f"a URI without {named}: {where}write it as {quote(character, safe='')}")


def _decoded(text: str) -> str:
    try:
        found = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise ValueError("a URI whose percent escapes are UTF-8") from None
    if _CONTROLS.search(found):
        raise ValueError("a URI whose percent escapes are no control characters")
    return found


def _server(text: str) -> tuple[str, int | None]:
    host, colon, port = text.rpartition(":") if re.search(r":[^\]]*$", text) else (text, "", "")
    if "," in host or "," in port:
        raise ValueError("a URI with one host: give one node, or a name or load balancer that stands for all")
    if colon and not (re.fullmatch(r"[0-9]{1,5}", port) and 1 <= int(port) <= 65_535):
        raise ValueError("a URI whose port is a number from 1 to 65535")
    return _host(host), int(port) if port else None


def _host(text: str) -> str:
    if text.startswith("["):
        try:
            return str(ipaddress.IPv6Address(text[1:-1] if text.endswith("]") and "%" not in text else ""))
        except ValueError:
            raise ValueError("a URI whose [host] is an IPv6 address") from None
    try:
        name = text if text.isascii() else text.encode("idna").decode()
    except UnicodeError:
        name = "-"
    if text and (len(name) > 253 or not all(map(_LABEL.fullmatch, name.removesuffix(".").split(".")))):
        raise ValueError("a URI whose host is a name, an IPv4 address or an [IPv6 address]")
    return name


def _options(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, value = map(_decoded, part.split("=", 1) if "=" in part else (part, ""))
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,39}", name):
            raise ValueError("a URI whose options are name=value, joined by &")
        if name in found:
            raise ValueError(f"a URI with the option {name!r} only once")
        found[name] = value
    return found
