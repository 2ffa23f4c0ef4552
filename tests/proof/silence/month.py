"""A month of an instance, played minute by minute against the silence detector."""

from bisect import bisect_left
from dataclasses import dataclass

from tests.proof.silence.shops import DAY, MINUTE, MONDAY
from worker.domain.silence.habits import begun, silent

LOOK_SECONDS = 300
"""How often it is asked. Other events (presence, receipts) come all the time: the hardest case for false alarms."""


@dataclass(frozen=True, slots=True)
class Month:
    """Alarms while messages came as they do, and seconds from the last one to the alarm once they end (None: none)."""

    false_alarms: int
    noticed_after: float | None


def play(busy: list[int], days: int = 30, *, ends: float | None = None) -> Month:
    """`busy`: the minutes with messages; from `ends` on (Unix seconds) none comes, though the instance is connected."""
    habits, last, alarmed, alarms = begun(MONDAY), float(MONDAY), False, 0
    coming = busy if ends is None else busy[: bisect_left(busy, ends)]
    following = iter(coming)
    due = next(following, None)
    for now in range(MONDAY, MONDAY + days * DAY, MINUTE):
        if due is not None and due <= now:
            habits, last, alarmed = habits.at(now).message(1), float(now), False
            due = next(following, None)
        elif now % LOOK_SECONDS == 0 and not alarmed:
            alarmed = silent(habits, last, now, now, connected=True)
            if alarmed and ends is not None and now >= ends:
                return Month(alarms, now - ends)
            alarms += alarmed
    return Month(alarms, None)
