"""The dashboard's main panels as one picture, in its own order, titles and units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.proof.picture.grafana import dashboard
from tests.proof.picture.kinds import bars, lines, stat
from tests.proof.picture.sheet import BACKGROUND, MUTED, Box, Sheet
from tests.proof.picture.take import Take

WIDTH, MARGIN, GAP = 1280, 14, 8
STATS = 6
HEAD, HEADING, FOOT = 46, 30, 30
STAT_HEIGHT, PANEL_HEIGHT = 92, 226

MAIN = (
    "Events and deliveries",
    "How deliveries leave",
    "Time from the broker to the 2xx",
    "Answers",
    "Time of one POST",
    "Circuits open",
    "In flight and in lanes",
    "Queues",
    "Age of the oldest message",
    "Parked",
    "Dead letters in this time",
    "Failed attempts",
    "Skipped in this time",
    "Rows of history",
    "History behind",
    "Silent instances",
)
"""Beside the first row of figures; a row for each question."""


def draw(taken: Take, path: Path) -> None:
    """Writes a PNG."""
    questions = _questions()
    assert sum(map(len, questions.values())) == STATS + len(MAIN), "a panel that is drawn is not on the dashboard"
    height = HEAD + FOOT + STAT_HEIGHT + GAP + len(questions) * (HEADING + PANEL_HEIGHT + GAP)
    sheet = Sheet(WIDTH, height)
    sheet.text(MARGIN, 14, dashboard()["title"], 19, weight="bold")
    seconds = taken.window.end - taken.window.begin
    about = f"two replicas, {seconds:.0f} s, scraped every {taken.window.scrape:g} s"
    sheet.text(WIDTH - MARGIN, 19, about, 12.5, color=MUTED, ha="right")
    top: float = HEAD
    for question, panels in questions.items():
        sheet.text(MARGIN, top + 8, question, 14.5, weight="bold")
        top += HEADING
        figures = [panel for panel in panels if panel["title"] not in MAIN]
        if figures:
            _row(sheet, figures, taken, top, STAT_HEIGHT)
            top += STAT_HEIGHT + GAP
        _row(sheet, [panel for panel in panels if panel["title"] in MAIN], taken, top, PANEL_HEIGHT)
        top += PANEL_HEIGHT + GAP
    _moments(sheet, taken, top + 4)
    sheet.save(path)


def _questions() -> dict[str, list[dict[str, Any]]]:
    """The dashboard's rows with those of their panels that are drawn."""
    found: dict[str, list[dict[str, Any]]] = {}
    for panel in dashboard()["panels"]:
        if panel["type"] == "row":
            row = found[panel["title"]] = []
        elif panel["title"] in MAIN or (panel["type"] == "stat" and len(found) == 1):
            row.append(panel)
    return found


def _row(sheet: Sheet, panels: list[dict[str, Any]], taken: Take, top: float, height: float) -> None:
    width = (WIDTH - 2 * MARGIN - (len(panels) - 1) * GAP) / len(panels)
    for number, panel in enumerate(panels):
        box = Box(MARGIN + number * (width + GAP), top, width, height)
        {"stat": stat, "timeseries": lines, "bargauge": bars}[panel["type"]](sheet, box, panel, taken)


def _moments(sheet: Sheet, taken: Take, top: float) -> None:
    x: float = MARGIN
    for number, (at, what) in enumerate(taken.moments, 1):
        sheet.block(Box(x, top, 16, 16), MUTED, radius=8)
        sheet.text(x + 8, top + 2.5, str(number), 10.5, color=BACKGROUND, ha="center", weight="bold")
        x += 22 + sheet.text(x + 22, top + 1, f"{int(at // 60)}:{int(at % 60):02d}  {what}", 12.5, color=MUTED) + 22
