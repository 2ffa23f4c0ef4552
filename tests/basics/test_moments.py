"""How moments are written and read."""

import pytest

from worker.basics.moments import iso, iso_with_offset, moment_of, moment_or_age

MOMENT = 1_700_000_000.25


def test_a_moment_is_written_in_utc() -> None:
    assert iso(MOMENT) == "2023-11-14T22:13:20.250Z"
    assert iso(MOMENT, "seconds") == "2023-11-14T22:13:20Z"
    assert iso_with_offset(MOMENT) == "2023-11-14T22:13:20.250+00:00"


@pytest.mark.parametrize("text", [iso(MOMENT), iso_with_offset(MOMENT), "2023-11-14T23:13:20.250+01:00"])
def test_what_is_written_is_read_again(text: str) -> None:
    assert moment_of(text) == MOMENT


def test_a_moment_without_a_zone_is_utc() -> None:
    assert moment_of("2023-11-14T22:13:20.250") == MOMENT


@pytest.mark.parametrize("text", ["", "yesterday", "2023-13-01"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"Invalid isoformat string|month must be"):
        moment_of(text)


NOON = 1_795_867_200.0
"""2026-11-28, 12:00 UTC."""


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("11:30", 1800),
        ("12:00", 0),
        ("12:00:01", 86_399),
        ("12:01", 86_340),
        ("08:00-03:00", 3600),
        ("09:30-03:00", 84_600),
        ("23:00+13:00", 7200),
        ("90m", 5400),
        ("2026-11-28T11:00", 3600),
    ],
)
def test_a_time_of_day_is_the_last_one_before_now(text: str, ago: int) -> None:
    assert moment_or_age(text, NOON) == NOON - ago


@pytest.mark.parametrize("text", ["24:01", "12:60", "12", "12:00 noon", "noon", "-1h"])
def test_what_is_no_time_is_told_what_would_be(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be an age \(90s, 30m, 2h, 3d\), a time of day or an ISO time"):
        moment_or_age(text, NOON)
