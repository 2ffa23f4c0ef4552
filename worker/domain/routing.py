"""Who gets an event, at which URL, under which id."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv4Address
from urllib.parse import urlsplit

from yarl import URL

from worker.domain.event import Event
from worker.domain.history import History
from worker.domain.names import path_of
from worker.domain.outcome import DeadLettered, DeadReason, Skipped, SkipReason
from worker.domain.webhook import DEFAULT_ID, Endpoint, Webhook

SILENT_PREFIX = "worker+"
"""Evolution 2.3+ stores any URL and sends only http(s): `worker+https://...` is silent there, ours here."""


class BadUrl(ValueError):
    """The webhook's URL cannot be POSTed to; the text says why, without credentials."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one webhook: the unit of retry, dead letter, id and metrics.

    `url` is where it is POSTed, `destination` what its body names (either may hold credentials, so neither
    appears in a repr), `history.attempts` how often it was tried.
    """

    id: str
    event: Event
    webhook: Webhook
    url: str = field(repr=False)
    destination: str = field(repr=False)
    history: History

    @property
    def endpoint(self) -> Endpoint:
        return self.webhook.endpoint

    @property
    def attempt(self) -> int:
        """The number of the attempt that is next or under way, from 1."""
        return self.history.attempts + 1


def addressees(webhooks: Sequence[Webhook], operators: Webhook | None, wanted: str | None) -> Sequence[Webhook]:
    """Whom an event may go to: the instance's webhooks and the operator's, or only the one with the id `wanted`."""
    known = [*webhooks, operators] if operators else webhooks
    return known if wanted is None else [webhook for webhook in known if webhook.id == wanted]


def route(
    event: Event,
    history: History,
    webhook: Webhook,
    neighbours: Sequence[Webhook],
    *,
    dead_when_disabled: bool = False,
) -> Delivery | Skipped | DeadLettered:
    """Filter and resolve one webhook. `neighbours` are the instance's webhooks, for the global's destination."""
    if not webhook.enabled:
        if dead_when_disabled and webhook.disabled_reason:
            return DeadLettered(DeadReason.DISABLED, f"the webhook is disabled: {webhook.disabled_reason}")
        return Skipped(SkipReason.DISABLED)
    if not webhook.wants(event.kind):
        return Skipped(SkipReason.EVENT_NOT_ENABLED)
    try:
        url = target_url(webhook.url, event.kind) if webhook.by_events else plain_url(webhook.url)
    except BadUrl as error:
        return DeadLettered(DeadReason.BAD_URL, str(error))
    return Delivery(
        id=delivery_id(history.event_id, event.instance, webhook.id),
        event=event,
        webhook=webhook,
        url=url,
        destination=destination(webhook, event.kind, neighbours),
        history=history.for_webhook(webhook.id),
    )


def delivery_id(event_id: str, instance: str, webhook_id: str) -> str:
    """The `webhook-id` header: the same in every attempt, redelivery and redrive."""
    return "msg_" + sha256(f"{event_id}\0{instance}\0{webhook_id}".encode()).hexdigest()[:32]


def destination(webhook: Webhook, kind: str, neighbours: Sequence[Webhook]) -> str:
    """What the body calls `destination`: the webhook's URL without the event's path.

    The global webhook names the instance's own URL if it has one, else the global URL with the event's
    path, by events or not (Evolution 2.3.7). Raises BadUrl in that last case.
    """
    if webhook.instance:
        return webhook.url.removeprefix(SILENT_PREFIX)
    own = next((found for found in neighbours if found.id == DEFAULT_ID and found.url), None)
    if own is not None:
        return own.url.removeprefix(SILENT_PREFIX)
    return target_url(webhook.url, kind)


_FORBIDDEN = re.compile("[\x00-\x20\x7f\ud800-\udfff]")


@lru_cache(maxsize=16384)
def plain_url(url: str) -> str:
    """The URL itself, checked. Raises BadUrl."""
    url = url.removeprefix(SILENT_PREFIX)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # its text quotes the URL
        raise BadUrl("the webhook's URL is malformed, or its port is not a number up to 65535") from None
    if port == 0:
        raise BadUrl("the port of the webhook's URL is 0, at which nobody can listen")
    if parts.scheme.lower() not in ("http", "https"):
        raise BadUrl("the webhook's URL must begin with http:// or https://")
    if not host:
        raise BadUrl("the webhook's URL has no host")
    _check_host(host)
    if _FORBIDDEN.search(url) or "\\" in parts.netloc:
        raise BadUrl("the webhook's URL has a space, a control character or, in its host, a backslash")
    return url


def _check_host(host: str) -> None:
    """What no HTTP client can connect to: found here, it is told of as the webhook's fault and not as ours."""
    if host.replace(".", "").isdigit() and not _is_ipv4(host):
        raise BadUrl("the host of the webhook's URL is a number, but no IPv4 address")
    if "%" in host and ":" not in host:  # an IPv6 address may have a zone
        raise BadUrl("the host of the webhook's URL is not a valid name: it has a %")
    try:
        host.encode("idna")  # RFC 3490: labels of 1 to 63 characters that a resolver can be asked for
        _ = URL.build(scheme="http", host=host).host  # and what the HTTP client makes of it
    except ValueError:  # UnicodeError is one
        raise BadUrl("the host of the webhook's URL is not a valid name") from None


def _is_ipv4(host: str) -> bool:
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=16384)
def target_url(url: str, kind: str) -> str:
    """The URL of one event: its path is appended to the URL's path, the query is kept. Raises BadUrl.

    Evolution appends to the whole string, which breaks queries and doubles a trailing slash; this does not.
    """
    parts = urlsplit(plain_url(url))
    return parts._replace(path=f"{parts.path.rstrip('/')}/{path_of(kind)}").geturl()
