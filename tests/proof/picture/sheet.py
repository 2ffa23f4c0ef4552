"""A drawing surface in pixels from the top left, in Grafana's dark colours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from PIL import Image

DPI = 100
SCALE = 1.5
"""Device pixels for each of ours: sharp where the page shows it large."""

BACKGROUND, PANEL, EDGE, GRID = "#111217", "#181b1f", "#25282e", "#2a2d33"
TEXT, MUTED = "#d5d6e0", "#8e8f9b"
NAMED = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c", "yellow": "#fade2a", "blue": "#5794f2"}
"""What Grafana means by these words."""

DEEP = {"green": "#2f7d32", "orange": "#b3590f", "red": "#ad1f33"}
"""The same behind white text."""

PALETTE = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#37872d", "#fade2a", "#96d98d")


def colour(name: str) -> str:
    """A hex value for what a dashboard names: `red`, `purple` (as others spell it) or a hex value."""
    return {**NAMED, "purple": "#b877d9"}.get(name, name)


@dataclass(frozen=True, slots=True)
class Box:
    x: float
    y: float
    width: float
    height: float

    def inside(self, left: float, top: float, right: float, bottom: float) -> Box:
        return Box(self.x + left, self.y + top, self.width - left - right, self.height - top - bottom)


class Sheet:
    def __init__(self, width: float, height: float) -> None:
        self._width, self._height = width, height
        self._figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI * SCALE, facecolor=BACKGROUND)
        self._canvas = FigureCanvasAgg(self._figure)
        self._base = self._figure.add_axes((0, 0, 1, 1))
        self._base.set(xlim=(0, width), ylim=(height, 0))
        self._base.axis("off")

    def text(self, x: float, y: float, words: str, size: float, **more: Any) -> float:
        """Its top left at (x, y), `size` in pixels; returns its width."""
        style = {"color": TEXT, "va": "top", "ha": "left", **more}
        drawn = self._base.text(x, y, words, fontsize=size * 72 / DPI, **style)
        return float(drawn.get_window_extent(self._canvas.get_renderer()).width / SCALE)

    def width_of(self, words: str, size: float) -> float:
        drawn = self._base.text(0, 0, words, fontsize=size * 72 / DPI)
        width = drawn.get_window_extent(self._canvas.get_renderer()).width / SCALE
        drawn.remove()
        return float(width)

    def block(self, box: Box, fill: str, edge: str = "none", radius: float = 3) -> None:
        shape = f"round,pad=0,rounding_size={radius}"
        patch = FancyBboxPatch((box.x, box.y), box.width, box.height, boxstyle=shape, facecolor=fill, edgecolor=edge)
        patch.set_linewidth(0.8)
        self._base.add_patch(patch)

    def axes(self, box: Box) -> Axes:
        left, bottom = box.x / self._width, 1 - (box.y + box.height) / self._height
        axes = self._figure.add_axes((left, bottom, box.width / self._width, box.height / self._height))
        axes.set_facecolor("none")
        return axes

    def save(self, path: Path) -> None:
        """As a PNG with a palette, which keeps rare colours: a third of the bytes of one without."""
        self._canvas.draw()
        whole = Image.frombuffer("RGBA", self._canvas.get_width_height(), self._canvas.buffer_rgba())
        few = whole.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE)
        few.save(path, optimize=True)
