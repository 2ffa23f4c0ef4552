"""Messages of ours in the archive, which are no events: its birth, and where a reader is to stop.

No message carries its time over AMQP 0-9-1, and a stream cannot be asked for its last offset.
"""

from collections.abc import Mapping
from typing import NamedTuple

HEADER = "x-archive-mark"
BIRTH = "birth"
"""The first message of a new archive; AT says when that was."""

AT = "x-archive-at"


class Mark(NamedTuple):
    """`name` is BIRTH or what a reader made up for its end; `at` is Unix time in milliseconds."""

    name: str
    at: int


def headers_of(mark: Mark) -> dict[str, str | int | list[str]]:
    return {HEADER: mark.name, AT: mark.at}


def mark_in(headers: Mapping[str, object]) -> Mark | None:
    """None: the message is an event."""
    name, at = headers.get(HEADER), headers.get(AT)
    return Mark(name, at) if isinstance(name, str) and isinstance(at, int) else None
