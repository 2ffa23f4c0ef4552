"""The fields of a webhook as people write them, checked: every problem at once, each with field and remedy.

Kept apart from request dialects: a dialect maps its own spelling onto these names and calls `webhook_from`.
"""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from worker.domain.names import KNOWN, SYNONYMS, canonical
from worker.domain.request import NOT_OVERRIDABLE, header_problem
from worker.domain.target import BadUrl, target_of
from worker.domain.webhook import DEFAULT_ID, GLOBAL_ID, RateLimit, Webhook
from worker.webhooks.signing import SecretEntry, SecretFields, secret_entries, value_of
from worker.webhooks.store import LONGEST_ID, LONGEST_INSTANCE

MOST_EVENTS = 100
"""Entries of a webhook's list: there are three dozen, and each wrong one costs a search for the nearest."""

RESEMBLANCE = 0.6
"""difflib's ratio below which a name is another one, and not a slip."""

_VALUE_SHOWN = frozenset({"instance", "id", "enabled", "events", "by_events", "base64"})
_VALUE_SHOWN |= {"timeout_ms", "concurrency", "rate_limit"}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field (`events[0]`): value, if it may be shown, and what is allowed."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class InvalidWebhook(ValueError):
    """`problems`: all of them, in the order of the fields. No text holds a secret, header value or URL."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


ID = re.compile(r"[A-Za-z0-9._-]+")
"""What a webhook's id is made of."""

GENERATE = "generate"
"""In the place of a secret: the worker makes one and shows it once."""


def webhook_from(fields: Mapping[str, object]) -> Webhook:
    """`instance`, `url` and any of Fields' others -> a webhook. Raises InvalidWebhook."""
    try:
        checked = Fields.model_validate(dict(fields))
    except ValidationError as error:
        raise InvalidWebhook(tuple(_problem(found) for found in error.errors(include_url=False))) from None
    return Webhook(
        instance=checked.instance,
        url=checked.url,
        id=checked.id,
        enabled=checked.enabled,
        events=frozenset(checked.events or ()),
        by_events=checked.by_events,
        base64=checked.base64,
        headers=tuple((checked.headers or {}).items()),
        secrets=tuple(map(value_of, checked.secrets)),
        timeout_ms=checked.timeout_ms,
        concurrency=checked.concurrency,
        rate_limit=checked.rate_limit.domain() if checked.rate_limit else None,
        old_secret_until=next((item.until for item in checked.secrets if isinstance(item, SecretFields)), None),
    )


def fields_of(webhook: Webhook) -> dict[str, object]:
    """What `webhook_from` makes this webhook of, but instance, id and the reason why it is disabled."""
    rate = webhook.rate_limit
    return {
        "url": webhook.url,
        "enabled": webhook.enabled,
        "events": sorted(webhook.events),
        "by_events": webhook.by_events,
        "base64": webhook.base64,
        "headers": dict(webhook.headers),
        "secrets": secret_entries(webhook),
        "timeout_ms": webhook.timeout_ms,
        "concurrency": webhook.concurrency,
        "rate_limit": {"per_second": rate.per_second, "burst": rate.burst} if rate else None,
    }


def new_secret(random_bytes: Callable[[int], bytes]) -> str:
    """A signing secret of 32 bytes."""
    return "whsec_" + base64.b64encode(random_bytes(32)).decode()


def warnings(webhook: Webhook) -> tuple[str, ...]:
    """What is accepted, but does not do what its writer may expect."""
    ignored = sorted(name for name, _ in webhook.headers if name.lower() in NOT_OVERRIDABLE - {"jwt_key"})
    found = [f"header {name!r} is set by the worker itself and not taken from the webhook" for name in ignored]
    if webhook.base64:
        found.append(
            "webhook_base64 is stored only: Evolution embeds media while its own webhook of the instance is "
            "enabled with base64"
        )
    return tuple(found)


def _event(name: str) -> str:
    kind = canonical(name)
    if kind in KNOWN:
        return kind
    near = _nearest(kind[:64])
    raise ValueError(f"is not an event; {f'the nearest is {near}' if near else _ALLOWED}")


