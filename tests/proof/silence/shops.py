"""Ten kinds of shop: in which minutes of a month messages come to each. Made from a seed, the same each time."""

import random
from collections.abc import Callable, Iterator
from math import exp

MONDAY = 1_764_547_200
"""2025-12-01, 00:00 UTC."""

DAY, MINUTE = 86_400, 60

Pace = Callable[[int, int, int], float]
"""Messages an hour at an hour of the day (0-23), on a day of the week (Monday 0), on a day of the month."""


def _irregular(hour: int, _: int, day: int) -> float:
    """Opens and closes as it likes, and on one day in seven not at all."""
    chance = random.Random(day)
    opens, closes = 9 + chance.randrange(3), 16 + chance.randrange(4)
    return 12 if chance.random() > 1 / 7 and opens <= hour < closes else 0


PACES: dict[str, Pace] = {
    "around the clock": lambda _hour, _weekday, _day: 20,
    "day shop": lambda hour, weekday, _: 12 if weekday < 6 and 9 <= hour < 18 else 0,
    "restaurant": lambda hour, _weekday, _day: 15 if hour in (11, 12, 13, 18, 19, 20, 21) else 9 <= hour < 23,
    "night bar": lambda hour, _weekday, _day: 10 if hour >= 20 or hour < 3 else 0,
    "weekend market": lambda hour, weekday, _: 15 if weekday >= 5 and 8 <= hour < 20 else 0,
    "six a day": lambda hour, _weekday, _day: 0.5 if 8 <= hour < 20 else 0,
    "long talks": lambda hour, _weekday, _day: 1 if 8 <= hour < 20 else 0.03,
    "busy bot": lambda hour, _weekday, _day: 300 if hour >= 7 else 30,
    "irregular hours": _irregular,
    "growing": lambda hour, _weekday, day: 3 * 1.3 ** (day / 7) if 8 <= hour < 20 else 0,
}


def busy_minutes(kind: str, seed: int, days: int = 30) -> list[int]:
    """Unix seconds at which each minute with a message begins, ascending."""
    return sorted(set(_minutes(kind, random.Random(seed), days)))


def _minutes(kind: str, chance: random.Random, days: int) -> Iterator[int]:
    for at in range(MONDAY, MONDAY + days * DAY, MINUTE):
        day, second = divmod(at - MONDAY, DAY)
        pace = PACES[kind](second // 3600, day % 7, day)
        if pace and chance.random() < 1 - exp(-pace / 60):
            talk = chance.randint(1, 10) if kind == "long talks" else 1
            yield from range(at, at + talk * MINUTE, MINUTE)
