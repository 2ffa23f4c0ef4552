"""What a replay decides without anybody: fates, pace, times, marks, and what was asked for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.broker.archive.declared import difference
from worker.broker.archive.marks import BIRTH, Mark, headers_of, mark_in
from worker.broker.archive.reading import stream_moment
from worker.domain.outcome import REASONS
from worker.history.asked import BadFilter
from worker.replay.archive import Begin
from worker.replay.asking import FIELDS, asked, in_words, in_words_among_others, shown
from worker.replay.fates import Fate, Fates, Moment
from worker.replay.jobs import ENDED, Asked, Counts, Job, Kind, State
from worker.replay.pace import BATCH, LEAST, MOST, Pace
from worker.replay.times import Times

NOW = 1_795_867_200.0
MS = int(NOW * 1000)


# Fates


def moment(at: int, outcome: str, reason: str = "", delivery: str = "a", attempt: int = 0) -> Moment:
    return Moment(delivery, at, outcome, reason, attempt)


@pytest.mark.parametrize(
    ("moments", "fate"),
    [
        ([], Fate.MISSING),
        ([moment(1, "DeadLettered", "rejected")], Fate.MISSING),
        ([moment(1, "Skipped", "paused")], Fate.MISSING),
        ([moment(1, "Skipped", "disabled")], Fate.MISSING),
        ([moment(1, "Skipped", "stale")], Fate.OVER),
        ([moment(1, "Skipped", "superseded")], Fate.OVER),
        ([moment(1, "Skipped", "duplicate")], Fate.OVER),
        ([moment(10, "Retried", "5xx")], Fate.WAITS),
        ([moment(9, "Retried", "5xx")], Fate.MISSING),
        ([moment(10, "Parked", "replayed")], Fate.WAITS),
        ([moment(1, "Delivered", "ok"), moment(50, "DeadLettered", "rejected")], Fate.DELIVERED),
        ([moment(50, "Skipped", "duplicate"), moment(40, "Delivered", "ok")], Fate.DELIVERED),
        ([moment(50, "DeadLettered", "x"), moment(20, "Retried", "5xx")], Fate.MISSING),
        ([moment(20, "Skipped", "paused"), moment(50, "Parked", "endpoint_busy")], Fate.WAITS),
        ([moment(1, "Delivered", "ok", "b")], Fate.MISSING),
    ],
)
def test_a_deliverys_fate_is_its_last_row_and_any_success(moments: list[Moment], fate: Fate) -> None:
    assert Fates(moments).of("a", waits_since=10) is fate
    assert Fates(reversed(moments)).of("a", waits_since=10) is fate, "rows come in any order"


@pytest.mark.parametrize(
    ("moments", "fate"),
    [
        ([moment(20, "DeadLettered", "rejected", attempt=8), moment(3000, "Retried", "5xx", attempt=7)], Fate.MISSING),
        ([moment(20, "Skipped", "stale", attempt=1), moment(3000, "Parked", "circuit_open")], Fate.OVER),
        ([moment(20, "DeadLettered", "x", attempt=8), moment(20_000, "Retried", "5xx", attempt=1)], Fate.WAITS),
        ([moment(20, "DeadLettered", "x", attempt=8), moment(3000, "Parked", "replayed")], Fate.WAITS),
        (
            [
                moment(20, "DeadLettered", "x", attempt=8),
                moment(30, "Parked", "replayed"),
                moment(3000, "Retried", "5xx", attempt=1),
            ],
            Fate.WAITS,
        ),
    ],
)
def test_an_end_that_a_slow_clock_dates_before_the_attempt_before_it_is_the_end(
    moments: list[Moment], fate: Fate
) -> None:
    assert Fates(moments).of("a", waits_since=10) is fate


REASON_WORDS = sorted({"replayed", *(reason.value for reasons in REASONS.values() for reason in reasons)})
MOMENTS = st.lists(
    st.builds(
        Moment,
        st.sampled_from("ab"),
        st.integers(0, 20),
        st.sampled_from([one.__name__ for one in REASONS]),
        st.sampled_from(REASON_WORDS),
    ),
    max_size=8,
)


@given(MOMENTS, st.integers(0, 20))
def test_whatever_the_history_shows_nothing_that_was_delivered_is_missing(moments: list[Moment], since: int) -> None:
    fates = Fates(moments)
    own = [each for each in moments if each.id == "a"]
    delivered = any(each.outcome == "Delivered" for each in own)
    assert (fates.of("a", since) is Fate.DELIVERED) == delivered
    assert fates.sent_since("a", since) == any(
        each.at >= since and (each.outcome == "Delivered" or each.reason == "replayed") for each in own
    )
    assert fates.tries("a") == sum(each.reason != "replayed" and each.outcome != "Parked" for each in own)


# Pace


def test_the_window_opens_while_events_are_taken_and_a_dead_receiver_holds_back_few() -> None:
    pace = Pace(None, 0.0)
    assert (pace.batch, pace.wait(0.0, LEAST)) == (LEAST, 0.0)
    pace.published([str(number) for number in range(LEAST)], 0.0)
    assert pace.wait(1000.0, 1) == float("inf")
    pace.taken((), 1000.0)
    assert pace.wait(1000.0, 1) == float("inf"), "nothing was taken"
    pace.taken(set(pace.ahead), 1000.0)
    assert (pace.ahead, pace.batch) == ([], 2 * LEAST)
    grow(pace, 20, 1000.0)
    assert pace.batch == BATCH
    assert pace.wait(1000.0, MOST) == 0.0


def grow(pace: Pace, times: int, now: float) -> None:
    for _ in range(times):
        pace.published(["quick"], now)
        pace.taken({"quick"}, now)


def test_asking_within_two_seconds_opens_nothing_while_nothing_is_taken() -> None:
    pace = Pace(None, 0.0)
    pace.published([str(number) for number in range(LEAST)], 0.0)
    for quarter in range(8):
        pace.taken((), quarter / 4)
        assert pace.wait(quarter / 4, 1) == float("inf")
    pace.taken({"0"}, 1.75)
    assert pace.wait(1.75, LEAST) == 0.0


def test_a_slow_receiver_halves_the_window_down_to_the_least() -> None:
    pace = Pace(None, 0.0)
    grow(pace, 4, 0.0)
    pace.published(["slow"], 0.0)
    for second in range(7, 20):
        pace.taken((), float(second))
    assert pace.batch == LEAST


@given(st.floats(0.01, 100_000.0), st.lists(st.integers(1, 50), min_size=1, max_size=30))
def test_no_more_a_second_than_the_rate(rate: float, counts: list[int]) -> None:
    now, pace, sent = 0.0, Pace(rate, 0.0), 0
    for count in counts:
        pace.taken(set(pace.ahead), now)
        now += pace.wait(now, count)
        assert sent <= now * rate + 1e-6, "each is paid for before the next may go"
        pace.published([f"{sent + number}" for number in range(count)], now)
        sent += count
    assert 1 <= pace.batch <= max(1, rate)


# Times and marks


def test_an_event_is_as_old_as_the_last_moment_in_front_of_it() -> None:
    times = Times([(10, 100.0), (10, 200.0), (20, 300.0)])
    assert [times.of(offset, 999.0) for offset in (10, 19, 20, 500)] == [200.0, 200.0, 300.0, 300.0]
    assert times.of(9, 999.0) == 100.0, "what lies in front of the range is older, and not of now"
    assert Times(()).of(9, 999.0) == 999.0


@given(st.text(min_size=1, max_size=40), st.integers(0, 2**62))
def test_a_mark_is_read_back_and_no_event_is_taken_for_one(name: str, at: int) -> None:
    assert mark_in(headers_of(Mark(name, at))) == Mark(name, at)
    for headers in ({}, {"x-archive-mark": name}, {"x-archive-at": at}, {"x-archive-mark": 1, "x-archive-at": at}):
        assert mark_in(headers) is None
    assert mark_in({"x-archive-mark": BIRTH, "x-archive-at": "1"}) is None


def test_what_is_gone_is_said_only_where_something_can_be() -> None:
    assert Begin(5, "e", None, truncated=False).gone(MS) is None
    assert Begin(5, "e", MS - 1, truncated=False).gone(MS) is None
    assert "was made at" in str(Begin(5, "e", MS + 1, truncated=False).gone(MS))
    assert "begins later" in str(Begin(5, "e", None, truncated=True).gone(MS))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("inequivalent arg 'x-max-age' for queue 'w' in vhost '/': received '12h' but current is '24h'", "24h"),
        ("inequivalent arg 'x-max-age' for queue 'it's' in vhost '/': received none but current is '24h'", "24h"),
        (
            "inequivalent arg 'x-max-age' for queue 'w' in vhost '/': received the value '1' of type 'signedint' "
            "but current is the value '-7' of type 'signedint'",
            -7,
        ),
        ("inequivalent arg 'x-max-age' for queue 'w' in vhost '/': received '12h' but current is none", None),
        # RabbitMQ 4.3
        ("inequivalent arg 'x-max-age' for queue 'w' in vhost '/': received none but current is '21600000'", "21600s"),
    ],
)
def test_an_argument_is_read_out_of_rabbitmqs_refusal(words: str, found: str | int | None) -> None:
    assert difference(words) == ("x-max-age", found)
    assert difference("operation queue.declare caused a channel exception: vhost limit") is None


@pytest.mark.parametrize("seconds", [0.0, -1.0, -62_135_596_800.0, -1e15])
def test_a_moment_before_1970_is_1970_as_amqp_has_no_earlier_one(seconds: float) -> None:
    assert stream_moment(seconds) == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_moment_since_1970_is_itself() -> None:
    assert stream_moment(NOW).timestamp() == NOW


# Asking


def test_what_is_left_out_has_its_default() -> None:
    found = asked({"instance": "acme", "since": "3h"}, NOW)
    assert found == Asked("acme", "default", MS - 3 * 3_600_000, MS)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("since", 3),
        ("since", "soon"),
        ("since", "2999-01-01"),
        ("since", "0s"),
        ("until", "now-ish"),
        ("webhook", ["a"]),
        ("webhook", "x" * 5000),
        ("instance", "\ud800"),
        ("instance", ""),
        ("events", "MESSAGES_UPSERT"),
        ("events", [1]),
        ("events", ["a b"]),
        ("events", ["CALL", "FOO"]),
        ("events", ["A"] * 101),
        ("events", {"a": 1}),
        ("rate", 0),
        ("rate", -1),
        ("rate", 0.09),
        ("rate", 1e-310),
        ("rate", float("nan")),
        ("rate", float("inf")),
        ("rate", True),
        ("rate", "5"),
        ("rate", 10**400),
        ("all", "true"),
        ("all", 1),
        ("dry_run", 0),
        ("accept_gap", []),
        ("owner", "acme"),
    ],
)
def test_each_problem_is_named_with_its_field(field: str, value: object) -> None:
    with pytest.raises(BadFilter) as refused:
        asked({"instance": "acme", "since": "3h", field: value}, NOW)
    assert list(refused.value.problems) == [field]


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(BadFilter, match="since must be before until"):
        asked({"instance": "acme", "since": "3h", "until": "4h"}, NOW)


def test_all_problems_come_together_and_what_is_missing_too() -> None:
    with pytest.raises(BadFilter) as refused:
        asked({"until": 5, "rate": 0, "nothing": None, "other": 1}, NOW)
    assert set(refused.value.problems) == {"instance", "since", "until", "rate", "other"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from((*FIELDS, "x")), JSON, max_size=5))
def test_any_json_is_a_replay_or_a_named_problem(given_: dict[str, Any]) -> None:
    problems: set[str] = set()
    found = None
    try:
        found = asked({"instance": "acme", "since": "1h", **given_}, NOW)
    except BadFilter as error:
        problems = set(error.problems)
    assert problems <= {*FIELDS, "x"}
    assert problems or (found is not None and found.since < found.until <= MS)


def test_a_job_is_shown_whole_and_in_one_line() -> None:
    job = Job(
        "replay_1", asked({"instance": "acme", "since": "1h"}, NOW), MS, State.SENDING, Counts(9, 3, 1, 5), sent=2
    )
    assert json.loads(json.dumps(shown(job)))["to_send"] == 5
    assert in_words(job) == "replay_1 sending: found 9, 3 were delivered, 1 are on their way, 5 to send, 2 sent"
    assert in_words_among_others(job).startswith("acme default, replay since 2026-11-28T11:00:00")
    everything = msgspec.structs.replace(job, asked=msgspec.structs.replace(job.asked, everything=True))
    assert in_words(everything) == "replay_1 sending: found 9, 1 are on their way, 5 to send, 2 sent"
    assert (shown(job)["delivered"], shown(everything)["delivered"]) == (3, None)
    resume = msgspec.structs.replace(job, asked=msgspec.structs.replace(job.asked, kind=Kind.RESUME), counts=None)
    assert in_words(resume) == "replay_1 sending: 2 sent, waits for late ones until 2026-11-28T12:00:00.000Z"
    counting = msgspec.structs.replace(job, state=State.COUNTING, counts=None, counted=Counts(7, 2, 1, 4))
    assert in_words(counting) == "replay_1 counting: found 7 so far"
    assert in_words(Job("r", job.asked, MS)) == "r queued: 0 sent, waits for its turn"
    only_counted = asked({"instance": "acme", "since": "1h", "dry_run": True}, NOW)
    assert in_words(Job("r", only_counted, MS, State.COUNTING)) == "r counting"
    assert in_words(Job("r", only_counted, MS, State.FAILED, gone="some", error="why")) == "r failed: some; why"
    assert {state for state in State if Job("r", job.asked, MS, state).ended} == ENDED
