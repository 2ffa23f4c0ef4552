"""The POST of one attempt: body, headers, signature."""

import base64
import hmac
import json
import re
from binascii import b2a_base64
from collections.abc import Mapping
from functools import lru_cache
from typing import ClassVar
from urllib.parse import quote

import msgspec
import orjson
from msgspec.structs import replace

from worker import __version__
from worker.domain.choosing.slim import Slimming, TooLarge, slim
from worker.domain.event import GO, Event
from worker.domain.headers import HeaderText, is_plain, lines_of
from worker.domain.hmac_key import HmacKey
from worker.domain.notices.formats import body_of
from worker.domain.notices.receivers import NoticeReceiver
from worker.domain.outcome import DeadReason
from worker.domain.routing import Delivery
from worker.domain.target import BadUrl, Target, target_of
from worker.domain.webhook import Tls, Webhook

USER_AGENT = f"evolution-webhook-worker/{__version__}"

_LEADING = tuple((key, b',"%s":' % key.encode()) for key in ("event", "instance", "data"))
_TRAILING = tuple((key, b',"%s":' % key.encode()) for key in ("date_time", "sender", "server_url", "apikey"))
_WITHOUT_APIKEY = _TRAILING[:-1]
_ENVELOPE = frozenset({*dict(_LEADING), *dict(_TRAILING), "destination"})

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

MOST_KEPT = 16_384
"""Webhooks of which what is the same in each request is kept: own headers, and secrets decoded and hashed."""

_ALWAYS = lines_of({"content-type": "application/json", "user-agent": USER_AGENT})

_JWT_HEADER = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}')


class Request(msgspec.Struct, frozen=True):
    """One POST, ready to send. Any part of it may hold a secret, so none appears in a repr.

    `tls`: what its connection must be made with; None: nothing of the webhook's own.
    """

    target: Target
    headers: Mapping[str, str]
    body: bytes
    tls: Tls | None = None

    def __repr__(self) -> str:
        return "Request()"

    @property
    def url(self) -> str:
        return self.target.url


class NotSendable(ValueError):
    """No request can be made of the delivery, now or later: a dead letter for `reason`, with the text as its error."""

    reason: ClassVar[DeadReason]


class BadHeaders(NotSendable):
    """The webhook's headers or secrets cannot be sent; the text names the header, never a value."""

    reason = DeadReason.BAD_HEADERS


class BodyTooLarge(NotSendable):
    """The body has more bytes than its webhook takes, without its media and thumbnails; the text has both numbers."""

    reason = DeadReason.TOO_LARGE


class NoNotice(NotSendable):
    """Somebody else published to our queue for a receiver of notices."""

    reason = DeadReason.INVALID_EVENT


def build(delivery: Delivery, now: float, *, forward_apikey: bool | None = None, replay: bool = False) -> Request:
    """The request of the next attempt; `now` is Unix time in seconds (signature and token are fresh each time).

    `forward_apikey` True: the body keeps the secret that the message carries, False: it loses it, None: Evolution API's
    `apikey` stays and Evolution Go's `instanceToken` is dropped. `replay`: somebody asked for it. Raises NotSendable.
    """
    problem = header_problem(delivery.webhook)
    if problem:
        raise BadHeaders(problem)
    event = delivery.event
    webhook = delivery.webhook
    if isinstance(webhook, NoticeReceiver):
        content = _notice(event, webhook)
    else:
        content = body(event, delivery.destination, forward_apikey=forward_apikey)
        if webhook.slims:
            content = _slim_body(content, delivery, forward_apikey=forward_apikey)
    return Request(delivery.target, _headers(delivery, content, now, replay=replay), content, webhook.tls)


