"""The short form of `make fuzz`, with a seed that stays; and proof that it sees what it is there to see."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import msgspec
import pytest

from tests.proof.fuzz import api, envelope
from tests.proof.fuzz.envelope import Broken, Case, Honest, members
from tests.proof.fuzz.requests import Sent, request
from tests.proof.fuzz.run import for_cases, fuzz_api, fuzz_envelope
from worker.domain.event import Event, InvalidEvent, parse
from worker.domain.glance import Glance

SEED = 1


def test_mutated_envelopes_are_events_with_their_data_or_refused() -> None:
    result = fuzz_envelope(SEED, for_cases(2000))
    assert result.failures == []
    assert min(result.ends["events"], result.ends["refused"], result.ends["honest"]) > 300


async def test_mutated_requests_are_answered_and_leave_the_store_intact() -> None:
    result = await fuzz_api(SEED, for_cases(240))
    assert result.failures == []
    assert {"200", "201", "400", "401", "404", "405", "415"} <= set(result.ends)
    assert result.ends["stored"] > 0


def test_a_case_is_decided_by_seed_and_number() -> None:
    assert [envelope.case(SEED, n) for n in range(50)] == [envelope.case(SEED, n) for n in range(50)]
    assert [request(SEED, n) for n in range(50)] == [request(SEED, n) for n in range(50)]
    assert request(SEED, 1) != request(SEED + 1, 1)


def test_the_members_of_a_captured_envelope_are_those_that_json_has() -> None:
    for sample in envelope.SAMPLES:
        assert {key: json.loads(text) for key, text in members(sample)} == json.loads(sample)


def raises(body: bytes) -> Event:
    raise KeyError("instance")


def slow(body: bytes) -> Event:
    until = time.process_time() + envelope.CPU_SECONDS
    while time.process_time() < until:
        pass
    return parse(body)


def respelt(body: bytes) -> Event:
    """`data` decoded and written again."""
    event = parse(body)
    fields = {key: json.dumps(json.loads(bytes(value))).encode() for key, value in event.fields.items()}
    return Event(event.name, event.kind, event.instance, fields)


def refuses(body: bytes) -> Event:
    raise InvalidEvent("never")


def quotes(body: bytes) -> Event:
    raise InvalidEvent(body.decode(errors="replace") * 10)


def drops_a_member(body: bytes) -> Event:
    event = parse(body)
    fields: dict[str, msgspec.Raw | bytes] = {key: value for key, value in event.fields.items() if key != "apikey"}
    return Event(event.name, event.kind, event.instance, fields)


BODY = b'{"event":"call","instance":"acme","data":{"a": 1,  "b":2},"apikey":"k"}'
HONEST = Case(BODY, Honest("call", "acme", b'{"a": 1,  "b":2}'))


def test_an_honest_case_is_an_event() -> None:
    assert envelope.check(HONEST)


@pytest.mark.parametrize(
    ("parser", "case", "broken"),
    [
        (raises, Case(BODY), "parse raised KeyError"),
        (slow, Case(BODY), "s of CPU"),
        (respelt, Case(BODY), "not among the bytes that came"),
        (refuses, HONEST, "an event was refused"),
        (quotes, Case(BODY), "quotes at length"),
        (drops_a_member, HONEST, "says something else"),
        (lambda _: parse(BODY.replace(b"acme", b"beta")), HONEST, "not what was written"),
    ],
)
def test_a_broken_parser_is_seen(
    monkeypatch: pytest.MonkeyPatch, parser: Callable[[bytes], Event], case: Case, broken: str
) -> None:
    monkeypatch.setattr(envelope, "parse", parser)
    with pytest.raises(Broken, match=broken):
        envelope.check(case)


@pytest.mark.parametrize(
    ("body", "broken"), [(BODY, "saw Glance.*'other'"), (BODY[:-1], "a glance at it saw an event")]
)
def test_a_broken_glance_is_seen(monkeypatch: pytest.MonkeyPatch, body: bytes, broken: str) -> None:
    monkeypatch.setattr(envelope, "glance", lambda _: Glance("CALL", "other"))
    with pytest.raises(Broken, match=broken):
        envelope.check(Case(body))


def answered(status: int, body: object) -> bytes:
    return b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\n\r\n" % status + json.dumps(body).encode()


def refusal(**changes: object) -> dict[str, object]:
    return {"status": 400, "error": "Bad Request", "response": {"message": ["x"]}, **changes}


def test_a_refusal_in_the_envelope_is_no_violation() -> None:
    assert api._judge(answered(400, refusal()), Sent(b"GET /")) == 400


@pytest.mark.parametrize(
    "answer",
    [
        answered(500, refusal(status=500, error="Internal Server Error")),
        answered(400, {"message": "x"}),
        answered(400, refusal(status=401)),
        answered(400, refusal(error="Nonsense")),
        answered(400, refusal(response={"message": ""})),
        answered(400, refusal(traceback="x")),
        b"HTTP/1.1 400 X\r\n\r\n<html>",
        b"garbage",
    ],
)
def test_a_wrong_answer_is_seen(answer: bytes) -> None:
    with pytest.raises(Broken):
        api._judge(answer, Sent(b"GET /"))


async def test_a_store_that_cannot_be_read_and_a_server_that_has_ended_are_seen() -> None:
    async with api.server() as server:
        await server.check(Sent(b"GET /docs HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n"))
        server._file.write_bytes(b"no database" * 1000)
        with pytest.raises(Broken):
            await server.look()
        server._process.kill()
        await server._process.wait()
        with pytest.raises(Broken, match="ended with -9"):
            await server.look()
