"""How the console words what it shows: times, numbers, shares, states. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from worker.basics.moments import moment_of
from worker.domain.notices.receivers import PREFIX as NOTICE
from worker.domain.webhook import GLOBAL_ID, Webhook
from worker.history.store import Span, Trend

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


class Moment(NamedTuple):
    """`ago` for the eye, `exact` for whoever wants to know, `machine` for the `datetime` of a <time>."""

    ago: str
    exact: str
    machine: str


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h`, `2 d`: the largest unit that fits."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "0 s"


def moment(ms: float, now: float) -> Moment:
    """Of Unix milliseconds, seen at `now` (Unix seconds)."""
    try:
        at = datetime.fromtimestamp(ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):  # of a clock that was wrong
        return Moment(f"{ms:.0f} ms", f"{ms:.0f} ms", "")
    age = now - ms / 1000
    ago = "in " + duration(-age) if age <= -1 else "now" if age < 1 else f"{duration(age)} ago"
    return Moment(ago, f"{at:%Y-%m-%d %H:%M:%S} UTC", at.isoformat(timespec="milliseconds"))


def exact(text: str) -> str:
    """An ISO time as people read it."""
    return moment(moment_of(text) * 1000, 0).exact


def number(value: float) -> str:
    """`12,400`"""
    return f"{value:,.0f}"


def percent(part: int, whole: int) -> str:
    """`99.9 %`: never 100 while one failed, never 0 while one succeeded."""
    if not whole:
        return "none"
    share = 100 * part / whole
    if part in (0, whole):
        return f"{share:.0f} %"
    return f"{min(max(share, 0.1), 99.9):.1f} %"


def size(count: float) -> str:
    """Bytes: `812 B`, `14.2 KiB`."""
    for unit, factor in (("MiB", 1024**2), ("KiB", 1024)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count:.0f} B"


class State(NamedTuple):
    """`tone` (ok, warn, bad, off) has a shape and a colour; `word` says it, `why` in a sentence."""

    tone: str
    word: str
    why: str


UNKNOWN = "how many succeeded is not known: HISTORY=failures"


def state_of(webhook: Webhook, trend: Trend | None, *, known: bool = True, successes: bool = True) -> State:
    """How a webhook is, by its last day. `known` False: the history cannot be asked, or is off. `successes` False: it
    has no rows of attempts that succeeded (HISTORY=failures)."""
    if not webhook.enabled:
        when = f"disabled at {moment(webhook.disabled_at, 0).exact}" if webhook.disabled_at else None
        why = ", ".join(filter(None, (webhook.disabled_reason, when)))
        return State("off", "Disabled", why or "somebody disabled it")
    if webhook.paused_at is not None:
        return State("off", "Paused", "nothing is sent; it is given back when the webhook is resumed")
    if not known:
        return State("off", "Unknown", "there is no history to tell")
    if trend is None:
        return State("off", "Quiet", f"no attempt {'' if successes else 'has failed '}within a day")
    return by_trend(trend, successes=successes)


def by_trend(trend: Trend, *, successes: bool) -> State:
    """How one is that is enabled, and was tried within the day."""
    hour, day = trend.hours[0], whole_day(trend)
    recent, of = (hour, "hour") if hour.attempts else (day, "day")
    if not successes:
        return State("warn", "Had failures", f"{number(recent.attempts)} attempts failed within the {of}; {UNKNOWN}")
    if recent.delivered == 0:
        since = f"; the last success was at {moment(trend.last_success, 0).exact}" if trend.last_success else ""
        return State("bad", "Failing", f"none of {number(recent.attempts)} attempts within the {of} succeeded{since}")
    failed = recent.attempts - recent.delivered
    if failed:
        return State(
            "warn", "Unsteady", f"{number(failed)} of {number(recent.attempts)} attempts failed within the {of}"
        )
    return State("ok", "Well", f"all {number(recent.attempts)} attempts succeeded")


_IN_ORDER = {"chat": "each chat in order", "instance": "all in order"}


def in_order(webhook: Webhook) -> str:
    """What its `order` promises; a switch that is under way promises nothing yet."""
    if webhook.order_next is not None:
        return "its order is being switched"
    return _IN_ORDER.get(webhook.order, "")


def whole_day(trend: Trend) -> Span:
    return Span(sum(hour.attempts for hour in trend.hours), sum(hour.delivered for hour in trend.hours))


WIDTH, HEIGHT, STEP = 4, 24, 5
"""Of an hour's bar in a sparkline, in its units."""


class Spark(NamedTuple):
    """Bars of 24 hours, the oldest first, as two paths of SVG, and what they say in words: what failed stands on what
    was delivered. Paths, because a page of fifty webhooks has 2,400 bars: as elements they took 16 ms."""

    delivered: str
    failed: str
    width: int
    height: int
    words: str


def spark(hours: Sequence[Span]) -> Spark:
    """The tallest bar is the busiest hour; an hour with any attempt can be seen, and in it any failure."""
    most = max((hour.attempts for hour in hours), default=0) or 1
    bars = [(index * STEP, *_heights(hour, most)) for index, hour in enumerate(reversed(hours)) if hour.attempts]
    day = Span(sum(hour.attempts for hour in hours), sum(hour.delivered for hour in hours))
    words = f"last 24 hours: {number(day.attempts)} attempts, {number(day.attempts - day.delivered)} failed"
    delivered = "".join(_bar(x, HEIGHT, height) for x, height, _ in bars if height)
    failed = "".join(_bar(x, HEIGHT - below, height) for x, below, height in bars if height)
    return Spark(delivered, failed, len(hours) * STEP, HEIGHT, words)


def _heights(hour: Span, most: int) -> tuple[float, float]:
    height = max(HEIGHT * hour.attempts / most, 2.0)
    if hour.delivered == hour.attempts:
        return height, 0.0
    delivered = max(min(height * hour.delivered / hour.attempts, height - 1.5), 0.0)
    return delivered, height - delivered


def _bar(x: int, foot: float, height: float) -> str:
    return f"M{x} {foot:.1f}h{WIDTH}v-{height:.1f}h-{WIDTH}z"


def is_stored(webhook_id: str) -> bool:
    """Whether a store may have such a webhook: the operator's and the receivers of notices are settings."""
    return webhook_id != GLOBAL_ID and not webhook_id.startswith(NOTICE)


OUTCOMES = {
    "Delivered": ("ok", "Delivered"),
    "Retried": ("warn", "Failed"),
    "Parked": ("warn", "Waiting"),
    "DeadLettered": ("bad", "Given up"),
    "Skipped": ("off", "Skipped"),
}
"""Tone and words of each outcome of the history."""


def outcome(name: str) -> State:
    tone, word = OUTCOMES.get(name, ("off", name))
    return State(tone, word, name)
