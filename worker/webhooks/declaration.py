"""Every field of a webhook, declared once: what the API, the command line, files and rows make of it derives from here.

A new field is an entry of FIELDS, an attribute of `Webhook` (which has its default), a step of
stores/own/steps.py for its column, and its use.
"""

import dataclasses
import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from worker.domain.choosing.choices import IGNORABLE, MOST_CHATS, MOST_TYPES
from worker.domain.choosing.slim import LARGEST_BODY, SMALLEST_BODY
from worker.domain.choosing.timely import MOST_EVENTS
from worker.domain.webhook import GLOBAL_ID, Webhook
from worker.webhooks import certificates, checks
from worker.webhooks.compounds import Headers, Rate, Words
from worker.webhooks.documents import Filter, Seconds
from worker.webhooks.kind import Kind
from worker.webhooks.scalars import Authorities, Choice, Flag, Name, OptionalUrl, Pem, Url, Whole
from worker.webhooks.signing import Secrets
from worker.webhooks.store import LONGEST_ID, LONGEST_INSTANCE

_DEFAULTS = {attribute.name: attribute.default for attribute in dataclasses.fields(Webhook)}


class Kept(Enum):
    """Whether a set over the API that leaves the field out keeps what is stored."""

    ALWAYS = auto()
    """Clients that were written for Evolution do not know the field, and a client that does cannot read back masks."""
    NESTED = auto()
    """As Evolution: 2.x (nested in `webhook`) keeps it, in 1.x what is left out has its default."""
    NEVER = auto()


@dataclass(frozen=True, slots=True)
class Spelling:
    """A field's names in Evolution's request shapes: 1.x (flat), 2.0 (flat), 2.1 and later (nested)."""

    v1: str
    v20: str
    v21: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field. `name` is that of Webhook's attribute, its column, and its key in files and answers."""

    name: str
    kind: Kind
    help: str
    """For the command line, and for the API's document where `about` has no other words."""
    about: str = ""
    example: object = None
    nullable: bool = True
    """Whether JSON's null stands for the default."""
    kept: Kept = Kept.ALWAYS
    secret: bool = False
    """Sealed in its column, left out of an export, shown masked, and never quoted."""
    evolution: Spelling | None = None
    """Of a field that Evolution's webhooks have, too: an import from there sets it."""
    beside: str = ""
    """A second attribute of Webhook that the kind's value holds."""
    request: str = ""
    """Its name in requests and on the command line, where it has another one."""
    synonyms: tuple[str, ...] = ()
    option: str = ""
    """The command line's, where it is not `request`."""
    clear: tuple[str, str] = ("", "")
    """An option that empties the field, and its help."""
    since_first: bool = False
    """Its column is as old as the table, and holds no NULL. In any other one NULL is the default."""

    @property
    def requested(self) -> str:
        return self.request or self.name

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every name that a request may use for it."""
        known = self.evolution
        evolutions = (known.v1, known.v20, known.v21) if known else ()
        first, *others = self.requested.split("_")
        camel = first + "".join(map(str.capitalize, others))
        return tuple(dict.fromkeys((*evolutions, self.requested, camel, *self.synonyms)))

    @property
    def default(self) -> object:
        """dataclasses.MISSING: there is none, the field is required."""
        return _DEFAULTS[self.name]

    @property
    def required(self) -> bool:
        return self.default is dataclasses.MISSING

    @property
    def hidden(self) -> bool:
        """Whether its value may hold a secret, so that no text quotes it."""
        return self.secret or self.kind.confidential

    def value_in(self, webhook: Webhook) -> Any:
        value = getattr(webhook, self.name)
        return (value, getattr(webhook, self.beside)) if self.beside else value

    def attributes(self, value: Any) -> dict[str, Any]:
        """The arguments of Webhook that hold it."""
        return dict(zip((self.name, self.beside), value, strict=True)) if self.beside else {self.name: value}

    def plain_in(self, webhook: Webhook) -> object:
        """JSON; None where there is no value."""
        value = self.value_in(webhook)
        return None if value is None else self.kind.plain(value)

    def shown_in(self, webhook: Webhook) -> object:
        """JSON without secrets."""
        value = self.value_in(webhook)
        return self.kind.masked(value) if self.hidden and value is not None else self.plain_in(webhook)

    def unmasked(self, plain: object, before: Webhook) -> object:
        """The plain form that is meant, where what was shown of `before` may have been sent back."""
        return self.kind.unmasked(plain, self.value_in(before))


LONGEST_PEM = 32_768
"""Characters: a chain of a dozen certificates."""

ID = re.compile(r"[A-Za-z0-9._-]+")
"""What a webhook's id is made of."""

