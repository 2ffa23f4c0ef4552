"""From a seed to what happens in its run. Pure: the same seed is the same plan."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.proof.chaos.faults import FAULTS, ORDERED, Fault

FAULTS_A_RUN = 3
ORDERED_EVERY = 3
"""One run of three has a fault more, which is aimed at ordered delivery. Ordered webhooks are in all of them."""

PAUSE_SECONDS = (0.2, 1.5)
"""Between two faults."""


@dataclass(frozen=True, slots=True)
class Step:
    """A fault after a pause; `seed` decides what is left to chance within it."""

    fault: Fault
    pause: float
    seed: str


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int
    steps: tuple[Step, ...]

    @property
    def skewed(self) -> bool:
        """Whether the workers' wall clock will jump."""
        return any(step.fault.jumps for step in self.steps)

    @property
    def refusing(self) -> bool:
        """Whether RabbitMQ will wait before it moves again what was refused."""
        return any(step.fault.refuses for step in self.steps)

    @property
    def postgresql(self) -> bool:
        """Whether the store is a PostgreSQL server, else a SQLite file."""
        return any(step.fault.store == "postgresql" for step in self.steps)


def plan(seed: int) -> Plan:
    """The first fault goes round by the seed, so that as many seeds as there are faults have each of them."""
    chance = random.Random(seed)
    first = FAULTS[seed % len(FAULTS)]
    chosen = [first]
    for fault in chance.sample(FAULTS, len(FAULTS)):
        if len(chosen) < FAULTS_A_RUN and fault is not first and _together(fault, chosen):
            chosen.append(fault)
    chance.shuffle(chosen)
    if seed % ORDERED_EVERY == ORDERED_EVERY - 1:
        place = random.Random(f"{seed}/ordered").randint(0, len(chosen))
        chosen.insert(place, ORDERED[seed // ORDERED_EVERY % len(ORDERED)])
    steps = (Step(fault, chance.uniform(*PAUSE_SECONDS), f"{seed}/{n}") for n, fault in enumerate(chosen))
    return Plan(seed, tuple(steps))


def _together(fault: Fault, chosen: list[Fault]) -> bool:
    """One store a run; and a run has at most one fault that takes long."""
    stores = {one.store for one in (*chosen, fault)} - {None}
    return len(stores) <= 1 and not (fault.slow and any(one.slow for one in chosen))
