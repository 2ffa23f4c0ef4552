"""What was seen: every query of the dashboard with its answer, checked for emptiness and against what happened."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.proof.picture.grafana import (
    Answer,
    Source,
    Window,
    ask,
    ask_annotations,
    dashboard,
    panels,
    template_variables,
)
from tests.proof.picture.scene import SCRAPE_SECONDS, Scene

NEAR = 0.1
"""What was counted elsewhere may differ so much: rates end where a process ends."""


@dataclass(slots=True)
class Take:
    """`answers` by the panel's title; `truths` are (what, by the dashboard, as counted elsewhere)."""

    window: Window
    moments: list[tuple[float, str]]
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    truths: list[tuple[str, float, float]] = field(default_factory=list)

    def problems(self) -> Iterator[str]:
        """Every query that is empty or wrong, in words."""
        for answers in self.answers.values():
            for answer in answers:
                yield from answer.problems()
        for what, shown, counted in self.truths:
            if not abs(shown - counted) <= NEAR * counted:
                yield f"{what}: the dashboard says {shown:g}, counted were {counted:g}"

    @property
    def queries(self) -> int:
        return sum(map(len, self.answers.values()))


async def take(scene: Scene) -> Take:
    """Asks Prometheus for everything, from the first event until now."""
    lying = float(await scene.amqp.depth(scene.names.dead) or 0)
    window = Window(scene.began, scene.ended, SCRAPE_SECONDS, SCRAPE_SECONDS)
    found = Take(window, scene.moments)
    await asyncio.to_thread(_ask_everything, scene.prometheus, found)
    connected, delivered = found.answers["Replicas connected"], found.answers["Delivered a second"]
    found.truths = [
        ("replicas connected", _last(connected), 2.0),
        ("dead letters lying", _last(found.answers["Dead letters lying"]), lying),
        ("delivered", sum(_numbers(delivered)) * window.step, float(scene.receivers.delivered)),
    ]
    return found


def _ask_everything(source: Source, found: Take) -> None:
    variables = {**found.window.variables(), **template_variables(source, dashboard()["templating"])}
    for panel in panels():
        found.answers[panel["title"]] = ask(source, panel, found.window, variables)
    for annotation in ask_annotations(source, found.window, variables):
        if annotation.fault or annotation.series:
            found.answers[f"annotation {annotation.panel}"] = [annotation]


def _last(answers: list[Answer]) -> float:
    return next(reversed(_numbers(answers)), math.nan)


def _numbers(answers: list[Answer]) -> list[float]:
    """Of the first series; none of an answer that is empty, which is told as such."""
    return answers[0].series[0].numbers if answers[0].series else []