_MADE_OF = "letters without accents, digits, dots, dashes and underscores"

FIELDS: tuple[Field, ...] = (
    Field(
        name="instance",
        kind=Name(LONGEST_INSTANCE, checks.name, least=1),
        help="the instance's name, exactly as Evolution has it",
        about="the instance's name",
        nullable=False,
        synonyms=("instanceName",),
        since_first=True,
    ),
    Field(
        name="id",
        kind=Name(LONGEST_ID, checks.name, 1, ID.pattern, GLOBAL_ID, "the operator's global webhook", _MADE_OF),
        help="which of the instance's webhooks (default: default)",
        about="which of the instance's webhooks; `default` if left out",
        nullable=False,
        since_first=True,
    ),
    Field(
        name="url",
        kind=Url(8192, checks.url),
        help="http:// or https:// URL",
        about="http:// or https:// with a host; with `enabled` false it may be left out, and stays",
        example="https://hooks.example/evolution",
        nullable=False,
        kept=Kept.NEVER,
        evolution=Spelling("url", "url", "url"),
        since_first=True,
    ),
    Field(
        name="enabled",
        kind=Flag(),
        help="deliver or not",
        nullable=False,
        kept=Kept.NEVER,
        evolution=Spelling("enabled", "enabled", "enabled"),
        since_first=True,
    ),
    Field(
        name="events",
        kind=Words(100, checks.event, checks.EVENTS),  # each wrong one costs a search for the nearest
        help="wanted events; none: all",
        about="the events wanted; empty or left out: all",
        kept=Kept.NEVER,
        evolution=Spelling("events", "events", "events"),
        option="event",
        clear=("all-events", "want all events again"),
        since_first=True,
    ),
    Field(
        name="by_events",
        kind=Flag(),
        help="append the event's path to the URL",
        nullable=False,
        kept=Kept.NESTED,
        evolution=Spelling("webhook_by_events", "webhookByEvents", "byEvents"),
        since_first=True,
    ),
    Field(
        name="base64",
        kind=Flag(),
        help="stored and shown; Evolution itself embeds media",
        nullable=False,
        kept=Kept.NESTED,
        evolution=Spelling("webhook_base64", "webhookBase64", "base64"),
        since_first=True,
    ),
    Field(
        name="headers",
        kind=Headers(64),
        help="own headers; all given anew; '' for none",
        about="the webhook's own",
        secret=True,
        evolution=Spelling("headers", "headers", "headers"),
        option="header",
        since_first=True,
    ),
    Field(
        name="secrets",
        kind=Secrets(2),
        help="whsec_...; `generate` makes one and shows it once; '' removes it",
        about="Standard Webhooks secret, write only; two, newest first, sign side by side; `generate` makes one, "
        "which the answer shows this once",
        secret=True,
        beside="old_secret_until",
        request="secret",
        since_first=True,
    ),
    Field(
        name="timeout_ms",
        kind=Whole(1, 300_000),
        help="deadline of one attempt, in milliseconds; '' for the worker's",
        about="deadline of one attempt, in milliseconds",
    ),
    Field(
        name="concurrency", kind=Whole(1, 1000), help="attempts at once; '' for the worker's", about="attempts at once"
    ),
    Field(
        name="rate_limit",
        kind=Rate(per_second=10_000, burst=100_000),
        help="attempts a second, for the whole deployment; '' for no limit",
        about="attempts a second, for the whole deployment",
    ),
    Field(
        name="client_certificate",
        kind=Pem(LONGEST_PEM, certificates.client_certificate),
        help="PEM file with the certificate, its chain and its key, shown to the receiver (mutual TLS); '' for none",
        about="shown to the receiver (mutual TLS): certificate, chain, unencrypted key, in PEM form; write only",
        secret=True,
        option="client_certificate_file",
    ),
    Field(
        name="ca",
        kind=Authorities(LONGEST_PEM, certificates.authorities),
        help="PEM file with the authorities that its receiver's certificate must come from; '' for the system's",
        about="the only authorities that the receiver's certificate may come from, in PEM form; none: the system's",
        option="ca_file",
    ),
    Field(
        name="ignore",
        kind=Words(len(IGNORABLE), checks.ignorable, IGNORABLE),
        help=f"leave out events of these: {', '.join(IGNORABLE)}; '' for none",
        about="events of these are left out",
    ),
    Field(
        name="only_chats",
        kind=Words(MOST_CHATS, checks.chat),
        help="only events of these chats: JIDs, or phone numbers in digits; '' for all",
        about="only events of these chats, and of none: JIDs, or phone numbers in digits",
    ),
    Field(
        name="except_chats",
        kind=Words(MOST_CHATS, checks.chat),
        help="no event of these chats: JIDs, or phone numbers in digits; '' for none",
        about="no event of these chats: JIDs, or phone numbers in digits",
    ),
    Field(
        name="message_types",
        kind=Words(MOST_TYPES, checks.message_type),
        help="only these of Evolution's message types, such as imageMessage; '' for all",
        about="only these of Evolution's message types, such as imageMessage, and events without one",
    ),
    Field(
        name="filter",
        kind=Filter(),
        help="what must hold of an event, as JSON (docs/filters.md); '' for nothing",
        about="what must hold of an event: paths, operators, values; an object, or its JSON as text",
        example={"data.key.fromMe": False},
    ),
    Field(name="media", kind=Choice(("keep", "strip")), help="base64 in events: as it is, or its size and hash alone"),
    Field(name="thumbnails", kind=Choice(("keep", "strip")), help="thumbnails in events: as they are, or null"),
    Field(
        name="max_body_bytes",
        kind=Whole(SMALLEST_BODY, LARGEST_BODY),
        help="a larger body loses media and thumbnails; still larger, it becomes a dead letter; '' for no limit",
        about="a larger body loses media and thumbnails; still larger, it becomes a dead letter",
    ),
    Field(
        name="ttl_seconds",
        kind=Seconds(),
        help="skip such an event when it is older at its attempt; '' for never",
        about="event name to seconds: an event that is older at its attempt is skipped",
        example={"QRCODE_UPDATED": 60},
    ),
    Field(
        name="latest_only",
        kind=Words(MOST_EVENTS, checks.single_event, checks.SINGLE_EVENTS),
        help="skip such an event when a newer one of its chat has come; '' for never",
        about="such an event is skipped when a newer one of its chat has come before it was sent",
    ),
    Field(
        name="alert_url",
        kind=OptionalUrl(8192, checks.url),
        help="where notices about this webhook go (docs/notices.md): a URL of yours, Slack's or Discord's; '' for none",
        about="where notices about this webhook go: http:// or https://; an incoming webhook of Slack or Discord, too",
        example="https://hooks.slack.com/services/T0/B0/X0",
    ),
    Field(
        name="order",
        kind=Choice(("none", "chat", "instance")),
        help="deliver each chat's events, or all of the instance's, in the order in which they came",
    ),
    Field(
        name="order_block_seconds",
        kind=Whole(1, 86_400),
        help="for how long an event that the receiver answers with failures may hold up those behind it; '' for 300",
        about="for how long an event that the receiver answers with failures may hold up those behind it",
    ),
)
"""In the order of files, of problems, and of the command line's help."""

ADDRESS = ("instance", "id")
"""The fields that say which webhook is meant."""

CONTENT: tuple[Field, ...] = tuple(field for field in FIELDS if field.name not in ADDRESS)
"""All others: what the webhook says."""

CHOICES = (
    *("ignore", "only_chats", "except_chats", "message_types", "filter"),
    *("media", "thumbnails", "max_body_bytes", "ttl_seconds", "latest_only"),
)
"""What a webhook chooses of events and their bodies; the global one by WEBHOOK_GLOBAL_<FIELD>."""

BY_NAME = {field.name: field for field in FIELDS}

RESPELLED: dict[str, Spelling] = {
    field.name: field.evolution for field in FIELDS if field.evolution and field.evolution.v1 != field.evolution.v20
}
"""The fields that Evolution's versions call by different names."""
