"""One function for each kind of panel: a figure, lines over time, bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from tests.proof.picture.grafana import Series
from tests.proof.picture.sheet import DEEP, EDGE, GRID, MUTED, PALETTE, PANEL, TEXT, Box, Sheet, colour
from tests.proof.picture.take import Take
from tests.proof.picture.units import in_words

LEGEND_LINE, LEGEND_SIZE, LEGEND_GAP = 17, 11.5, 18


def stat(sheet: Sheet, box: Box, panel: dict[str, Any], taken: Take) -> None:
    """The last value, behind it the colour of its threshold and its course."""
    series = taken.answers[panel["title"]][0].series[0]
    value = series.numbers[-1]
    found = panel["fieldConfig"]["defaults"]
    level = [step["color"] for step in found["thresholds"]["steps"] if step["value"] is None or value >= step["value"]]
    filled = panel["options"]["colorMode"] == "background"
    sheet.block(box, DEEP[level[-1]] if filled else PANEL, "none" if filled else EDGE)
    axes = sheet.axes(box.inside(2, box.height * 0.68, 2, 2))
    axes.axis("off")
    x, y = _course(series, taken)
    shade = "#ffffff" if filled else colour(level[-1])
    axes.fill_between(x, y, color=shade, alpha=0.18, linewidth=0)
    axes.set(xlim=(0, x[-1]), ylim=(0, max(1e-9, *series.numbers) * 1.05))
    mapped = {key: to["text"] for mapping in found.get("mappings", ()) for key, to in mapping["options"].items()}
    text = mapped.get(f"{value:g}") or in_words(value, found["unit"], found.get("decimals"))
    sheet.text(box.x + 10, box.y + 8, panel["title"], 12.5, color="#ffffff" if filled else TEXT)
    big = {"color": "#ffffff" if filled else colour(level[-1]), "weight": "bold", "ha": "center"}
    sheet.text(box.x + box.width / 2, box.y + 32, text, 29, **big)


def lines(sheet: Sheet, box: Box, panel: dict[str, Any], taken: Take) -> None:
    """Over time, side by side or stacked as the panel says, the legend beneath; what was always 0 is only counted."""
    everything = [series for answer in taken.answers[panel["title"]] for series in answer.series]
    shown = [series for series in everything if any(series.numbers)] or everything[:1]
    colours = [_colour(panel, one, number) for number, one in enumerate(shown)]
    unit = panel["fieldConfig"]["defaults"]["unit"]
    sheet.block(box, PANEL, EDGE)
    sheet.text(box.x + 10, box.y + 8, panel["title"], 13, weight="bold")
    legend = _legend(sheet, box, shown, colours, unit, len(everything) - len(shown))
    axes = sheet.axes(box.inside(58, 40, 14, 36 + legend))
    custom = panel["fieldConfig"]["defaults"]["custom"]
    opacity = custom["fillOpacity"] / 100
    if custom["stacking"]["mode"] == "normal":
        _stack(axes, shown, colours, taken, opacity)
    else:
        for series, shade in zip(shown, colours, strict=True):
            x, y = _course(series, taken)
            axes.plot(x, y, color=shade, linewidth=1.2)
            axes.fill_between(x, y, color=shade, alpha=opacity, linewidth=0)
    _dress(axes, unit, taken)


def bars(sheet: Sheet, box: Box, panel: dict[str, Any], taken: Take) -> None:
    """One bar for each series, the longest first; what is 0 is only counted."""
    everything = [series for answer in taken.answers[panel["title"]] for series in answer.series]
    shown = sorted((one for one in everything if any(one.numbers)), key=lambda one: -one.numbers[-1])
    sheet.block(box, PANEL, EDGE)
    sheet.text(box.x + 10, box.y + 8, panel["title"], 13, weight="bold")
    most = max((one.numbers[-1] for one in shown), default=1)
    left, room = 150, box.width - 150 - 64
    for number, one in enumerate(shown):
        y, value = box.y + 48 + 34 * number, one.numbers[-1]
        shade = PALETTE[number % len(PALETTE)]
        sheet.text(box.x + left - 8, y + 4, one.legend, 12.5, ha="right")
        sheet.block(Box(box.x + left, y, room, 22), GRID, radius=2)
        sheet.block(Box(box.x + left, y, max(2, room * value / most), 22), shade, radius=2)
        sheet.text(box.x + box.width - 10, y + 4, f"{value:.0f}", 13, ha="right", weight="bold", color=shade)
    if hidden := len(everything) - len(shown):
        sheet.text(box.x + 10, box.y + box.height - 22, f"{hidden} more at 0", 11.5, color=MUTED)


def _stack(axes: Axes, shown: Sequence[Series], colours: Sequence[str], taken: Take, opacity: float) -> None:
    below = [0.0] * _columns(taken)
    for series, shade in zip(shown, colours, strict=True):
        x, y = _course(series, taken)
        above = [low + (0.0 if math.isnan(high) else high) for low, high in zip(below, y, strict=True)]
        axes.fill_between(x, below, above, color=shade, alpha=opacity + 0.15, linewidth=0)
        axes.plot(x, above, color=shade, linewidth=1.1)
        below = above


def _columns(taken: Take) -> int:
    return int((taken.window.end - taken.window.begin) / taken.window.step) + 1


def _course(series: Series, taken: Take) -> tuple[list[float], list[float]]:
    """Seconds since the beginning and values, NaN where there is none: a line is not drawn across a gap."""
    there = {round((time - taken.window.begin) / taken.window.step): value for time, value in series.points}
    columns = range(_columns(taken))
    return [column * taken.window.step for column in columns], [there.get(column, math.nan) for column in columns]


def _colour(panel: dict[str, Any], series: Series, number: int) -> str:
    """The dashboard's own for this name, else the palette's next."""
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"] == {"id": "byName", "options": series.legend}:
            fixed = [one["value"]["fixedColor"] for one in override["properties"] if one["id"] == "color"]
            return colour(fixed[0])
    return PALETTE[number % len(PALETTE)]


def _dress(axes: Axes, unit: str, taken: Take) -> None:
    seconds = taken.window.end - taken.window.begin
    highest = max((value for line in axes.lines for value in line.get_ydata() if not math.isnan(value)), default=0)
    axes.set(xlim=(0, seconds), ylim=(0, 1.08 * highest or 1))
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, labelsize=8.2, labelcolor=MUTED, pad=4)
    axes.xaxis.set_major_locator(MultipleLocator(30))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{int(x // 60)}:{int(x % 60):02d}"))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=unit == "short"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: in_words(y, unit)))
    for number, (at, _) in enumerate(taken.moments, 1):
        axes.axvline(at, color=MUTED, linewidth=0.7, linestyle=(0, (3, 3)), alpha=0.7)
        place = axes.get_xaxis_transform()
        axes.text(at, 1.02, str(number), transform=place, color=MUTED, fontsize=7.2, ha="center", va="bottom")


def _legend(sheet: Sheet, box: Box, shown: Sequence[Series], colours: Sequence[str], unit: str, hidden: int) -> float:
    """Name and highest value of each line, as many in a row as fit; returns its height."""
    entries = [
        (one.legend, f"max {in_words(max(one.numbers), unit)}", shade)
        for one, shade in zip(shown, colours, strict=True)
    ]
    if hidden:
        entries.append(("", f"{hidden} more at 0", ""))
    rows: list[list[tuple[str, str, str]]] = [[]]
    used, most = 0.0, box.width - 24
    for entry in entries:
        wide = LEGEND_GAP + sheet.width_of(f"{entry[0]} {entry[1]}", LEGEND_SIZE) + (20 if entry[2] else 0)
        if rows[-1] and used + wide > most:
            rows.append([])
            used = 0.0
        rows[-1].append(entry)
        used += wide
    height = len(rows) * LEGEND_LINE
    for number, row in enumerate(rows):
        _legend_row(sheet, box.x + 14, box.y + box.height - 8 - height + number * LEGEND_LINE, row)
    return height


def _legend_row(sheet: Sheet, x: float, y: float, row: Sequence[tuple[str, str, str]]) -> None:
    for name, most, shade in row:
        if shade:
            sheet.block(Box(x, y + 6, 14, 3), shade, radius=1)
            x += 20
        if name:
            x += sheet.text(x, y, name, LEGEND_SIZE) + 5
        x += sheet.text(x, y, most, LEGEND_SIZE, color=MUTED) + LEGEND_GAP
