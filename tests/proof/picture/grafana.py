"""The dashboard as Grafana shows it: variables filled in, queries put to Prometheus, legends written out."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.error import HTTPError

FILE = Path(__file__).parents[3] / "deploy" / "grafana" / "dashboard.json"
ALL = "$__all"


class Source(Protocol):
    """A Prometheus: `api("query", query="up")` gives `data` of the answer; HTTPError when it finds fault."""

    def api(self, path: str, **parameters: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class Window:
    """What is looked at: Unix times, the seconds between two points, and those between two scrapes."""

    begin: float
    end: float
    step: float
    scrape: float

    def variables(self) -> dict[str, str]:
        """Grafana's own. Its rate interval holds two scrapes at least, even where one is missed."""
        return {
            "__rate_interval": f"{max(self.step + self.scrape, 4 * self.scrape):g}s",
            "__interval": f"{self.step:g}s",
            "__range": f"{round(self.end - self.begin)}s",
        }


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a panel: (Unix time, value) in order, NaN left out; of an instant query one point."""

    legend: str
    points: list[tuple[float, float]]

    @property
    def numbers(self) -> list[float]:
        return [value for _, value in self.points]


@dataclass(slots=True)
class Answer:
    """One query of a panel as it was asked, and what came; `fault` in Prometheus' words when it found one."""

    panel: str
    expression: str
    series: list[Series] = field(default_factory=list)
    fault: str = ""

    def problems(self) -> Iterator[str]:
        where = f"{self.panel}: {self.expression}"
        numbers = [number for one in self.series for number in one.numbers]
        if self.fault:
            yield f"{where}: {self.fault}"
        elif not numbers:
            yield f"{where}: {'only NaN' if self.series else 'empty'}"
        elif not all(0 <= number < math.inf for number in numbers):
            yield f"{where}: {min(numbers):g} to {max(numbers):g}, yet nothing here can be negative or infinite"


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


def panels() -> list[dict[str, Any]]:
    """Those that show something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def filled(text: str, variables: dict[str, str]) -> str:
    """`$name` and `${name}` replaced. Raises KeyError for one that is not known."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: variables[found[1] or found[2]], text)


def template_variables(source: Source, templating: dict[str, Any]) -> dict[str, str]:
    """What the dashboard's drop-down lists hold when it is opened, `All` where they offer it.

    Raises ValueError when Prometheus has nothing for a list to offer.
    """
    found: dict[str, str] = {}
    for variable in templating["list"]:
        if variable["type"] != "query":
            continue  # the data source
        query = variable["query"]["query"]
        metric, label = re.fullmatch(r"label_values\((\w+), *(\w+)\)", query).groups()  # type: ignore[union-attr]
        offered = source.api(f"label/{label}/values", **{"match[]": metric})
        if not offered:
            raise ValueError(f"nothing to choose from: {query}")
        found[variable["name"]] = variable["allValue"] if variable["includeAll"] else offered[0]
    return found


def ask(source: Source, panel: dict[str, Any], window: Window, variables: dict[str, str]) -> list[Answer]:
    """Every query of a panel, as an instant query or over the window, as the panel says."""
    return [_asked(source, panel["title"], target, window, variables) for target in panel["targets"]]


def ask_annotations(source: Source, window: Window, variables: dict[str, str]) -> list[Answer]:
    """What the dashboard marks over its panels: often nothing, so an empty answer is none of their problems."""
    return [
        _asked(source, one["name"], {"expr": one["expr"], "legendFormat": ""}, window, variables)
        for one in dashboard()["annotations"]["list"]
    ]


def _asked(source: Source, panel: str, target: dict[str, Any], window: Window, variables: dict[str, str]) -> Answer:
    answer = Answer(panel, filled(target["expr"], variables))
    try:
        rows = _rows(source, answer.expression, window, instant=target.get("instant", False))
    except HTTPError as error:
        with error:
            answer.fault = json.load(error)["error"]
        return answer
    for row in rows:
        points = row["values"] if "values" in row else [row["value"]]
        numbers = [(float(time), float(value)) for time, value in points]
        kept = [(time, value) for time, value in numbers if not math.isnan(value)]
        answer.series.append(Series(_legend(target["legendFormat"], row["metric"]), kept))
    answer.series.sort(key=lambda one: one.legend)
    return answer


def _rows(source: Source, expression: str, window: Window, *, instant: bool) -> Sequence[Any]:
    if instant:
        answer = source.api("query", query=expression, time=str(window.end))
    else:
        times = {"start": str(window.begin), "end": str(window.end), "step": str(window.step)}
        answer = source.api("query_range", query=expression, **times)
    rows: Sequence[Any] = answer["result"]
    return rows


def _legend(form: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{ *(\w+) *\}\}", lambda found: labels.get(found[1], ""), form).strip()
