"""A webhook: who wants which events, and where they go."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from worker.domain.evolution_go import ALL

T = TypeVar("T")

DEFAULT_ID = "default"
UNORDERED = "none"
"""The `order` of a webhook whose events are sent as they come."""

GLOBAL_ID = "global"
"""The operator's webhook, which hears every instance. Reserved: no instance can store this id."""


class Endpoint(NamedTuple):
    """The unit of isolation. The global webhook is one endpoint for all instances (instance "").

    A tuple, as one is made and looked up for each ordered event.
    """

    instance: str
    webhook_id: str


_endpoint = tuple.__new__
"""What a named tuple's own constructor comes to, at half of its price."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Attempts a second for the whole deployment, with a burst on top after a pause."""

    per_second: float
    burst: int


@dataclass(frozen=True, slots=True)
class Tls:
    """What a webhook has of its own for TLS, in PEM form; None: nothing.

    `client_certificate`, with chain and key, is shown to the receiver, whose own certificate may come from `ca` alone.
    """

    client_certificate: str | None = field(default=None, repr=False)
    ca: str | None = field(default=None, repr=False)


class WebhookFront:
    """What each delivery reads of a webhook, in two cache lines of its six: a base's slots come first in memory.

    `template` (request/template.py) and `lane` (admission/registry.py) are made of it at its first delivery: no fields,
    and in no comparison or copy.
    """

    __slots__ = (
        "enabled",
        "events",
        "failing_since",
        "id",
        "instance",
        "lane",
        "paused_at",
        "template",
        "timeout_ms",
        "ttl_seconds",
    )

    template: Any
    lane: Any


@dataclass(frozen=True, slots=True)
class Webhook(WebhookFront):
    """A subscription of one instance (instance "" for the global one).

    `events` holds canonical names and categories of Evolution Go; empty means all. `secrets` are Standard Webhooks
    secrets (`whsec_...`), newest first; two sign side by side during rotation, the old one until `old_secret_until`
    (Unix seconds; None: until it is taken away). `client_certificate` (with its key) and `ca` are PEM. `ignore` to
    `latest_only` are what docs/filters.md explains: `filter` is its JSON text, `ttl_seconds` has canonical names.
    Notices about the webhook go to `alert_url`. `order`: what is delivered in the order in which it came, each `chat`
    or the whole `instance`, or `none`; `order_block_seconds`: for how long a bad event may hold up those behind it.
    `order_next`: its `order` is being switched to this since `order_switch_at` (Unix milliseconds), which names the
    switch: meanwhile its events are sent in no order. An ordered webhook
    keeps what comes while it is paused: from `resumed_at` on (Unix milliseconds) the age of that counts.
    What may hold a secret never appears in a repr. `failing_since` (Unix milliseconds) is bookkeeping about the
    receiver; excluded from equality, so that recording a failure is no change of configuration. So is `disabled_at`,
    since when it has been disabled; `paused_at` is its twin (both Unix milliseconds). `instance_id`, Evolution's own
    id of the instance, is excluded too; it is there when Evolution's database is the source.

    Only what deliveries use stands here, with the defaults. What people may write is declared in
    webhooks/declaration.py; tests/webhooks/test_declaration.py names a field that stands in one of the two alone.
    """

    instance: str
    url: str = field(repr=False)
    id: str = DEFAULT_ID
    enabled: bool = True
    events: frozenset[str] = frozenset()
    by_events: bool = False
    base64: bool = False
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    timeout_ms: int | None = None
    concurrency: int | None = None
    rate_limit: RateLimit | None = None
    client_certificate: str | None = field(default=None, repr=False)
    ca: str | None = field(default=None, repr=False)
    ignore: frozenset[str] = frozenset()
    only_chats: frozenset[str] = frozenset()
    except_chats: frozenset[str] = frozenset()
    message_types: frozenset[str] = frozenset()
    filter: str | None = None
    media: str = "keep"
    thumbnails: str = "keep"
    max_body_bytes: int | None = None
    ttl_seconds: tuple[tuple[str, float], ...] = ()
    latest_only: frozenset[str] = frozenset()
    alert_url: str | None = field(default=None, repr=False)
    order: str = UNORDERED
    order_block_seconds: int = 300
    order_next: str | None = None
    order_switch_at: int | None = None
    resumed_at: int | None = None
    disabled_reason: str | None = None
    disabled_at: int | None = field(default=None, compare=False)
    paused_at: int | None = None
    instance_id: str | None = field(default=None, compare=False)
    old_secret_until: int | None = None
    failing_since: int | None = field(default=None, compare=False)

    @property
    def sent_in_order(self) -> bool:
        """Whether the ordered side sends its events; both sides do while `order` is being switched."""
        return self.order != UNORDERED or self.order_next not in (None, UNORDERED)

    @property
    def sent_as_they_come(self) -> bool:
        """Whether the unordered side sends its events."""
        return self.order == UNORDERED or self.order_next is not None

    @property
    def endpoint(self) -> Endpoint:
        return _endpoint(Endpoint, (self.instance, self.id))

    @property
    def chooses(self) -> bool:
        """Whether some of its events are told by what is in them."""
        return bool(self.ignore or self.only_chats or self.except_chats or self.message_types or self.filter)

    @property
    def slims(self) -> bool:
        """Whether it may want less of a body than Evolution published."""
        return self.media != "keep" or self.thumbnails != "keep" or self.max_body_bytes is not None

    @property
    def tls(self) -> Tls | None:
        """None: nothing of its own."""
        if self.client_certificate is None and self.ca is None:
            return None
        return Tls(self.client_certificate, self.ca)

    def timeout(self, default: float) -> float:
        """Seconds that one attempt may take; `default` is for a webhook that sets no deadline of its own."""
        return default if self.timeout_ms is None else self.timeout_ms / 1000

    def wants(self, kind: str, categories: frozenset[str] = frozenset()) -> bool:
        """Whether it asked for an event of this canonical name, or by one of these categories (Evolution Go).

        No list means all, unknown ones too.
        """
        events = self.events
        return not events or kind in events or ALL in events or not events.isdisjoint(categories)

    def signing_secrets(self, now: float) -> tuple[str, ...]:
        """The secrets that are valid at `now`, Unix seconds."""
        return valid(self.secrets, self.old_secret_until, now)


def valid(secrets: tuple[T, ...], old_until: float | None, now: float) -> tuple[T, ...]:
    """Of a webhook's secrets, or of what was made of each, newest first: those that sign at `now`."""
    return secrets[:1] if old_until is not None and now >= old_until else secrets
