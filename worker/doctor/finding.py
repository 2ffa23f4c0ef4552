"""What the doctor says, and how."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "advice", "warning", "problem"]
"""problem: events are lost or not delivered, now or soon. warning: they will be if nothing is done, or one receiver
cannot be reached. advice: nothing is at stake."""

SHOWN = 8
"""Names in a text; `items` has all of them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` was seen of the subject `name`, and the `fix`, a command where there is one. `items`: all names meant."""

    level: Level
    name: str
    what: str
    fix: str = ""
    items: tuple[str, ...] = ()


def some(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def many(count: int, thing: str, things: str = "") -> str:
    """`1 queue`, `12 queues`."""
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"


def size(count: float) -> str:
    """Bytes as people read them."""
    for unit, factor in (("MiB", 1024**2), ("KiB", 1024)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count:.0f} bytes"


def needs_doing(findings: Iterable[Finding]) -> bool:
    """Whether anything is at stake: the exit code."""
    return any(finding.level in ("problem", "warning") for finding in findings)
