"""Signs of life of an instance: merged whatever order they come in, and judged only by what has been heard."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.proof.silence.shops import DAY, MONDAY
from tests.support.captures import EVOLUTION_2, EVOLUTION_GO, load
from worker.domain.event import Event, parse
from worker.domain.silence.pulse import CONNECTIONS, Listening, Pulse, connected_in, heard, judged, reason_of

MINUTE, HOUR = 60_000, 3_600_000
START = MONDAY * 1000
END = START + 15 * DAY * 1000


def after(known: Listening | None, *pulses: Pulse) -> Listening:
    for pulse in pulses:
        known = heard(known, pulse)
    assert known is not None
    return known


def messages(start: int, end: int, every: int = 6 * MINUTE) -> list[Pulse]:
    return [Pulse("acme", at, at) for at in range(start, end, every)]


STEADY = after(None, *messages(START, END))
LAST = END - 6 * MINUTE
LATER = LAST + 3 * HOUR


def test_an_instance_without_a_message_is_not_known() -> None:
    assert heard(None, Pulse("acme", None, START, False, START)) is None


def test_one_that_lacks_messages_while_others_come_is_silent_and_looked_at_again_before() -> None:
    known = after(STEADY, Pulse("acme", None, LAST + 40 * MINUTE))
    early = judged(known, LAST + 40 * MINUTE)
    assert (early.silent, early.look) == (False, LAST + 45 * MINUTE)
    late = judged(after(early, Pulse("acme", None, LATER)), LATER)
    assert late.silent
    assert "no message has come for 3 h 0 min" in reason_of(late)


def test_what_has_not_been_heard_yet_is_no_silence() -> None:
    known = after(STEADY, Pulse("acme", None, LAST + 10 * MINUTE))
    assert not judged(known, LATER).silent, "pulses are late, or nothing at all came"


def test_a_message_ends_the_silence() -> None:
    silent = judged(after(STEADY, Pulse("acme", None, LATER)), LATER)
    spoke = after(silent, Pulse("acme", LATER + 1))
    assert (spoke.silent, spoke.look) == (False, LATER + 1 + 30 * MINUTE)


def test_one_that_is_not_connected_is_not_silent_and_counts_from_when_it_is_again() -> None:
    closed = after(STEADY, Pulse("acme", None, LAST + HOUR, False, LAST + HOUR), Pulse("acme", None, LATER))
    assert not judged(closed, LATER).silent
    opened = after(closed, Pulse("acme", None, LATER, True, LATER))
    assert opened.since == LATER
    assert not judged(after(opened, Pulse("acme", None, LATER + HOUR)), LATER + HOUR).silent
    assert judged(after(opened, Pulse("acme", None, LATER + 3 * HOUR)), LATER + 3 * HOUR).silent


def test_a_silent_one_that_is_disconnected_is_silent_no_more() -> None:
    silent = judged(after(STEADY, Pulse("acme", None, LATER)), LATER)
    assert not after(silent, Pulse("acme", None, LATER + 1, False, LATER + 1)).silent


def test_a_message_after_the_word_that_it_is_disconnected_proves_that_it_is_not() -> None:
    closed = after(STEADY, Pulse("acme", None, LAST + 1, False, LAST + 1))
    assert after(closed, Pulse("acme", LAST + 2)).connected
    assert after(STEADY, Pulse("acme", None, LAST - 1, False, LAST - 1)).connected, "the word came late"


PULSES = st.lists(
    st.builds(
        lambda message, other, connection: Pulse(
            "acme",
            None if message is None else LAST - HOUR + message,
            None if other is None else LAST - HOUR + other,
            None if connection is None else connection % 2 == 0,
            None if connection is None else LAST - HOUR + connection,
        ),
        *[st.none() | st.integers(0, HOUR - 1)] * 3,
    ),
    max_size=8,
)


@given(PULSES, st.randoms())
def test_order_and_repeats_of_pulses_within_an_hour_change_neither_times_nor_minutes(
    pulses: list[Pulse], chance
) -> None:  # type: ignore[no-untyped-def]
    again = [*pulses, *pulses]
    chance.shuffle(again)
    first, second = after(STEADY, *pulses), after(STEADY, *again)
    assert (first.message, first.other, first.minutes, first.habits) == (
        second.message,
        second.other,
        second.minutes,
        second.habits,
    )


def test_each_minute_counts_once_in_the_hour_that_is_learned() -> None:
    hour = START + 16 * DAY * 1000
    twice = after(STEADY, *messages(hour, hour + HOUR), *messages(hour, hour + HOUR, 3 * MINUTE))
    assert twice.habits.busy == 20
    learned = after(twice, Pulse("acme", hour + HOUR))
    assert (learned.habits.busy, learned.minutes) == (1, 1)
    assert after(learned, Pulse("acme", hour + 59 * MINUTE)) == learned, "that hour is learned already"


def connection(state: str) -> Event:
    return parse(f'{{"event":"connection.update","instance":"acme","data":{state}}}'.encode())


@pytest.mark.parametrize(
    ("data", "connected"),
    [('{"state":"open"}', True), ('{"state":"close"}', False), ('{"state":"connecting"}', False)]
    + [(text, None) for text in ("null", '"open"', "{}", '{"state":7}', '{"state":null}')],
)
def test_the_connection_as_evolution_api_tells_it(data: str, connected: bool | None) -> None:
    assert connected_in(connection(data)) is connected


def test_the_connection_as_it_was_recorded() -> None:
    found = [parse(captured.body) for name in (EVOLUTION_2, EVOLUTION_GO) for captured in load(name)]
    said = {(event.kind, connected_in(event)) for event in found if event.kind in CONNECTIONS}
    assert {("CONNECTION_UPDATE", True), ("CONNECTED", True), ("LOGGED_OUT", False)} <= said


def test_the_clock_of_a_replica_that_goes_back_changes_nothing() -> None:
    assert replace(after(STEADY, Pulse("acme", LAST - HOUR)), minutes=0) == replace(STEADY, minutes=0)
