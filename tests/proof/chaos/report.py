"""Reports as the tables that `python -m tests.proof.chaos` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields

from tests.proof.chaos.faults import FAULTS, ORDERED
from tests.proof.chaos.ledger import Figures
from tests.proof.chaos.run import Report

NAMES = tuple(field.name for field in fields(Figures))[:8]
"""Violations are told in words."""

WIDTH = 11


def heading() -> str:
    return f"{'seed':>5}{''.join(f'{name:>{WIDTH + 1}}' for name in NAMES)}{'seconds':>9}  verdict; faults"


def line(report: Report) -> str:
    figures = "".join(f"{figure:>{WIDTH + 1}}" for figure in astuple(report.figures)[: len(NAMES)])
    verdict = "VIOLATED" if report.problems else "kept"
    faults = " + ".join(
        step.fault.name + (" (missed)" if step.fault.name in report.missed else "") for step in report.plan.steps
    )
    return f"{report.plan.seed:>5}{figures}{report.seconds:>9.1f}  {verdict}; {faults}"


def details(report: Report) -> Iterable[str]:
    yield from (f"      {problem}" for problem in report.problems)
    yield from (f"      missed: {name}: {why[:300]}" for name, why in report.missed.items())


def summary(reports: Sequence[Report]) -> Iterable[str]:
    """How often each fault was met, the seeds that violated something, and the table of docs/ledger.md."""
    yield ""
    met = Counter(step.fault.name for report in reports for step in report.plan.steps)
    missed = Counter(name for report in reports for name in report.missed)
    for fault in (fault for fault in (*FAULTS, *ORDERED) if met[fault.name]):
        yield f"{met[fault.name] - missed[fault.name]:>5} times  {fault.name}"
    violated = [report.plan.seed for report in reports if report.problems]
    yield ""
    yield f"{len(reports)} seeds, {len(violated)} violated{f': {violated}' if violated else ''}"
    yield ""
    yield from table(reports)


def table(reports: Sequence[Report]) -> Iterable[str]:
    """Markdown: a row for each kind of fault, over the seeds that have one; each seed counts in up to three of them."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"| --- {'| ---: ' * (len(COLUMNS) - 1)}|"
    for kind in dict.fromkeys(fault.kind for fault in (*FAULTS, *ORDERED)):
        chosen = [report for report in reports if _times(report, kind)]
        if chosen:
            yield _row(kind, sum(_times(report, kind) for report in chosen), chosen)
    yield _row("**all**", sum(len(report.plan.steps) - len(report.missed) for report in reports), reports)


COLUMNS = (
    *("faults", "times", "seeds", "events", "deliveries", "delivered", "dead", "skipped", "repeats, same id"),
    *("lost", "inversions", "unknown", "wrong URL", "history", "other"),
)


def _times(report: Report, kind: str) -> int:
    names = [step.fault.name for step in report.plan.steps if step.fault.kind == kind]
    return sum(name not in report.missed for name in names)


def _row(name: str, times: int, reports: Sequence[Report]) -> str:
    figures = [report.figures for report in reports]
    shown = (
        "events",
        "deliveries",
        "delivered",
        "dead",
        "skipped",
        "repeats",
        "lost",
        "inversions",
        "unknown",
        "wrong_url",
        "history",
    )
    sums = [sum(getattr(one, column) for one in figures) for column in shown]
    other = sum(report.figures.other + report.outside for report in reports)
    return f"| {' | '.join([name, *(f'{number:,}' for number in (times, len(reports), *sums, other))])} |"
