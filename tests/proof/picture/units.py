"""Numbers in the words of Grafana's units."""

from __future__ import annotations

from bisect import bisect_right

SCALES: dict[str, list[tuple[float, float, str]]] = {
    # From this value on: divided by, and followed by.
    "s": [(0, 1e-3, " ms"), (1, 1, " s"), (120, 60, " min"), (7200, 3600, " h")],
    "bytes": [(0, 1, " B"), (1 << 10, 1 << 10, " KiB"), (1 << 20, 1 << 20, " MiB"), (1 << 30, 1 << 30, " GiB")],
    "ops": [(0, 1, "/s"), (1000, 1000, "K/s"), (1e6, 1e6, "M/s")],
    "percentunit": [(0, 0.01, " %")],
    "short": [(0, 1, ""), (10000, 1000, "K"), (1e6, 1e6, "M")],
}


def in_words(value: float, unit: str, decimals: int | None = None) -> str:
    """`0.0023` of unit `s` is `2.3 ms`. Three digits unless `decimals` says otherwise; 0 has no prefix."""
    scale = SCALES[unit]
    if value == 0:
        return "0" + {"s": " s", "ops": "/s", "percentunit": " %", "bytes": " B"}.get(unit, "")
    _, divisor, suffix = scale[max(0, bisect_right([row[0] for row in scale], value) - 1)]
    scaled = value / divisor
    if decimals is not None:
        return f"{scaled:.{decimals}f}{suffix}"
    return (f"{scaled:.0f}" if scaled >= 100 else f"{scaled:.3g}") + suffix
