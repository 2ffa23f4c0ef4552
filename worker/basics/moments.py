"""Moments in writing: RFC 3339 in UTC, the one form in which logs, headers and answers name them."""

import re
from datetime import UTC, datetime
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
    """Unix seconds of an ISO time (UTC unless it says otherwise) or of an age: `90s`, `30m`, `2h`, `3d`.

    Raises ValueError with what is allowed.
    """
    age = _AGE.fullmatch(text.strip())
    if age:
        return now - int(age[1]) * _SECONDS[age[2]]
    try:
        return moment_of(text.strip())
    except (ValueError, OverflowError):
        raise ValueError(f"must be an age (90s, 30m, 2h, 3d) or an ISO time, not {text!r:.100}") from None
