"""Prints, for ten kinds of shop, how often the silence detector is wrong in a month and how soon it is right."""

import random
from statistics import median

from tests.proof.silence.month import play
from tests.proof.silence.shops import DAY, MONDAY, PACES, busy_minutes

SEEDS = 10


def main() -> None:
    print("| shop | false alarms a month (median, most) | hours to notice (median, most) |\n| --- | --- | --- |")
    for kind in PACES:
        months = [busy_minutes(kind, seed) for seed in range(SEEDS)]
        wrong = [play(month).false_alarms for month in months]
        after = [play(month, ends=_a_busy_moment(month)).noticed_after for month in months]
        hours = [float("inf") if seconds is None else seconds / 3600 for seconds in after]
        print(f"| {kind} | {median(wrong):g}, {max(wrong)} | {median(hours):.1f}, {max(hours):.1f} |", flush=True)


def _a_busy_moment(month: list[int]) -> float:
    """Just after a message of the fourth week: that is when a session that breaks is missed."""
    fourth = [at for at in month if 21 * DAY <= at - MONDAY < 27 * DAY]
    return random.Random(fourth[0]).choice(fourth) + 1.0


if __name__ == "__main__":
    main()
