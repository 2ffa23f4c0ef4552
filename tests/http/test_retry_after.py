"""`Retry-After` as receivers write it."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.sender_support import pool
from tests.support.receiver import Answer, Receiver
from worker.domain.verdict import Answered
from worker.http.sender import retry_after

NOW = 1_800_000_000.0
AT = format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("315360000", 315_360_000.0),
        ("9" * 400, 999_999_999_999.0),
        (AT, 90.0),
        (AT.removesuffix(" GMT"), 90.0),
        (AT.replace("GMT", "-0000"), 90.0),
        (datetime.fromtimestamp(NOW + 90, UTC).strftime("%a %b %d %H:%M:%S %Y"), 90.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0.0),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("", None),
        ("soon", None),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after(text, NOW) == seconds


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, [0-9]+ [A-Z][a-z]{2} [0-9]+ [0-9:]+ [-+A-Z0-9]+"))
def test_retry_after_of_any_text_is_seconds_or_nothing(text: str) -> None:
    seconds = retry_after(text, NOW)
    assert seconds is None or 0 <= seconds < float("inf")


@pytest.mark.parametrize(("status", "seconds"), [(429, 90.0), (503, 90.0), (500, None), (200, None)])
async def test_retry_after_is_read_where_it_has_a_meaning(receiver: Receiver, status: int, seconds: float) -> None:
    receiver.always("/x", Answer(status, {"Retry-After": AT}))
    async with pool(now=lambda: NOW) as sender:
        assert await sender.post(receiver.url("/x")) == Answered(status, seconds)