def _headers(delivery: Delivery, content: bytes, now: float, *, replay: bool) -> HeaderText:
    event, webhook = delivery.event, delivery.webhook
    stamp, signed, of_instance = str(int(now)), "", ""
    secrets = webhook.signing_secrets(now)
    if secrets:
        signed = f"webhook-signature: {signature(secrets, delivery.id, stamp, content)}\r\n"
    if webhook.instance:  # Evolution 2.4 sends neither to the global webhook
        of_instance = f"x-timestamp: {int(now * 1000)}\r\n"
        instance_id = event.instance_id or webhook.instance_id
        if instance_id is not None:
            of_instance += f"x-instance-id: {_percent_encoded(instance_id)}\r\n"
    own, plain = _own_lines(webhook, int(now))
    asked_for = f"{REPLAY}: true\r\n" if replay else ""
    text = (
        f"{own}{_ALWAYS}webhook-id: {delivery.id}\r\nwebhook-timestamp: {stamp}\r\n{signed}"
        f"x-instance-name: {_percent_encoded(event.instance)}\r\nx-event-type: {_encoded_name(event.name)}\r\n"
        f"{of_instance}webhook-attempt: {delivery.attempt}\r\n{asked_for}"
    )
    return HeaderText(text, plain=plain)


def _notice(event: Event, webhook: NoticeReceiver) -> bytes:
    """Raises NoNotice."""
    try:
        return body_of(event, webhook.format)
    except ValueError as error:
        raise NoNotice(str(error)) from None


def body(event: Event, destination: str, *, forward_apikey: bool | None = None) -> bytes:
    """As the event's own Evolution writes it; see `build` for `forward_apikey`. Every value keeps its bytes."""
    if event.dialect is GO:
        return _body_of_go(event.fields, forward_token=forward_apikey is True)
    return _body_of_api(event.fields, destination, forward_apikey=forward_apikey is not False)


def _body_of_api(fields: Mapping[str, msgspec.Raw | bytes], destination: str, *, forward_apikey: bool) -> bytes:
    """Extra keys, then event, instance, data, destination, date_time, sender, server_url, apikey, as Evolution API.

    A key that the message lacks stays absent.
    """
    parts: list[bytes | msgspec.Raw] = []
    if not fields.keys() <= _ENVELOPE:
        for key, value in fields.items():
            if key not in _ENVELOPE:
                parts += (b"," + _json_text(key) + b":", value)
    for key, begun in _LEADING:
        if (found := fields.get(key)) is not None:
            parts += (begun, found)
    parts.append(_destination(destination))
    for key, begun in _TRAILING if forward_apikey else _WITHOUT_APIKEY:
        if (found := fields.get(key)) is not None:
            parts += (begun, found)
    parts.append(b"}")
    parts[0] = b"{" + parts[0][1:]
    return b"".join(parts)


@lru_cache(maxsize=MOST_KEPT)
def _destination(destination: str) -> bytes:
    return b',"destination":' + _json_text(destination)


def _body_of_go(fields: Mapping[str, msgspec.Raw | bytes], *, forward_token: bool) -> bytes:
    """The message again, byte for byte as Evolution Go writes JSON (compact), without `instanceToken` or with it."""
    kept = (item for item in fields.items() if forward_token or item[0] != "instanceToken")
    return b"{" + b",".join(_json_text(key) + b":" + bytes(value) for key, value in kept) + b"}"


def _slim_body(content: bytes, delivery: Delivery, *, forward_apikey: bool | None) -> bytes:
    """The body as its webhook wants it. Raises BodyTooLarge."""
    webhook, event = delivery.webhook, delivery.event
    asked = Slimming(webhook.media == "strip", webhook.thumbnails == "strip", webhook.max_body_bytes)
    data = bytes(event.fields.get("data", b""))
    cut = slim(data, asked, len(content) - len(data))
    if isinstance(cut, TooLarge):
        most = asked.max_body_bytes
        raise BodyTooLarge(f"the body has {cut.body_bytes} bytes without media and thumbnails, {most} are allowed")
    if cut is data:
        return content
    smaller = replace(event, fields={**event.fields, "data": cut})
    return body(smaller, delivery.destination, forward_apikey=forward_apikey)


