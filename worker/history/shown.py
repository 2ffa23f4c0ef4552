"""History as people and programs read it: rows, a delivery's time line, a webhook's health."""

from collections.abc import Iterator, Mapping, Sequence

from worker.basics.moments import iso
from worker.basics.printable import printable
from worker.domain.history import Row
from worker.domain.outcome import Delivered
from worker.history.asked import written
from worker.history.store import Health, Kept, Page, Span

Shown = dict[str, object]

FIELDS = (
    *("at", "id", "event_id", "instance", "webhook", "event", "chat", "outcome", "reason", "attempt"),
    *("status", "ms", "error", "answer", "size", "host", "replica"),
)
"""Of a row, in this order; what programs rely on."""

_COLUMNS = ("at", "instance", "webhook", "event", "outcome", "reason", "attempt", "status", "ms", "id", "error")
_WIDEST = 60
_EXCERPT = 200
"""Characters of an answer that the time line shows; --json has all that is kept."""

UNKNOWN_HEALTH = Health(Span(0, 0), Span(0, 0), None, None)
"""Of a webhook that had no attempt."""


def row(kept: Kept) -> Shown:
    """`at` is RFC 3339 in UTC, with milliseconds."""
    found: Shown = {**kept.row._asdict(), "at": _time(kept.row.at), "replica": kept.replica}
    return {name: found[name] for name in FIELDS}


def resent(found: Row) -> Shown:
    """What came of an attempt that somebody asked for; `ok`: the receiver took it."""
    ok = found.outcome == Delivered.__name__
    return {"id": found.id, "ok": ok, **{name: getattr(found, name) for name in ("status", "ms", "error", "answer")}}


def page(found: Page) -> Shown:
    """`next` is what to ask the next page with; None: this is the last one."""
    return {"items": [row(kept) for kept in found.items], "next": written(found.following)}


def health(found: Health) -> Shown:
    """`success` is the share of attempts that succeeded, 0 to 1; None without any."""
    return {
        "hour": _span(found.hour),
        "day": _span(found.day),
        "last_success": None if found.last_success is None else _time(found.last_success),
        "last_failure": None if found.last_failure is None else _time(found.last_failure),
    }


def _span(span: Span) -> Shown:
    share = round(span.delivered / span.attempts, 4) if span.attempts else None
    return {"attempts": span.attempts, "success": share}


def health_line(name: str, found: Health) -> str:
    """`default: 12 of 14 attempts succeeded within the hour, 300 of 310 within the day; last success ...`"""
    spans = (("hour", found.hour), ("day", found.day))
    counts = ", ".join(f"{span.delivered} of {span.attempts} attempts succeeded within the {of}" for of, span in spans)
    times = (("success", found.last_success), ("failure", found.last_failure))
    lasts = ", ".join(f"last {what} {'none' if at is None else _time(at)}" for what, at in times)
    return printable(f"{name}: {counts}; {lasts}")


def table(rows: Sequence[Kept]) -> Iterator[str]:
    """A line a row, with a head."""
    cells = [[_cell(row(kept)[column]) for column in _COLUMNS] for kept in rows]
    lines = [[column.upper() for column in _COLUMNS], *cells]
    widths = [max(len(line[at]) for line in lines) for at in range(len(_COLUMNS) - 1)]
    for line in lines:
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]).rstrip()


def _cell(value: object) -> str:
    return "-" if value is None else printable(str(value))[:_WIDEST]


def timeline(rows: Sequence[Kept]) -> Iterator[str]:
    """One delivery, oldest first, as sentences. `rows` has one at least."""
    first = rows[-1].row
    yield printable(f"{first.id}: {first.event or 'no event'} of {first.instance or 'no instance'}")
    yield printable(f"  webhook {first.webhook or '-'}, chat {first.chat or '-'}, event {first.event_id}")
    for kept in rows:
        yield from map(printable, _moment(kept))


def _moment(kept: Kept) -> Iterator[str]:
    found = kept.row
    tried = f"attempt {found.attempt} to {found.host}" if found.ms is not None else "no attempt"
    took = f" after {found.ms} ms" if found.ms is not None else ""
    answered = f" answered {found.status}" if found.status is not None else ""
    yield f"{_time(found.at)}  {tried}{answered}{took}: {found.outcome} ({found.reason}), by {kept.replica}"
    if found.error:
        yield f"    {found.error}"
    if found.answer:
        excerpt = " ".join(found.answer.split())
        yield f"    answer: {excerpt[:_EXCERPT]}{'...' if len(excerpt) > _EXCERPT else ''}"


def by_webhook(found: Mapping[str, Health] | None, webhook_id: str) -> Shown | None:
    """The health of one of an instance's webhooks; None: it is not known now."""
    return None if found is None else health(found.get(webhook_id, UNKNOWN_HEALTH))


def _time(ms: int) -> str:
    try:
        return iso(ms / 1000)
    except (OverflowError, ValueError, OSError):  # of a clock that was wrong
        return f"{ms} ms"
