"""What a message carries through the broker comes back as it was, and damage is noticed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import decode, encode

from worker.broker.past_headers import LONGEST_TEXT, PREFIX, headers_of, past_in, trace_in
from worker.domain.event import InvalidEvent
from worker.domain.past import KEPT_ENTRIES, KEPT_TEXT, Past

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
COUNT = st.integers(0, 2**31 - 1)
HISTORIES = st.builds(
    Past,
    event_id=TEXT,
    first_seen=st.integers(0, 10**13).map(lambda ms: ms / 1000),  # headers hold milliseconds
    exchange=TEXT,
    routing_key=TEXT,
    webhook_id=st.none() | TEXT,
    attempts=COUNT,
    parkings=COUNT,
    last_status=st.none() | st.integers(100, 999),
    last_error=st.none() | TEXT,
    log=st.lists(TEXT, max_size=KEPT_ENTRIES).map(tuple),
)
FIRST = Past("a" * 64, 1_700_000_000.125, "evolution_exchange", "messages.upsert")


def through_amqp(headers: dict[str, object]) -> dict[str, object]:
    """As a broker hands them back: encoded and decoded by the library under aio-pika and aiormq."""
    return dict(decode.field_table(encode.field_table(headers))[1])


@given(HISTORIES)
def test_headers_round_trip(past: Past) -> None:
    assert past_in(headers_of(past)) == past


@given(HISTORIES)
def test_headers_round_trip_through_amqp(past: Past) -> None:
    assert past_in(through_amqp(headers_of(past))) == past


@pytest.mark.parametrize("count", [0, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32])
def test_every_size_of_integer_survives_amqp(count: int) -> None:
    past = Past("id", count / 1000, "", "", attempts=count, parkings=count)
    assert past_in(through_amqp(headers_of(past))) == past


@given(HISTORIES)
def test_strings_that_arrive_as_bytes_are_read(past: Past) -> None:
    def raw(value: object) -> object:
        return value.encode() if isinstance(value, str) else value

    headers = {
        key: [raw(entry) for entry in value] if isinstance(value, list) else raw(value)
        for key, value in headers_of(past).items()
    }
    assert past_in(headers) == past


@pytest.mark.parametrize("headers", [{}, {"x-death": [{"count": 1}]}, {PREFIX + "attempts": 3}])
def test_an_event_from_evolution_has_no_past(headers: dict[str, object]) -> None:
    assert past_in(headers) is None


def test_foreign_headers_do_not_replace_ours() -> None:
    foreign = {"attempts": 99, "exchange": "other", "log": "x", "webhook": "y", "x-death": [{"count": 1}]}
    assert past_in(headers_of(FIRST) | foreign) == FIRST
    assert past_in(foreign | headers_of(FIRST)) == FIRST


@pytest.mark.parametrize("missing", ["first-seen", "exchange", "routing-key", "attempts", "parkings"])
def test_a_missing_header_is_named(missing: str) -> None:
    headers = headers_of(FIRST)
    del headers[PREFIX + missing]
    with pytest.raises(InvalidEvent, match=f"{PREFIX}{missing} is missing or damaged"):
        past_in(headers)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("event-id", 7),
        ("event-id", b"\xff\xfe"),
        ("first-seen", "yesterday"),
        ("first-seen", 1.5),
        ("first-seen", -1),
        ("first-seen", 2**64),
        ("first-seen", 10**400),
        ("exchange", None),
        ("attempts", True),
        ("attempts", -1),
        ("attempts", "3"),
        ("parkings", []),
        ("webhook", None),
        ("webhook", {}),
        ("last-status", "500"),
        ("last-error", 5),
        ("log", "one"),
        ("log", {"a": 1}),
        ("log", ["fine", 7]),
        ("log", None),
    ],
)
def test_a_damaged_header_is_named_and_not_quoted(key: str, value: object) -> None:
    with pytest.raises(InvalidEvent, match=f"^the message's header {PREFIX}{key} is missing or damaged$"):
        past_in({**headers_of(FIRST), PREFIX + key: value})


FIELDS = st.sampled_from([key.removeprefix(PREFIX) for key in headers_of(FIRST)] + ["webhook", "last-error", "log"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
VALUES = SCALARS | st.lists(SCALARS, max_size=3)


@given(st.dictionaries(FIELDS.map(PREFIX.__add__), VALUES))
def test_any_headers_are_read_or_refused(headers: dict[str, object]) -> None:
    try:
        past = past_in({**headers_of(FIRST), **headers})
    except InvalidEvent as error:
        str(error).encode()
    else:
        assert past is None or past.first_seen >= 0


def test_a_failed_attempt_is_charged_and_logged() -> None:
    past = FIRST.for_webhook("crm").failed(500, "the receiver answered 500", "2026-01-01T00:00:00Z 500")
    past = past.parked().failed(None, "no answer within 30 s", "2026-01-01T00:00:05Z timeout")
    assert (past.webhook_id, past.attempts, past.parkings) == ("crm", 2, 1)
    assert (past.last_status, past.last_error) == (None, "no answer within 30 s")
    assert past.log == ("2026-01-01T00:00:00Z 500", "2026-01-01T00:00:05Z timeout")
    assert (past.event_id, past.first_seen) == (FIRST.event_id, FIRST.first_seen)


def test_the_log_keeps_the_latest_entries() -> None:
    past = FIRST
    for attempt in range(KEPT_ENTRIES + 5):
        past = past.failed(500, "", f"entry {attempt}")
    assert past.attempts == KEPT_ENTRIES + 5
    assert past.log == tuple(f"entry {attempt}" for attempt in range(5, KEPT_ENTRIES + 5))


def test_whatever_a_receiver_sends_the_headers_can_be_sent_in_one_frame() -> None:
    past = FIRST
    for _ in range(KEPT_ENTRIES):
        past = past.failed(500, "\udcff😀" * 100_000, "\udcff😀" * 100_000)
    assert len(past.last_error or "") == KEPT_TEXT
    table = encode.field_table(headers_of(past))
    assert len(table) < 64 * 1024
    assert past_in(dict(decode.field_table(table)[1])) == past


def test_of_a_long_log_the_last_entries_are_kept() -> None:
    lines = [f"t {number}" for number in range(2 * KEPT_ENTRIES)]
    past = past_in(headers_of(FIRST) | {f"{PREFIX}log": lines})
    assert past is not None
    assert past.log == tuple(lines[-KEPT_ENTRIES:])


@pytest.mark.parametrize("of", ["event-id", "exchange", "routing-key", "webhook", "last-error"])
def test_a_text_that_is_too_long_for_one_of_ours_is_damage(of: str) -> None:
    headers = headers_of(FIRST)
    assert past_in(headers | {PREFIX + of: "x" * LONGEST_TEXT}) is not None
    with pytest.raises(InvalidEvent, match=f"{PREFIX}{of} is missing or damaged"):
        past_in(headers | {PREFIX + of: "x" * (LONGEST_TEXT + 1)})


def test_a_trace_that_is_longer_than_any_is_left_out() -> None:
    fits = {"traceparent": bytearray(b"00-ab"), "tracestate": "k=" + "v" * (LONGEST_TEXT - 2)}
    assert trace_in(fits) == {"traceparent": "00-ab", "tracestate": fits["tracestate"]}
    assert trace_in(fits | {"tracestate": "k=" + "v" * LONGEST_TEXT}) == {"traceparent": "00-ab"}