def _json_text(text: str) -> bytes:
    try:
        return orjson.dumps(text)
    except orjson.JSONEncodeError:  # an unpaired surrogate, which only the standard library writes
        return json.dumps(text).encode()


def _own_lines(webhook: Webhook, now: int) -> tuple[str, bool]:
    """`own_headers` as text, and whether it is plain."""
    if not webhook.headers:
        return "", True
    if _own_headers(webhook.headers)[1] is None:
        return _lines(webhook.headers)
    return lines_of(own_headers(webhook, now)), False


@lru_cache(maxsize=MOST_KEPT)
def _lines(headers: tuple[tuple[str, str], ...]) -> tuple[str, bool]:
    sent, _ = _own_headers(headers)
    return lines_of(sent), is_plain(sent)


def own_headers(webhook: Webhook, now: int) -> dict[str, str]:
    """The webhook's own headers that may be sent; `jwt_key` becomes a bearer token valid for ten minutes."""
    if not webhook.headers:
        return {}
    sent, key = _own_headers(webhook.headers)
    headers = dict(sent)
    if key is not None:
        headers["Authorization"] = "Bearer " + _token(key, now)
    return headers


@lru_cache(maxsize=MOST_KEPT)
def _own_headers(headers: tuple[tuple[str, str], ...]) -> tuple[Mapping[str, str], str | None]:
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


def problem_with(webhook: Webhook) -> str | None:
    """Why no delivery of the webhook can be sent, as its dead letters say it; None: each can be."""
    try:
        target = target_of(webhook.url)
        for secret in webhook.secrets:
            secret_key(secret)
    except (BadUrl, BadHeaders) as error:
        return str(error)
    return header_problem(webhook) if target.sent else "the HTTP client cannot use the webhook's URL"


def header_problem(webhook: Webhook) -> str | None:
    """Why a webhook's headers cannot be sent (RFC 9110 section 5), or None. Names the header, not its value."""
    return _header_problem(webhook.headers) if webhook.headers else None


@lru_cache(maxsize=MOST_KEPT)
def _header_problem(headers: tuple[tuple[str, str], ...]) -> str | None:
    for name, value in headers:
        if not _TOKEN.fullmatch(name):
            return f"the header name {name[:80]!r} is empty or holds a character that RFC 9110 forbids"
        if name.lower() == "jwt_key":  # signs, is not sent
            if not value:
                return f"the value of header {name!r} is empty, so it signs nothing"
        elif _NOT_SENDABLE.search(value):
            return f"the value of header {name[:80]!r} holds a control character or an unpaired surrogate"
    return None


_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_SENDABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")


def signature(secrets: tuple[str, ...], message_id: str, timestamp: str, content: bytes) -> str:
    """Standard Webhooks 1.0: `v1,<base64 HMAC-SHA256 of id.timestamp.body>`, one for each secret."""
    prefix = f"{message_id}.{timestamp}.".encode()
    return " ".join([f"v1,{_base64(_signing_key(secret).digest(prefix, content))}" for secret in secrets])


@lru_cache(maxsize=MOST_KEPT)
def _signing_key(secret: str) -> HmacKey:
    """Raises BadHeaders."""
    return HmacKey(secret_key(secret))


def _base64(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).decode()


def secret_key(secret: str) -> bytes:
    """The key of a `whsec_<base64>` secret. Raises BadHeaders."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise BadHeaders("a signing secret must be whsec_ followed by base64")
    return key


_UNRESERVED = re.compile(r"[\w.~-]*+", re.ASCII)  # RFC 3986, 2.3


def _percent_encoded(text: str) -> str:
    return text if _UNRESERVED.fullmatch(text) else quote(text, safe="")


_encoded_name = lru_cache(maxsize=1024)(_percent_encoded)
"""Of events: the same few all day."""
