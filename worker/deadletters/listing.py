"""Looks at the letters that a filter means: the newest first, or the tags of the first that come."""

from collections import Counter
from dataclasses import replace

from worker.deadletters.browse import Browser, Seen
from worker.deadletters.filter import Filter
from worker.deadletters.letter import Group, Letter, Mark, read
from worker.deadletters.shown import by_reason


class Listing:
    """Called with every message (Browser's look); keeps the `limit` newest letters, without their bodies."""

    def __init__(self, chosen: Filter, limit: int | None, *, with_log: bool) -> None:
        self._chosen = chosen
        self._limit = limit
        self._with_log = with_log
        self._letters: list[Letter] = []
        self._texts: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self.mark = Mark()
        self._groups: dict[tuple[str | None, str | None, str], tuple[int, float]] = {}

    def look(self, seen: Seen) -> bool:
        letter = read(seen.headers, seen.body, seen.message_id)
        if self._chosen.matches(letter):
            self.counts[letter.reason] += 1
            self.mark.add(letter)
            self._count(letter)
            self._letters.append(self._small(letter))
            if self._limit is not None and len(self._letters) >= 2 * self._limit + 1000:
                self._letters = self.newest()
        return True

    def newest(self) -> list[Letter]:
        """Those dead since an unknown time last."""
        self._letters.sort(key=lambda letter: letter.dead_since or 0, reverse=True)
        return self._letters[: self._limit]

    def groups(self) -> list[Group]:
        """Of all letters that the filter means, the largest first."""
        found = [Group(*key, count, newest or None) for key, (count, newest) in self._groups.items()]
        return sorted(
            found, key=lambda group: (-group.letters, group.instance or "", group.webhook or "", group.reason)
        )

    def _count(self, letter: Letter) -> None:
        key = (letter.instance, letter.webhook, letter.reason)
        count, newest = self._groups.get(key, (0, 0.0))
        self._groups[key] = (count + 1, max(newest, letter.dead_since or 0.0))

    def summary(self) -> str:
        """One line: how many there are, by reason."""
        total = self.counts.total()
        shown = min(total, self._limit) if self._limit is not None else total
        of = f"{shown} of {total}" if shown < total else f"{total}"
        return f"{of} {'letter' if total == 1 else 'letters'}" + (f": {by_reason(self.counts)}" if total else "")

    def _small(self, letter: Letter) -> Letter:
        """Equal texts are kept once."""
        kept = self._once
        return replace(
            letter,
            reason=self._texts.setdefault(letter.reason, letter.reason),
            instance=kept(letter.instance),
            event=kept(letter.event),
            webhook=kept(letter.webhook),
            last_error=kept(letter.last_error),
            error=kept(letter.error),
            exchange=kept(letter.exchange),
            routing_key=kept(letter.routing_key),
            log=letter.log if self._with_log else (),
        )

    def _once(self, text: str | None) -> str | None:
        return None if text is None else self._texts.setdefault(text, text)


class Choice:
    """Called with every message (Browser's look); notes the first `limit` letters that the filter means."""

    def __init__(self, browser: Browser, chosen: Filter, limit: int | None) -> None:
        self._browser = browser
        self._chosen = chosen
        self._limit = limit
        self.tags: list[int] = []
        self.counts: Counter[str] = Counter()
        self.mark = Mark()
        self.found: set[str] = set()

    def look(self, seen: Seen) -> bool:
        letter = read(seen.headers, seen.body, seen.message_id)
        if self._chosen.matches(letter):
            self.tags.append(seen.tag)
            self.counts[letter.reason] += 1
            self.mark.add(letter)
            if letter.id in self._chosen.ids:
                self.found.add(letter.id)
            if len(self.tags) == self._limit:
                self._browser.enough()
        return True
