"""Which letters a command means. Pure."""

import re
from dataclasses import dataclass

from worker.basics.moments import moment_of
from worker.deadletters.letter import Letter
from worker.domain.names import canonical

_AGE = re.compile(r"(\d{1,9})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Filter:
    """All that is given must match. `since` is Unix time in seconds; `ids` empty: whatever the id."""

    instance: str | None = None
    event: str | None = None
    reason: str | None = None
    webhook: str | None = None
    since: float | None = None
    ids: frozenset[str] = frozenset()

    @property
    def empty(self) -> bool:
        """Whether it means every letter."""
        return self == Filter()

    def matches(self, letter: Letter) -> bool:
        """A letter that does not say when it died is not `since` anything."""
        return (
            (not self.ids or letter.id in self.ids)
            and self.reason in (None, letter.reason)
            and self.instance in (None, letter.instance)
            and self.webhook in (None, letter.webhook)
            and self._has_event(letter)
            and (self.since is None or (letter.dead_since is not None and letter.dead_since >= self.since))
        )

    def _has_event(self, letter: Letter) -> bool:
        if self.event is None:
            return True
        return letter.event is not None and canonical(letter.event) == canonical(self.event)


def since(text: str, now: float) -> float:
    """Unix time of an ISO time (UTC unless it says otherwise) or of an age: `90s`, `30m`, `2h`, `3d`.

    Raises ValueError with what is allowed.
    """
    age = _AGE.fullmatch(text.strip())
    if age:
        return now - int(age[1]) * _SECONDS[age[2]]
    try:
        return moment_of(text.strip())
    except (ValueError, OverflowError):
        raise ValueError(f"must be an age (90s, 30m, 2h, 3d) or an ISO time, not {text!r}") from None
