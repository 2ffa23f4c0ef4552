"""A webhook as a row of the worker's own table: scalars, and JSON as text."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from sys import intern

import orjson

from worker.domain.webhook import RateLimit, Webhook
from worker.stores.own.sealing import Sealer, Unreadable
from worker.webhooks.store import LONGEST_INSTANCE, RowDamaged, RowSealed, Stored

COLUMNS = (
    *("instance", "id", "url", "enabled", "events", "by_events", "base64", "headers", "secrets"),
    *("timeout_ms", "concurrency", "rate_limit", "disabled_reason", "revision", "created_at", "updated_at"),
    "failing_since",
)
"""In this order in every SELECT."""

SEALED = ("headers", "secrets")
"""Columns that are encrypted where WEBHOOK_SECRET_KEY is set."""

PLAIN = Sealer("")


def storable(instance: str) -> bool:
    """Whether an instance of this name can have a row: databases refuse longer names and NUL."""
    return len(instance) <= LONGEST_INSTANCE and "\0" not in instance


def to_row(webhook: Webhook, sealer: Sealer = PLAIN) -> dict[str, str | int | None]:
    """Every column but revision and times. Booleans are 0 and 1."""
    rate = webhook.rate_limit
    return {
        "instance": webhook.instance,
        "id": webhook.id,
        "url": webhook.url,
        "enabled": int(webhook.enabled),
        "events": _json(sorted(webhook.events)),
        "by_events": int(webhook.by_events),
        "base64": int(webhook.base64),
        "headers": sealer.seal(_json(webhook.headers)),
        "secrets": sealer.seal(_json(_secrets_written(webhook))),
        "timeout_ms": webhook.timeout_ms,
        "concurrency": webhook.concurrency,
        "rate_limit": None if rate is None else _json({"per_second": rate.per_second, "burst": rate.burst}),
        "disabled_reason": webhook.disabled_reason,
    }


def from_row(values: Sequence[object], sealer: Sealer = PLAIN) -> Stored:
    """Reads COLUMNS. Raises RowDamaged or RowSealed, which name the webhook and the column and show no value."""
    row = dict(zip(COLUMNS, values, strict=True))
    row |= {column: _opened(row, column, sealer) for column in SEALED}
    try:
        revision, created_at = _whole(row, "revision"), _whole(row, "created_at")
        return Stored(_webhook(row), revision, created_at, _whole(row, "updated_at"))
    except _Damaged as error:
        raise RowDamaged(
            f"column `{error}` of webhook {row['id']!r} of instance {row['instance']!r} is damaged: "
            "set that webhook again",
            str(row["id"]),
        ) from None


def _opened(row: Mapping[str, object], column: str, sealer: Sealer) -> object:
    stored = row[column]
    try:
        return sealer.open(stored) if isinstance(stored, str) else stored
    except Unreadable as error:
        raise RowSealed(f"column `{column}` of webhook {row['id']!r} of instance {row['instance']!r} {error}") from None


def _webhook(row: Mapping[str, object]) -> Webhook:
    secrets, old_secret_until = _secrets_read(row, "secrets")
    return Webhook(
        instance=_text(row, "instance"),
        url=_text(row, "url"),
        id=intern(_text(row, "id")),
        enabled=bool(_whole(row, "enabled")),
        events=_shared(frozenset(_texts(row, "events"))),
        by_events=bool(_whole(row, "by_events")),
        base64=bool(_whole(row, "base64")),
        headers=_pairs(row, "headers"),
        secrets=secrets,
        old_secret_until=old_secret_until,
        timeout_ms=_optional_whole(row, "timeout_ms"),
        concurrency=_optional_whole(row, "concurrency"),
        rate_limit=_rate_limit(row, "rate_limit"),
        disabled_reason=None if row["disabled_reason"] is None else _text(row, "disabled_reason"),
        failing_since=_optional_whole(row, "failing_since"),
    )


@lru_cache(maxsize=1024)
def _shared(events: frozenset[str]) -> frozenset[str]:
    """One object for all webhooks that ask for the same: 10,000 sets of their own fill the processor's cache."""
    return events


class _Damaged(Exception):
    """The column that its text names."""


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _parsed(row: Mapping[str, object], column: str) -> object:
    try:
        value: object = orjson.loads(_text(row, column))
    except orjson.JSONDecodeError:
        raise _Damaged(column) from None
    return value


def _text(row: Mapping[str, object], column: str) -> str:
    value = row[column]
    if not isinstance(value, str):
        raise _Damaged(column)
    return value


def _whole(row: Mapping[str, object], column: str) -> int:
    value = row[column]
    if not isinstance(value, int):
        raise _Damaged(column)
    return value


def _optional_whole(row: Mapping[str, object], column: str) -> int | None:
    return None if row[column] is None else _whole(row, column)


def _texts(row: Mapping[str, object], column: str) -> list[str]:
    value = _parsed(row, column)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _Damaged(column)
    return value


def _secrets_written(webhook: Webhook) -> list[object]:
    """The old one as [secret, until], where it has an end."""
    *others, last = webhook.secrets or ("",)
    if not others or webhook.old_secret_until is None:
        return list(webhook.secrets)
    return [*others, [last, webhook.old_secret_until]]


def _secrets_read(row: Mapping[str, object], column: str) -> tuple[tuple[str, ...], int | None]:
    match _parsed(row, column):
        case [str() as new, [str() as old, int() as until]]:
            return (new, old), until
    return tuple(_texts(row, column)), None


def _pairs(row: Mapping[str, object], column: str) -> tuple[tuple[str, str], ...]:
    value = _parsed(row, column)
    if not isinstance(value, list):
        raise _Damaged(column)
    if not all(isinstance(pair, list) and [type(text) for text in pair] == [str, str] for pair in value):
        raise _Damaged(column)
    return tuple((name, text) for name, text in value)


def _rate_limit(row: Mapping[str, object], column: str) -> RateLimit | None:
    if row[column] is None:
        return None
    match _parsed(row, column):
        case {"per_second": int() | float() as rate, "burst": int() as burst}:
            return RateLimit(rate, burst)
    raise _Damaged(column)
