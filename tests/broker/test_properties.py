"""A content header says the same, read at once or by pamqp."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pamqp import decode, frame
from pamqp.commands import Basic
from pamqp.exceptions import PAMQPException
from pamqp.header import ContentHeader

from worker.broker import properties
from worker.broker.decoders import read_whatever_comes
from worker.broker.past_headers import headers_of, past_in
from worker.broker.properties import HEADER_BYTES, Properties, properties_in, says_something
from worker.domain.past import Past

PAST = Past(
    "an-event", 1764450000.0, "evolution", "acme.messages.upsert", "web", 3, 1, 503, "héllo", ("t 503", "t timeout")
)
DEATH = {
    "x-death": [{"count": 1, "queue": "webhooks.retry.5s", "time": datetime(2026, 11, 29, tzinfo=UTC), "n": [1]}],
    "x-first-death-reason": "expired",
    "x-first-death-queue": "webhooks.retry.5s",
    "x-first-death-exchange": "",
}


@pytest.fixture(autouse=True)
def _our_decoders() -> None:
    read_whatever_comes()


def _frame(**of: Any) -> bytes:
    return frame.marshal(ContentHeader(body_size=812, properties=Basic.Properties(**of)), 7)


def _either_way(data: bytes) -> tuple[object, object]:
    """What is found among other bytes, and what pamqp finds; where it raises, its error's type."""

    def found(read: Any) -> object:
        try:
            return tuple(read())
        except (PAMQPException, ValueError, LookupError, TypeError) as error:
            return type(error)

    among = b"before" + data + b"behind"
    return found(lambda: properties_in(among, 6, 6 + len(data))), found(lambda: properties._by_pamqp(data))


def test_a_delivery_that_comes_back_is_read_without_pamqp(monkeypatch: pytest.MonkeyPatch) -> None:
    data = _frame(content_type="application/json", headers=headers_of(PAST) | DEATH, delivery_mode=2, message_id="a.17")
    monkeypatch.setattr(frame, "unmarshal", None)
    size, headers, message_id = properties_in(data, 0, len(data))
    assert (size, message_id) == (812, "a.17")
    assert past_in(headers) == PAST
    assert headers == headers_of(PAST)


def test_what_the_archive_says_is_read_without_pamqp(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"x-stream-offset": 2**40, "x-archive-mark": "birth", "x-archive-at": 1764450000000}
    data = _frame(headers={**said, "x-stream-filter-value": "a", **DEATH}, delivery_mode=1)
    monkeypatch.setattr(frame, "unmarshal", None)
    assert properties_in(data, 0, len(data)).headers == said


values = st.recursive(
    st.one_of(
        st.text(max_size=9),
        st.integers(-(2**63), 2**63 - 1),
        st.booleans(),
        st.none(),
        st.binary(max_size=9).map(bytearray),
        st.floats(width=32, allow_nan=False),
        st.just(datetime(2026, 11, 29, tzinfo=UTC)),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text("kö", max_size=3), inner, max_size=3)),
    max_leaves=6,
)
headers = st.dictionaries(st.sampled_from(["x-death", "x-delivery-log", "ö", "", "traceparent"]), values, max_size=5)
written = st.fixed_dictionaries(
    {},
    optional={
        "content_type": st.sampled_from(["application/json", "", "ö"]),
        "content_encoding": st.just("utf-8"),
        "headers": headers,
        "delivery_mode": st.just(2),
        "priority": st.just(3),
        "expiration": st.just("60000"),
        "message_id": st.text("xyzö", max_size=9),
        "timestamp": st.just(datetime(2026, 11, 28, tzinfo=UTC)),
        "app_id": st.just("evolution"),
    },
)


@given(written)
@example({"headers": {"x-death": "text", "k": 1}})
@example({"headers": {"x-delivery-flag": True, "x-death": [{"n": 1}], "k": 1.5, "traceparent": "00-1"}})
@example(
    {"headers": {"x-delivery-k": "v"}, "priority": 3, "expiration": "9", "message_id": "id", "app_id": "evolution"}
)
def test_whatever_is_written_is_read_alike(of: dict[str, Any]) -> None:
    fast, slow = _either_way(_frame(**of))
    assert isinstance(slow, tuple)
    assert fast == slow


@given(written, st.integers(0, 10**6), st.binary(min_size=1, max_size=3))
@example({"headers": {"x-death": ["abc"]}}, 34, b"\xff")
@example({"headers": {"k": "v"}}, 27, b"\xff\xff")
def test_what_is_damaged_is_judged_alike(of: dict[str, Any], at: int, other: bytes) -> None:
    data = bytearray(_frame(**of))
    at %= len(data) - len(other)
    data[at : at + len(other)] = other
    data[3:7], data[-1:] = (len(data) - 8).to_bytes(4), b"\xce"  # the cutter has seen to the frame itself
    data[0] = 2
    fast, slow = _either_way(bytes(data))
    assert fast == slow


@pytest.mark.parametrize("kind", sorted(decode.TABLE_MAPPING))
def test_a_value_of_each_type_is_read_without_pamqp(kind: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    size, value = decode.TABLE_MAPPING[kind](bytes(9))
    table = KEY + kind + bytes(size)
    data = _frame(headers={"k": 1})[:HEADER_BYTES] + len(table).to_bytes(4) + table + b"\xce"
    monkeypatch.setattr(frame, "unmarshal", None)
    assert properties_in(data, 0, len(data)).headers == {"x-delivery-key": value}


KEY = b"\x0ex-delivery-key"


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data.replace(KEY, KEY[:-1] + b"\xff"), id="a key that is no UTF-8"),
        pytest.param(lambda data: data.replace(b"\x02id", b"\x02\xff\xfe"), id="an id that is no UTF-8"),
        pytest.param(lambda data: data.replace(KEY + b"S", KEY + b"q"), id="a type that nobody knows"),
        pytest.param(lambda data: data.replace(KEY, b"\x11" + KEY[1:]), id="a last key without its type"),
        pytest.param(lambda data: data[:12] + b"\xce", id="a header that is cut off"),
    ],
)
def test_what_is_odd_is_judged_by_pamqp(damage: Callable[[bytes], bytes]) -> None:
    whole = _frame(headers={"x-delivery-key": ""}, message_id="id")
    data = damage(whole)
    assert data != whole
    fast, slow = _either_way(data)
    assert fast == slow


def test_a_text_that_is_no_utf_8_stays_bytes() -> None:
    data = _frame(headers={"x-delivery-error": "ab"}, message_id="id").replace(b"ab", b"\xff\xfe")
    assert properties_in(data, 0, len(data)) == Properties(812, {"x-delivery-error": b"\xff\xfe"}, "id")


@pytest.mark.parametrize(
    ("of", "says"),
    [
        ({}, False),
        ({"content_type": "application/json", "delivery_mode": 2, "app_id": "evolution"}, False),
        ({"headers": {"k": 1}}, True),
        ({"message_id": "id"}, True),
    ],
)
def test_a_header_without_properties_of_use_says_nothing(of: dict[str, Any], says: bool) -> None:
    assert says_something(b"before" + _frame(**of), 6) is says
