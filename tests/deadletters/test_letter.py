"""Reading, choosing and showing dead letters: the pure part."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.basics.moments import moment_or_age
from worker.broker.past_headers import PREFIX, headers_of
from worker.deadletters import shown as output
from worker.deadletters.filter import Filter
from worker.deadletters.letter import DELIVERY_LIMIT, LETTER_REASONS, UNKNOWN, Letter, Mark, read, redriven
from worker.domain.event import InvalidEvent, identity
from worker.domain.past import Past
from worker.domain.routing import delivery_id

BODY = b'{"event":"messages.upsert","instance":"acme","data":{"n":1},"apikey":"K-SECRET"}'
PAST = Past(
    "e" * 64, 1000.5, "evolution_exchange", "messages.upsert", "default", 3, 2, 500, "bad", ("t1 500", "t2 500")
)
FACTS = {"reason": "rejected", "error": "the receiver answered 400", "instance": "acme", "event": "messages.upsert"}
FACTS |= {"id": "msg_1", "dead-since": "2026-11-22T10:00:00.000+00:00"}
DIED = datetime(2026, 11, 22, 9, tzinfo=UTC)


def headers(past: Past = PAST, **facts: object) -> dict[str, object]:
    return headers_of(past) | {PREFIX + key: value for key, value in (FACTS | facts).items() if value is not None}


def death(reason: str = "delivery_limit", queue: str = "webhooks.events") -> dict[str, object]:
    return {"reason": reason, "queue": queue, "exchange": "ex", "routing-keys": ["messages.upsert"], "time": DIED}


def test_a_mark_tells_one_set_of_letters_from_any_other() -> None:
    one, two = read(headers(id="msg_1"), BODY, None), read(headers(id="msg_2"), BODY, None)
    again = read(headers(id="msg_1", **{"dead-since": "2026-11-22T11:00:00.000+00:00"}), BODY, None)

    def mark(*letters: Letter) -> str:
        found = Mark()
        for letter in letters:
            found.add(letter)
        return found.text

    assert mark(one, two) == mark(two, one) != mark(again, two)
    assert len({mark(), mark(one), mark(one, one), mark(two), mark(one, two)}) == 5


def test_until_leaves_out_what_died_later_and_nothing_that_does_not_say_when() -> None:
    letter = read(headers(), BODY, None)
    unknown = read(headers(**{"dead-since": None}), BODY, None)
    assert letter.dead_since is not None
    assert not Filter(until=letter.dead_since).matches(letter)
    assert Filter(until=letter.dead_since + 0.001).matches(letter)
    assert Filter(until=1.0).matches(unknown)


def test_the_workers_own_letter_is_read_from_its_headers_alone() -> None:
    letter = read(headers(), b"not even JSON", None)
    assert (letter.id, letter.reason, letter.instance, letter.event) == ("msg_1", "rejected", "acme", "messages.upsert")
    assert (letter.webhook, letter.attempts, letter.last_status, letter.last_error) == ("default", 3, 500, "bad")
    assert (letter.first_seen, letter.error) == (1000.5, "the receiver answered 400")
    assert letter.dead_since == datetime(2026, 11, 22, 10, tzinfo=UTC).timestamp()
    assert letter.log == ("t1 500", "t2 500")


def test_a_letter_without_an_id_gets_the_one_that_its_delivery_has() -> None:
    assert read(headers(id=None), BODY, None).id == delivery_id("e" * 64, "acme", "default")


def test_the_brokers_letter_shows_the_delivery_limit_and_what_its_body_names() -> None:
    letter = read({"x-death": [death("expired", "x"), death()]}, BODY, None)
    assert (letter.reason, letter.instance, letter.event) == (DELIVERY_LIMIT, "acme", "messages.upsert")
    assert (letter.exchange, letter.routing_key, letter.dead_since) == ("ex", "messages.upsert", DIED.timestamp())
    assert letter.id == "evt_" + identity(BODY, None)[:32]
    assert letter.first_seen is None


def test_what_the_worker_had_rejected_was_too_large_for_the_broker() -> None:
    letter = read(
        headers_of(PAST) | {"x-death": [death("expired", "x"), death("rejected", "webhooks.retries")]}, BODY, None
    )
    assert letter.reason == "too_large_for_broker"
    assert letter.webhook == PAST.webhook_id
    assert letter.error == "RabbitMQ dead-lettered it from webhooks.retries: rejected"


def test_the_brokers_letter_of_a_retry_keeps_its_webhook() -> None:
    letter = read(headers_of(PAST) | {"x-death": [death(queue="webhooks.retries")]}, BODY, None)
    assert (letter.reason, letter.webhook, letter.attempts) == (DELIVERY_LIMIT, "default", 3)
    assert letter.id == delivery_id("e" * 64, "acme", "default")


@pytest.mark.parametrize("name", ["attempts", "first-seen", "webhook", "log"])
def test_a_letter_with_damaged_headers_is_shown_and_cannot_be_redriven(name: str) -> None:
    found = headers() | {PREFIX + name: Decimal(1)}
    letter = read(found, BODY, None)
    assert letter.reason == "rejected"
    assert letter.error is not None
    assert PREFIX + name in letter.error
    with pytest.raises(InvalidEvent):
        redriven(found, BODY, None, 0)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
    | st.datetimes() | st.decimals(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
_names = st.sampled_from(["x-death", *(PREFIX + name for name in (*FACTS, "event-id", "webhook", "log", "attempts"))])


@given(st.dictionaries(_names, _values), st.binary(max_size=30), st.none() | st.text())
def test_nothing_that_somebody_publishes_breaks_reading_or_showing(
    found: dict[str, Any], body: bytes, message_id: str | None
) -> None:
    letter = read(found, body, message_id)
    json.loads("".join(output.as_json([letter])))
    assert "".join(output.table([letter])).count("\n") == 2
    assert json.loads(output.compact(output.in_full(letter, found, body)))["letter"]["id"] == output.shown(letter)["id"]
    output.pretty(output.in_full(letter, found, body)).encode()


@pytest.mark.parametrize("reason", ["expired", "maxlen"])
def test_what_an_operators_policy_took_out_says_so(reason: str) -> None:
    letter = read({"x-death": [death(reason), death("expired", "webhooks.retry.5s")]}, BODY, None)
    assert letter.reason == "queue_policy"
    assert letter.error == f"RabbitMQ dead-lettered it from webhooks.events: {reason}"
    crashing = read({"x-death": [death(), death("expired", "webhooks.retry.5s")]}, BODY, None)
    assert crashing.reason == DELIVERY_LIMIT
    assert read({"x-death": [{"reason": ["rejected"]}]}, BODY, None).reason == UNKNOWN


def test_what_says_nothing_is_unknown() -> None:
    letter = read({}, b"\xff garbage", None)
    assert (letter.reason, letter.instance, letter.dead_since, letter.id[:4]) == (UNKNOWN, None, None, "evt_")


def test_a_redriven_past_begins_anew_and_keeps_id_webhook_and_log() -> None:
    past = redriven(headers(), BODY, None, 2000.0)
    assert (past.event_id, past.webhook_id) == (PAST.event_id, "default")
    assert (past.attempts, past.parkings, past.first_seen) == (0, 0, 2000.0)
    assert (past.last_status, past.last_error) == (None, None)
    assert past.log == ("t1 500", "t2 500", "1970-01-01T00:33:20.000+00:00 redriven")


def test_a_letter_that_never_was_a_delivery_keeps_the_identity_of_its_event() -> None:
    past = redriven({"x-death": [death()]}, BODY, "m-1", 5.0)
    assert (past.event_id, past.webhook_id) == (identity(BODY, "m-1"), None)
    assert (past.exchange, past.routing_key) == ("ex", "messages.upsert")


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (Filter(), True),
        (Filter(instance="acme", event="MESSAGES_UPSERT", reason="rejected", webhook="default"), True),
        (Filter(event="messages-upsert"), True),
        (Filter(event="chats.upsert"), False),
        (Filter(instance="Acme"), False),
        (Filter(reason="expired"), False),
        (Filter(webhook="global"), False),
        (Filter(ids=frozenset({"msg_1", "x"})), True),
        (Filter(ids=frozenset({"x"})), False),
        (Filter(since=datetime(2026, 11, 22, 10, tzinfo=UTC).timestamp()), True),
        (Filter(since=datetime(2026, 11, 22, 10, 0, 1, tzinfo=UTC).timestamp()), False),
    ],
)
def test_a_filter_means(chosen: Filter, expected: bool) -> None:
    assert chosen.matches(read(headers(), BODY, None)) is expected


def test_synonyms_are_one_event() -> None:
    letter = read(headers(event="groups.update"), BODY, None)
    assert Filter(event="GROUP_UPDATE").matches(letter)


def test_a_letter_of_unknown_time_or_event_matches_no_filter_on_it() -> None:
    letter = read({}, b"", None)
    assert not Filter(since=0).matches(letter)
    assert not Filter(event="call").matches(letter)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 910), ("2m", 880), ("1h", -2600), ("1d", -85400), ("1970-01-01T00:10:00Z", 600), ("1970-01-02", 86400)],
)
def test_since_takes_ages_and_iso_times(text: str, expected: float) -> None:
    assert moment_or_age(text, 1000) == expected


@pytest.mark.parametrize("text", ["", "2", "2w", "h", "-2h", "yesterday", "9999999999d", "2026-13-01"])
def test_since_says_what_it_takes(text: str) -> None:
    with pytest.raises(ValueError, match="must be an age"):
        moment_or_age(text, 0)


def test_no_secret_is_shown() -> None:
    facts = {"error": "cannot reach https://user:hunter2@h/x"}
    body = json.dumps(
        {
            "apikey": "hunter2",
            "data": [{"Authorization": "hunter2", "n": 1, "u": "http://a:hunter2@h"}],
            "instanceToken": "hunter2",
        }
    )
    found = headers(**facts) | {"authorization": "hunter2", "x": {"api_key": ["hunter2", 7]}}
    letter = read(found, body.encode(), None)
    full = output.in_full(letter, found, body.encode())
    text = output.in_full(letter, {}, b'{"instanceToken":"hunter2","apikey": "hunter2", "a": broken')
    every = [output.pretty(full), output.compact(full), *output.table([letter]), *output.as_json([letter])]
    assert "hunter2" not in "".join([*every, output.pretty(text)])
    assert '"n": 1' in output.pretty(full)
    assert "7" not in str(full["headers"]["x"])  # type: ignore[index]


def test_a_table_line_cannot_be_broken_by_a_name() -> None:
    letter = read(headers(instance="a\nb\x1b[31m" + "x" * 500), BODY, None)
    lines = "".join(output.table([letter])).split("\n")
    assert len(lines) == 3
    assert "\x1b" not in lines[1]
    assert "…" in lines[1]


def test_an_empty_list_is_an_empty_array() -> None:
    assert json.loads("".join(output.as_json([]))) == []


def test_reasons_are_summed_up() -> None:
    assert output.by_reason(Counter(rejected=2, expired=1)) == "2 rejected, 1 expired"
    assert {"rejected", "disabled", "delivery_limit", "unknown"} <= set(LETTER_REASONS)