def _nearest(kind: str) -> str | None:
    """The event that was probably meant: a slip in its name, or only its beginning."""
    names = sorted({*KNOWN, *SYNONYMS})
    close = get_close_matches(kind, names, n=1, cutoff=RESEMBLANCE)
    begun = [name for name in names if len(kind) > 1 and name.startswith(kind)]
    return next(iter(close + begun), None)


_ALLOWED = f"there are {', '.join(sorted(KNOWN))}"


def _url(url: str) -> str:
    try:
        target_of(url)
    except BadUrl as error:
        raise ValueError(str(error).removeprefix("the webhook's URL ")) from None
    return _text(url)


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds an unpaired surrogate, which no text can store") from None
    return text


def _name(text: str) -> str:
    if any(char < " " or char == "\x7f" for char in _text(text)):
        raise ValueError("holds a control character")
    return text


class RateFields(BaseModel):
    """Attempts a second for the whole deployment."""

    model_config = ConfigDict(extra="forbid", strict=True)

    per_second: float = Field(gt=0, le=10_000, allow_inf_nan=False)
    burst: int = Field(default=1, ge=1, le=100_000)

    def domain(self) -> RateLimit:
        return RateLimit(self.per_second, self.burst)


class Fields(BaseModel):
    """Every field, by its own name; `secrets` newest first."""

    model_config = ConfigDict(extra="forbid", strict=True)

    instance: Annotated[str, Field(min_length=1, max_length=LONGEST_INSTANCE), AfterValidator(_name)]
    id: Annotated[str, Field(min_length=1, max_length=LONGEST_ID, pattern=rf"^{ID.pattern}$")] = DEFAULT_ID
    url: Annotated[str, Field(max_length=8192), AfterValidator(_url)]
    enabled: bool = True
    events: Annotated[list[Annotated[str, AfterValidator(_event)]], Field(max_length=MOST_EVENTS)] | None = None
    by_events: bool = False
    base64: bool = False
    headers: dict[str, Annotated[str, AfterValidator(_text)]] | None = Field(default=None, max_length=64)
    secrets: list[SecretEntry] = Field(default=[], max_length=2)
    timeout_ms: int | None = Field(default=None, ge=1, le=300_000)
    concurrency: int | None = Field(default=None, ge=1, le=1000)
    rate_limit: RateFields | None = None

    @field_validator("id")
    @classmethod
    def _not_reserved(cls, webhook_id: str) -> str:
        if webhook_id == GLOBAL_ID:
            raise ValueError("is reserved for the operator's global webhook")
        return webhook_id

    @field_validator("secrets")
    @classmethod
    def _newest_stays(cls, secrets: list[str | SecretFields]) -> list[str | SecretFields]:
        if secrets and isinstance(secrets[0], SecretFields):
            raise ValueError("only the second can have an end")
        return secrets

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: dict[str, str] | None) -> dict[str, str] | None:
        pairs = (headers or {}).items()
        found = [header_problem(Webhook("", "", headers=(pair,))) for pair in pairs]
        lower = [name.lower() for name, _ in pairs]
        found += [f"header {name!r} appears twice" for name in sorted(set(lower)) if lower.count(name) > 1]
        if any(found):
            raise ValueError("; ".join(filter(None, found)))
        return headers


def _problem(error: Any) -> Problem:
    path = [part for part in error["loc"] if part not in ("plain", "expiring")]
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    message = error["msg"].removeprefix("Value error, ")
    message = _WORDS.get(error["type"], message)
    root = error["loc"][0] if error["loc"] else ""
    if root in _VALUE_SHOWN and error["type"] not in _WORDS:
        value = _AS_JSON.get(repr(error["input"]), f"{error['input']!r:.100}")
        message = f"{value} {message}" if error["type"] == "value_error" else f"{message}, not {value}"
    return Problem(field.removesuffix(".[key]"), message)


_WORDS = {"missing": "is required", "extra_forbidden": "is not a field of a webhook"}
_AS_JSON = {"None": "null", "True": "true", "False": "false"}
