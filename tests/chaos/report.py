"""Reports as the tables that `python -m tests.chaos` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields

from tests.chaos.faults import FAULTS
from tests.chaos.ledger import Figures
from tests.chaos.run import Report

NAMES = tuple(field.name for field in fields(Figures))
WIDTH = 11


def heading() -> str:
    return f"{'seed':>5}{''.join(f'{name:>{WIDTH + 1}}' for name in NAMES)}{'seconds':>9}  verdict; faults"


def line(report: Report) -> str:
    figures = "".join(f"{figure:>{WIDTH + 1}}" for figure in astuple(report.figures))
    verdict = "VIOLATED" if report.problems else "kept"
    faults = " + ".join(
        step.fault.name + (" (missed)" if step.fault.name in report.missed else "") for step in report.plan.steps
    )
    return f"{report.plan.seed:>5}{figures}{report.seconds:>9.1f}  {verdict}; {faults}"


def details(report: Report) -> Iterable[str]:
    yield from (f"      {problem}" for problem in report.problems)
    yield from (f"      missed: {name}: {why[:300]}" for name, why in report.missed.items())


def summary(reports: Sequence[Report]) -> Iterable[str]:
    """The sums, and how often each fault was met."""
    sums = [sum(column) for column in zip(*(astuple(report.figures) for report in reports), strict=True)]
    yield f"{'sum':>5}{''.join(f'{figure:>{WIDTH + 1}}' for figure in sums)}"
    yield ""
    met = Counter(step.fault.name for report in reports for step in report.plan.steps)
    missed = Counter(name for report in reports for name in report.missed)
    for fault in (fault for fault in FAULTS if met[fault.name]):
        yield f"{met[fault.name] - missed[fault.name]:>5} times  {fault.name}"
    violated = [report.plan.seed for report in reports if report.problems]
    yield ""
    yield f"{len(reports)} seeds, {len(violated)} violated{f': {violated}' if violated else ''}"
