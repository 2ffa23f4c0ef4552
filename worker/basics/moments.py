"""Moments in writing: RFC 3339 in UTC, the one form in which logs, headers and answers name them."""

from datetime import UTC, datetime
from typing import Literal


def iso(seconds: float, timespec: Literal["seconds", "milliseconds"] = "milliseconds") -> str:
    """Unix seconds as `2026-01-31T12:00:00.000Z`, for readers. Raises OverflowError, ValueError, OSError."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def iso_with_offset(seconds: float) -> str:
    """The same as `2026-01-31T12:00:00.000+00:00`: log lines and messages have shown it so since 1.0."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def moment_of(text: str) -> float:
    """Unix seconds of an ISO 8601 time, UTC unless it says otherwise. Raises ValueError, OverflowError."""
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
