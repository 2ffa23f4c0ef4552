"""What `make picture` rests on: the dashboard is asked as Grafana asks it, what is wrong is seen, all of it is drawn.

The run itself takes three minutes and is not in the suite; tests/deploy asks every query of a worker with traffic.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from PIL import Image

from tests.proof.picture.drawing import WIDTH, draw
from tests.proof.picture.grafana import Answer, Series, Window, ask, dashboard, filled, panels, template_variables
from tests.proof.picture.sheet import NAMED, SCALE
from tests.proof.picture.take import Take
from tests.proof.picture.units import in_words

WINDOW = Window(1000, 1120, step=1, scrape=1)
LABELS = {"queue": "webhooks.dead", "instance": "worker-1", "outcome": "Delivered", "result": "2xx", "reason": "ok"}


class FakePrometheus:
    """Answers every query with one series of `value`, every list with `offered`; remembers what it was asked."""

    def __init__(self, value: str = "2", offered: list[str] | None = None) -> None:
        self.value = value
        self.offered = ["webhook-worker"] if offered is None else offered
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    def api(self, path: str, **parameters: str) -> Any:
        self.asked.append((path, parameters))
        if path == "query":
            return {"result": [{"metric": LABELS, "value": [1120, self.value]}]}
        if path == "query_range":
            return {"result": [{"metric": LABELS, "values": [[1000 + n, self.value] for n in range(121)]}]}
        return self.offered


def variables(source: FakePrometheus) -> dict[str, str]:
    return {**WINDOW.variables(), **template_variables(source, dashboard()["templating"])}


def take(source: FakePrometheus) -> Take:
    answers = {panel["title"]: ask(source, panel, WINDOW, variables(source)) for panel in panels()}
    return Take(WINDOW, [(30.0, "something happens")], answers, [("delivered", 100.0, 104.0)])


def test_variables_are_filled_in_as_grafana_does() -> None:
    found = variables(FakePrometheus())
    assert found == {"__rate_interval": "4s", "__interval": "1s", "__range": "120s", "job": ".*"}
    assert Window(0, 3600, step=30, scrape=15).variables()["__rate_interval"] == "60s"
    assert Window(0, 86400, step=120, scrape=15).variables()["__rate_interval"] == "135s"
    assert filled('a{job=~"$job"}[${__range}]', found) == 'a{job=~".*"}[120s]'
    with pytest.raises(KeyError, match="unknown"):
        filled("$unknown", found)


def test_a_drop_down_without_anything_to_choose_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"label_values\(webhook_worker_build_info, job\)"):
        variables(FakePrometheus(offered=[]))


def test_every_query_is_asked_as_its_panel_says_and_nothing_is_left_to_fill_in() -> None:
    source = FakePrometheus()
    assert not list(take(source).problems())
    asked = [(path, parameters["query"]) for path, parameters in source.asked if path.startswith("query")]
    assert len(asked) == sum(len(panel["targets"]) for panel in panels())
    assert {path for path, _ in asked} == {"query", "query_range"}
    assert all(("120s" in text) == (path == "query") for path, text in asked), "instant: over the whole time"
    assert not [text for _, text in asked if re.search(r"\$", text)]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Answer("p", "up"), "p: up: empty"),
        (Answer("p", "up", [Series("", [])]), "p: up: only NaN"),
        (Answer("p", "up", [Series("", [(1, -1.0)])]), "p: up: -1 to -1"),
        (Answer("p", "up", [Series("", [(1, float("inf"))])]), "p: up: inf"),
        (Answer("p", "up", fault="bad"), "p: up: bad"),
    ],
)
def test_an_answer_that_is_empty_or_wrong_is_a_problem(answer: Answer, problem: str) -> None:
    assert [found[: len(problem)] for found in answer.problems()] == [problem]


def test_nan_and_prometheus_own_complaints_are_problems_of_their_query() -> None:
    panel = panels()[0]
    source = FakePrometheus("NaN")
    assert [answer.series[0].points for answer in ask(source, panel, WINDOW, variables(source))] == [[]]

    class Complaining(FakePrometheus):
        def api(self, path: str, **parameters: str) -> Any:
            if path.startswith("query"):
                body = io.BytesIO(b'{"status":"error","error":"parse error at char 3"}')
                raise HTTPError("http://127.0.0.1/", 400, "Bad Request", {}, body)  # type: ignore[arg-type]
            return super().api(path, **parameters)

    complaining = Complaining()
    (answer,) = ask(complaining, panel, WINDOW, variables(complaining))
    assert answer.fault == "parse error at char 3"


def test_what_was_counted_elsewhere_must_agree() -> None:
    found = take(FakePrometheus())
    found.truths.append(("dead letters lying", 0.0, 30.0))
    assert list(found.problems()) == ["dead letters lying: the dashboard says 0, counted were 30"]


def test_all_main_panels_are_drawn_in_the_dashboards_colours(tmp_path: Path) -> None:
    file = tmp_path / "dashboard.png"
    draw(take(FakePrometheus()), file)
    with Image.open(file) as picture:
        assert picture.width == WIDTH * SCALE
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24) or []}
    green = tuple(bytes.fromhex(NAMED["green"][1:]))
    assert min(sum(abs(a - b) for a, b in zip(colour, green, strict=True)) for colour in colours) < 12


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0, "s", "0 s"),
        (0.0023, "s", "2.3 ms"),
        (90, "s", "90 s"),
        (150, "s", "2.5 min"),
        (1234, "ops", "1.23K/s"),
        (0.953, "percentunit", "95.3 %"),
        (5 << 20, "bytes", "5 MiB"),
        (440, "short", "440"),
        (12000, "short", "12K"),
    ],
)
def test_numbers_are_told_in_the_units_of_the_panel(value: float, unit: str, words: str) -> None:
    assert in_words(value, unit) == words
