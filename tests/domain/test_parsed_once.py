"""Events that both sides take are parsed once, and nobody can tell."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain import parsed_once
from worker.domain.event import Event, InvalidEvent, parse
from worker.domain.parsed_once import HEAD_BYTES, LARGEST_BODY, ParsedOnce


def body(number: int, padding: int = 0) -> bytes:
    data = {"key": {"remoteJid": f"{number}@s.whatsapp.net"}, "text": "x" * padding}
    return json.dumps({"event": "messages.upsert", "instance": f"i{number % 3}", "data": data}).encode()


def parsed(body: bytes, by: object) -> object:
    """What comes of it, to be compared."""
    try:
        return by(body)  # type: ignore[operator]
    except InvalidEvent as error:
        return str(error)


ALIKE = [json.dumps({"event": "call", "instance": "a" * 240, "data": {"n": number}}).encode() for number in range(3)]
"""They differ behind the bytes by which an event is found."""

BODIES = st.sampled_from([*map(body, range(6)), *ALIKE, body(7, LARGEST_BODY), b"", b"{}", b'{"event":"call"}', b"["])
STEPS = st.lists(st.tuples(BODIES, st.sampled_from(["takes", "takes", "takes", "ends", "begins"])), max_size=60)


@given(STEPS, st.integers(1, 5))
def test_whatever_was_taken_before_it_is_the_event_that_its_bytes_are(
    steps: list[tuple[bytes, str]], most: int
) -> None:
    assert len({one[:HEAD_BYTES] for one in ALIKE}) == 1
    once = ParsedOnce(most)
    for raw, what in steps:
        if what == "ends":
            once.one_side_ended()
        elif what == "begins":
            once.both = True
        assert parsed(bytes(bytearray(raw)), once.parse) == parsed(raw, parse)
        assert len(once) <= most + 1


def test_the_second_side_finds_what_the_first_one_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[bytes] = []

    def counted(raw: bytes) -> Event:
        times.append(raw)
        return parse(raw)

    monkeypatch.setattr(parsed_once, "parse", counted)
    once = ParsedOnce()
    once.both = True
    sides = [[once.parse(body(number)) for number in range(100)] for _ in range(2)]
    assert (sides[0], len(times), len(once)) == (sides[1], 100, 0)
    once.parse(body(7, LARGEST_BODY))
    assert len(once) == 0, "a large one takes no memory"


def test_nothing_is_kept_while_only_one_side_takes() -> None:
    once = ParsedOnce()
    once.parse(body(1))
    assert len(once) == 0
    once.both = True
    once.parse(body(1))
    assert len(once) == 1
    once.one_side_ended()
    once.parse(body(2))
    assert len(once) == 0


def test_what_nobody_comes_for_takes_no_more_memory_than_it_may() -> None:
    size = len(body(0, 1000))
    once = ParsedOnce(most_bytes=10 * size)
    once.both = True
    most = 0
    for number in range(1000):
        once.parse(body(number, 1000))
        most = max(most, len(once))
    assert 5 <= most <= 12
    assert once.parse(body(999, 1000)) == parse(body(999, 1000))


def test_while_nobody_comes_for_them_few_are_kept_and_soon_after_all_again() -> None:
    """A backlog, on which one side is too far ahead, and then its end."""
    once = ParsedOnce(most=20)
    once.both = True
    kept = 0
    for number in range(1000):
        before = len(once)
        once.parse(body(number))
        kept += len(once) != before
    assert 150 <= kept <= 300, "20 of each 100"
    found = 0
    for number in range(1000, 1200):
        once.parse(body(number))
        before = len(once)
        once.parse(body(number))
        found += len(once) < before
    assert found >= 150
