"""A webhook as a row of the worker's own table: scalars, and JSON as text."""

from collections.abc import Mapping, Sequence
from typing import Any

from worker.domain.webhook import Webhook
from worker.stores.own.sealing import Sealer, Unreadable
from worker.webhooks import kind
from worker.webhooks.declaration import FIELDS
from worker.webhooks.store import RowDamaged, RowSealed, Stored

SINCE = ("disabled_at", "paused_at", "order_switch_at", "resumed_at")
"""Unix milliseconds; NULL: it is not."""

_STORED = ("revision", "created_at", "updated_at")

COLUMNS = (*(field.name for field in FIELDS), "disabled_reason", *_STORED, "failing_since", *SINCE, "order_next")
"""In this order in every SELECT: the declared fields, then what the worker itself notes down."""

SEALED = tuple(field.name for field in FIELDS if field.secret)
"""Columns that are encrypted where WEBHOOK_SECRET_KEY is set."""

PLAIN = Sealer("")

_NEVER_NULL = tuple((field.name, field.kind.read) for field in FIELDS if field.since_first)
_MAYBE_NULL = (
    *((field.name, field.kind.read) for field in FIELDS if not field.since_first),
    *((name, kind.text) for name in ("disabled_reason", "order_next")),
    *((name, kind.whole) for name in ("failing_since", *SINCE)),
)
_IN_PAIRS = tuple((field.name, field.beside) for field in FIELDS if field.beside)


def to_row(webhook: Webhook, sealer: Sealer = PLAIN) -> dict[str, str | int | None]:
    """Every column but revision and times. Booleans are 0 and 1."""
    row: dict[str, str | int | None] = {}
    for field in FIELDS:
        value = field.value_in(webhook)
        stored = None if value is None else field.kind.stored(value)
        row[field.name] = sealer.seal(stored) if field.secret and isinstance(stored, str) else stored
    since = {name: getattr(webhook, name) for name in SINCE}
    return {**row, "disabled_reason": webhook.disabled_reason, "order_next": webhook.order_next, **since}


def from_row(values: Sequence[object], sealer: Sealer = PLAIN) -> Stored:
    """Reads COLUMNS. Raises RowDamaged or RowSealed, which name the webhook and the column and show no value."""
    row = dict(zip(COLUMNS, values, strict=True))
    for column in SEALED:
        row[column] = _opened(row, column, sealer)
    attributes: dict[str, Any] = {}
    noted: dict[str, int] = {}
    try:
        for column, read in _NEVER_NULL:
            attributes[column] = read(row[column])
        for column, read in _MAYBE_NULL:
            stored = row[column]
            if stored is not None:
                attributes[column] = read(stored)
        for column in _STORED:
            number = row[column]
            if not isinstance(number, int):
                raise kind.Damaged
            noted[column] = number
    except kind.Damaged:
        raise RowDamaged(
            f"column `{column}` of webhook {row['id']!r} of instance {row['instance']!r} is damaged: "
            "set that webhook again",
            str(row["id"]),
        ) from None
    for name, beside in _IN_PAIRS:
        attributes[name], attributes[beside] = attributes[name]
    return Stored(Webhook(**attributes), **noted)


def _opened(row: Mapping[str, object], column: str, sealer: Sealer) -> object:
    stored = row[column]
    try:
        return sealer.open(stored) if isinstance(stored, str) else stored
    except Unreadable as error:
        raise RowSealed(f"column `{column}` of webhook {row['id']!r} of instance {row['instance']!r} {error}") from None
