"""Which letters a command means. Pure."""

from dataclasses import dataclass

from worker.deadletters.letter import Letter
from worker.domain.names import canonical


@dataclass(frozen=True, slots=True)
class Filter:
    """All that is given must match. `since` and `until` are Unix seconds (from the one, before the other); `ids` empty:
    whatever the id."""

    instance: str | None = None
    event: str | None = None
    reason: str | None = None
    webhook: str | None = None
    since: float | None = None
    until: float | None = None
    ids: frozenset[str] = frozenset()

    @property
    def empty(self) -> bool:
        """Whether it means every letter."""
        return self == Filter()

    def matches(self, letter: Letter) -> bool:
        """A letter that does not say when it died is not `since` anything, and `until` everything."""
        return (
            (not self.ids or letter.id in self.ids)
            and self.reason in (None, letter.reason)
            and self.instance in (None, letter.instance)
            and self.webhook in (None, letter.webhook)
            and self._has_event(letter)
            and (self.since is None or (letter.dead_since is not None and letter.dead_since >= self.since))
            and (self.until is None or letter.dead_since is None or letter.dead_since < self.until)
        )

    def _has_event(self, letter: Letter) -> bool:
        if self.event is None:
            return True
        return letter.event is not None and canonical(letter.event) == canonical(self.event)
