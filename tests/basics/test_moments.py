"""How moments are written and read."""

import pytest

from worker.basics.moments import iso, iso_with_offset, moment_of

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
