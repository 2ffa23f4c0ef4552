"""Clocks and the time zone."""

from __future__ import annotations

import pytest

from worker.doctor.clock import Ahead, clocks, time_zone


@pytest.mark.parametrize(
    ("seconds", "uncertain", "level"),
    [(0.2, 0.5, "ok"), (5.4, 0.5, "ok"), (-5.6, 0.5, "warning"), (60.4, 0.5, "warning"), (-61, 0.5, "problem")],
)
def test_only_what_is_certain_counts(seconds: float, uncertain: float, level: str) -> None:
    found = clocks({"RabbitMQ": Ahead(seconds, uncertain)})
    assert found.level == level
    assert ("behind" in found.what) == (seconds < -1)


def test_two_that_agree_against_us_show_whose_clock_is_wrong() -> None:
    both = clocks({"RabbitMQ": Ahead(90, 0.5), "the database": Ahead(91, 0.1)})
    assert "the clock of this machine:" in both.fix
    one = clocks({"RabbitMQ": Ahead(90, 0.5), "the database": Ahead(0, 0.1)})
    assert "this machine and the machine of RabbitMQ" in one.fix
    against = clocks({"RabbitMQ": Ahead(90, 0.5), "the database": Ahead(-90, 0.1)})
    assert "the machine of RabbitMQ and the database" in against.fix


def test_nobody_to_compare_with_is_said() -> None:
    assert clocks({}).level == "advice"


def test_a_zone_apart_from_utc_is_told_with_its_offset() -> None:
    assert time_zone(0, "UTC").level == "ok"
    found = time_zone(-10_800, "-03")
    assert found.level == "advice"
    assert "-3 h from UTC" in found.what
    assert "TZ=UTC" in found.fix
