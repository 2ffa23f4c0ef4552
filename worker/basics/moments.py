"""Moments in writing: RFC 3339 in UTC, the one form in which logs, headers and answers name them."""

import re
from datetime import UTC, datetime, time
from typing import Literal


def iso(seconds: float, timespec: Literal["seconds", "milliseconds"] = "milliseconds") -> str:
    """Unix seconds as `2026-01-31T12:00:00.000Z`, for readers. Raises OverflowError, ValueError, OSError."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def iso_with_offset(seconds: float) -> str:
    """The same as `2026-01-31T12:00:00.000+00:00`: log lines and messages have shown it so since 1.0."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


_AGE = re.compile(r"([0-9]{1,9})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def moment_of(text: str) -> float:
    """Unix seconds of an ISO 8601 time, UTC unless it says otherwise. Raises ValueError, OverflowError."""
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def moment_or_age(text: str, now: float) -> float:
    """Unix seconds of an ISO time (UTC unless it says otherwise), of an age (`90s`, `30m`, `2h`, `3d`), or of a time of
    day (`12:00`, `12:00-03:00`): the last one before `now`.

    Raises ValueError with what is allowed.
    """
    age = _AGE.fullmatch(text.strip())
    if age:
        return now - int(age[1]) * _SECONDS[age[2]]
    try:
        return _last(text.strip(), now) if _CLOCK.match(text.strip()) else moment_of(text.strip())
    except (ValueError, OverflowError):
        raise ValueError(
            f"must be an age (90s, 30m, 2h, 3d), a time of day or an ISO time, not {text!r:.100}"
        ) from None


_CLOCK = re.compile(r"[0-9]{2}:[0-9]{2}")


def _last(text: str, now: float) -> float:
    clock = time.fromisoformat(text)
    today = datetime.combine(datetime.fromtimestamp(now, clock.tzinfo or UTC), clock, clock.tzinfo or UTC).timestamp()
    return today if today <= now else today - _SECONDS["d"]
