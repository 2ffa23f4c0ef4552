"""Batches as bytes: what went in comes out, and what nobody of ours wrote is refused with a reason."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.history.fakes import row
from worker.domain.history import Batch, Row
from worker.domain.silence.pulse import Pulse
from worker.history.batches import UnreadableBatch, decode, encode, encode_pulses

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
INTS = st.integers(-(2**62), 2**62)
ROWS = st.builds(
    Row, INTS, TEXT, TEXT, *[st.none() | TEXT] * 4, TEXT, TEXT, INTS, *[st.none() | INTS] * 2, *[st.none() | TEXT] * 3,
    INTS, st.none() | TEXT,
)  # fmt: skip
BATCHES = st.builds(
    Batch, TEXT.filter(bool), st.integers(0, 2**62), TEXT, st.lists(ROWS, min_size=1, max_size=3).map(tuple)
)


@given(BATCHES)
def test_a_batch_comes_out_as_it_went_in(batch: Batch) -> None:
    assert decode(encode(batch)) == batch


def test_a_text_that_utf8_cannot_hold_costs_itself_alone() -> None:
    found = decode(encode(Batch("p", 0, "r", (row(error="half \ud83d of one"), row(1)))))
    assert [one.error for one in found.rows] == ["half ? of one", None]


def written(**changed: object) -> bytes:
    return json.dumps({"v": 1, "producer": "p", "number": 0, "replica": "r", "rows": [list(row())], **changed}).encode()


@given(st.lists(st.builds(Pulse, TEXT, *[st.none() | INTS] * 2, st.none() | st.booleans(), st.none() | INTS)))
def test_pulses_come_out_as_they_went_in(pulses: list[Pulse]) -> None:
    assert decode(encode_pulses(pulses)) == tuple(pulses)


def test_pulses_are_of_a_version_of_their_own_and_rows_of_the_one_before() -> None:
    """A writer of before reads rows, and says of pulses that it is to be updated."""
    batch, pulses = encode(Batch("p", 0, "r", (row(),))), encode_pulses([Pulse("acme", 1)])
    assert json.loads(pulses) == {"v": 2, "pulses": [["acme", 1, None, None, None]]}
    assert json.loads(batch) == json.loads(written())


def test_the_form_is_the_one_that_is_documented() -> None:
    assert decode(written()) == Batch("p", 0, "r", (row(),))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "no batch"),
        (b"no json", "no batch"),
        (b"\xff\xfe", "no batch"),
        (b"[" * 5000, "no batch"),
        (b"null", "no batch"),
        (written(v=3), "version 3, and this writer reads up to 2"),
        (written(v=2), "pulses"),
        (written(v="1"), "no batch"),
        (written(rows=[]), "no rows"),
        (written(rows=[list(row())[:-1]]), "no batch"),
        (written(rows=[[*row(), "more"]]), "no batch"),
        (written(rows=[list(row(at="yesterday"))]), "no batch"),
        (written(rows=[list(row(status=200.5))]), "no batch"),
        (written(rows=[list(row(id=None))]), "no batch"),
        (written(rows="all"), "no batch"),
        (written(producer=""), "no producer"),
        (written(number=-1), "below 0"),
    ],
)
def test_what_is_no_batch_is_refused_with_a_reason(body: bytes, reason: str) -> None:
    with pytest.raises(UnreadableBatch, match=reason):
        decode(body)


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_else(body: bytes) -> None:
    with pytest.raises(UnreadableBatch):
        decode(body)
