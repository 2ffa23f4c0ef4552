"""The headers that a webhook sets itself: which are sent, which cannot be, and the token that `jwt_key` becomes."""

import base64
import hmac
import re

import orjson

from worker.domain.request.header_text import is_plain, lines_of
from worker.domain.webhook import Webhook

OURS = frozenset(
    {
        "content-type",
        "user-agent",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "x-instance-name",
        "x-event-type",
        "x-instance-id",
        "x-timestamp",
        "webhook-attempt",
    }
)
_FRAMING = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
REPLAY = "webhook-replay"
"""`true` on an attempt that somebody asked for; on no other."""

NOT_OVERRIDABLE = OURS | _FRAMING | {"jwt_key", REPLAY}
"""Names (lower case) that a webhook's own headers cannot set: ours, and those that frame the request."""

_JWT_HEADER = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}')
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_SENDABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")


def own_lines_of(webhook: Webhook) -> tuple[str, bool] | None:
    """`own_headers` as text, and whether it is plain; None: a token is among them."""
    sent, key = _own_headers(webhook.headers)
    return (lines_of(sent), is_plain(sent)) if key is None else None


def own_headers(webhook: Webhook, now: int) -> dict[str, str]:
    """The webhook's own headers that may be sent; `jwt_key` becomes a bearer token valid for ten minutes."""
    headers, key = _own_headers(webhook.headers)
    if key is not None:
        headers["Authorization"] = "Bearer " + _token(key, now)
    return headers


def _own_headers(headers: tuple[tuple[str, str], ...]) -> tuple[dict[str, str], str | None]:
    """What is sent of them, and `jwt_key`."""
    key = next((value for name, value in headers if name.lower() == "jwt_key"), None)
    never = NOT_OVERRIDABLE if key is None else NOT_OVERRIDABLE | {"authorization"}
    return {name: value for name, value in headers if name.lower() not in never}, key


def _token(key: str, now: int) -> str:
    """A JSON Web Token (RFC 7519, HS256) of any key.

    Written out because PyJWT refuses some keys, takes 15 us a token where this takes 3, and imports cryptography.
    """
    claims = {"iat": now, "exp": now + 600, "app": "evolution", "action": "webhook"}
    signed = _JWT_HEADER + b"." + _base64url(orjson.dumps(claims))
    mac = hmac.digest(key.encode(errors="surrogatepass"), signed, "sha256")
    return (signed + b"." + _base64url(mac)).decode()


def _base64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def header_problem(webhook: Webhook) -> str | None:
    """Why a webhook's headers cannot be sent (RFC 9110 section 5), or None. Names the header, not its value."""
    for name, value in webhook.headers:
        if not _TOKEN.fullmatch(name):
            return f"the header name {name[:80]!r} is empty or holds a character that RFC 9110 forbids"
        if name.lower() == "jwt_key":  # signs, is not sent
            if not value:
                return f"the value of header {name!r} is empty, so it signs nothing"
        elif _NOT_SENDABLE.search(value):
            return f"the value of header {name[:80]!r} holds a control character or an unpaired surrogate"
    return None
