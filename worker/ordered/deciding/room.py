"""The bodies of all sidings together have a bound: a siding over it is opened again and is given less at a time."""

from worker.ordered.deciding.rules import FULL_PREFETCH, LABEL_ALONE, LABEL_AND_HEAD, ROOM_SECONDS, Rules
from worker.ordered.deciding.siding import Siding
from worker.ordered.deciding.sidings import Sidings


class Room:
    """Decides each siding's prefetch. One that changes is opened again between attempts (see Reading)."""

    def __init__(self, rules: Rules, sidings: Sidings) -> None:
        self._most = rules.most_siding_bytes
        self._sidings = sidings

    def look(self, now: float) -> None:
        """Once a beat. One siding at a time is changed, so that what it frees is seen before the next."""
        used = [siding for siding in self._sidings.used() if siding.labels]
        if any(siding.resized for siding in used):
            return
        held = sum(siding.bytes for siding in used)
        if held > self._most:
            self._narrow(used)
        else:
            self._widen([siding for siding in used if siding.prefetch < FULL_PREFETCH], used, held, now)

    def _narrow(self, used: list[Siding]) -> None:
        """The one that holds most gets less. An event that is larger than the bound is held alone."""
        holding = [siding for siding in used if siding.bytes]
        most = max(holding, key=lambda siding: siding.bytes)
        if most.prefetch > LABEL_AND_HEAD:
            most.resize(LABEL_AND_HEAD)
        elif len(holding) > 1:
            most.resize(LABEL_ALONE)

    def _widen(self, narrow: list[Siding], used: list[Siding], held: int, now: float) -> None:
        """The one that has been without an event for longest gets one; if there is no room, in the place of another."""
        due = [siding for siding in narrow if now - siding.labelled_at >= ROOM_SECONDS]
        starved = [siding for siding in due if siding.prefetch == LABEL_ALONE]
        if starved:
            first = min(starved, key=lambda siding: siding.labelled_at)
            holding = [siding for siding in used if siding.bytes and now - siding.labelled_at >= ROOM_SECONDS]
            if held + first.head_bytes <= self._most or not held:
                first.resize(LABEL_AND_HEAD)
            elif holding:
                min(holding, key=lambda siding: siding.labelled_at).resize(LABEL_ALONE)
        elif due and held <= self._most // 4:
            min(due, key=lambda siding: siding.labelled_at).resize(FULL_PREFETCH)
