"""Clocks of this machine, the broker and the database; and the time zone, which Evolution's `date_time` depends on."""

from collections.abc import Mapping
from dataclasses import dataclass

from worker.doctor.finding import Finding

WARNED = 5.0
WRONG = 60.0
"""Seconds. Receivers refuse signatures whose timestamp is five minutes off, tokens of `jwt_key` those of ten."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """By how many seconds another clock is ahead of this machine's, give or take `uncertain`."""

    seconds: float
    uncertain: float


def clocks(others: Mapping[str, Ahead]) -> Finding:
    """`others` by what they belong to. Two that agree against this machine's show that this one is wrong."""
    name = "clock"
    if not others:
        return Finding(
            "advice", name, "no other clock could be asked", "timedatectl, or chronyc tracking, on this host"
        )
    sure = {who: max(0.0, abs(ahead.seconds) - ahead.uncertain) for who, ahead in others.items()}
    off = [who for who, seconds in sure.items() if seconds > WARNED]
    if not off:
        return Finding("ok", name, f"agrees with {' and '.join(others)} within {max(WARNED, 0):g} s")
    ahead_or_behind = ", ".join(f"{who} is {abs(others[who].seconds):.0f} s {_direction(others[who])}" for who in off)
    ours = len(off) > 1 and len({others[who].seconds > 0 for who in off}) == 1
    where = "this machine" if ours else f"this machine and the machine of {' and '.join(off)}"
    what = f"seen from here {ahead_or_behind}: timestamps of signatures, tokens, ages and retries go wrong by as much"
    fix = f"synchronise the clock of {where}: timedatectl set-ntp true, or chronyc makestep"
    return Finding("problem" if max(sure.values()) > WRONG else "warning", name, what, fix)


def _direction(ahead: Ahead) -> str:
    return "ahead" if ahead.seconds > 0 else "behind"


def time_zone(offset_seconds: float, zone: str) -> Finding:
    """The zone of this process. Evolution writes its own local time into `date_time` and appends a false Z."""
    name = "time zone"
    utc = "the worker's own times are UTC; Evolution's date_time is Evolution's local time with a false Z"
    if offset_seconds == 0:
        return Finding("ok", name, f"UTC here; {utc}")
    what = f"{zone} here, {offset_seconds / 3600:+g} h from UTC; {utc}, off by as much if it runs in the same zone"
    return Finding("advice", name, what, "TZ=UTC in Evolution's environment makes it true")
