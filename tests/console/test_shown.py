"""How the console words and draws what it shows."""

import pytest

from worker.console.shown import HEIGHT, spark, state_of
from worker.domain.webhook import Webhook
from worker.history.store import Span

QUIET = [Span(0, 0)] * 21


def test_a_sparkline_has_the_oldest_hour_first_and_shows_each_failure() -> None:
    found = spark([Span(100, 100), Span(50, 0), Span(1000, 999), *QUIET])
    assert found.delivered == "M105 24.0h4v-22.5h-4zM115 24.0h4v-2.4h-4z"
    assert found.failed == "M105 1.5h4v-1.5h-4zM110 24.0h4v-2.0h-4z"
    assert (found.width, found.height) == (120, HEIGHT)
    assert found.words == "last 24 hours: 1,150 attempts, 51 failed"


def test_what_succeeded_whole_has_no_failure_however_it_is_rounded() -> None:
    for attempts in range(1, 400):
        found = spark([Span(attempts, attempts), Span(397, 396), *QUIET])
        assert (found.failed.count("M"), "--" in found.failed + found.delivered) == (1, False)


def test_a_day_without_attempts_is_an_empty_line() -> None:
    assert spark([Span(0, 0)] * 24)[:2] == ("", "")


@pytest.mark.parametrize(
    ("reason", "since", "told"),
    [
        (
            "the receiver answered 410",
            1_800_000_000_000,
            "the receiver answered 410, disabled at 2027-01-15 08:00:00 UTC",
        ),
        ("the receiver answered 410", None, "the receiver answered 410"),
        (None, 1_800_000_000_000, "disabled at 2027-01-15 08:00:00 UTC"),
        (None, None, "somebody disabled it"),
    ],
)
def test_a_disabled_webhook_says_why_and_since_when(reason: str | None, since: int | None, told: str) -> None:
    off = Webhook("acme", "https://h.example/", enabled=False, disabled_reason=reason, disabled_at=since)
    assert state_of(off, None) == ("off", "Disabled", told)
