"""Text of others in one line that moves nothing, on a terminal and in a log."""

import io
import json
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.basics.printable import make_writable, printable, printable_lines

ODD = (
    "\n\r\t\0\x1b\x7f\x85\x9b\u00ad\u061c\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2060"
    "\u2066\u2067\u2068\u2069\u3164\ufeff\ud800\udfff\U000e0041"
)
"""Line ends, controls (C0, C1), bidi, zero-width, unpaired surrogates, tags."""


@pytest.mark.parametrize("char", ODD)
def test_what_is_not_seen_is_shown_by_its_number(char: str) -> None:
    shown = printable(f"a{char}b")
    assert shown.isascii()
    assert json.loads(f'"{shown}"') == f"a{char}b"


@pytest.mark.parametrize("text", ["loja 1/ção", "例え", "عربي", "😀", "a\\n", "", "~", "e\u0301", "❤️"])
def test_what_is_seen_stays(text: str) -> None:
    assert printable(text) == text


@given(st.text(st.characters() | st.sampled_from(ODD)))
@example(ODD)
def test_any_text_becomes_one_line_that_moves_nothing(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert not set(shown) & set(ODD)
    shown.encode()
    assert printable(shown) == shown


@given(st.lists(st.text(st.characters(exclude_characters="\n"))))
def test_line_feeds_of_the_writer_stay(lines: list[str]) -> None:
    assert printable_lines("\n".join(lines)).split("\n") == (list(map(printable, lines)) or [""])


@given(st.text(st.characters()), st.sampled_from(["ascii", "latin-1", "utf-8", "cp1252"]))
def test_any_text_can_be_written_in_any_encoding_and_json_stays_json(text: str, encoding: str) -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding=encoding, newline="")
    make_writable(stream)
    stream.write(json.dumps(text, ensure_ascii=False))
    stream.flush()
    assert json.loads(written.getvalue().decode(encoding)) == json.loads(json.dumps(text))
