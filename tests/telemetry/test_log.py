"""The line of a delivery: the same past logging's records as through them, and never in a delivery's way."""

import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.basics.test_printable import ODD
from tests.support.waiting import eventually
from worker.basics.printable import printable
from worker.domain.outcome import DeadLettered, DeadReason, Delivered, Parked, ParkReason
from worker.domain.record import Record
from worker.telemetry import log

Configure = Callable[[str, str], io.StringIO]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """What `log.configure` does, and where its lines go."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level

    def configured(level: str, layout: str) -> io.StringIO:
        stream = io.StringIO()
        with monkeypatch.context() as patch:
            patch.setattr("sys.stderr", stream)
            log.configure(level, layout)
        return stream

    yield configured
    root.handlers[:] = before
    root.setLevel(level)


def parked() -> Record:
    return Record(
        outcome=Parked(ParkReason.ENDPOINT_BUSY, 15),
        id="msg_1",
        instance="açme",
        event="messages.upsert",
        webhook="default",
        attempt=1,
        status=None,
        seconds=0.12345,
    )


def test_a_line_is_the_same_with_another_handler_beside(configure: Configure) -> None:
    stream = configure("info", "json")
    log.delivery(parked())
    logging.getLogger().addHandler(logging.NullHandler())
    log.delivery(parked())
    direct, recorded = (json.loads(line) for line in stream.getvalue().splitlines())
    assert direct.pop("time")[:19] == recorded.pop("time")[:19]
    assert direct == recorded
    assert list(direct)[:3] == ["level", "logger", "message"]
    assert (direct["outcome"], direct["reason"], direct["delay"], direct["seconds"]) == (
        "Parked",
        "endpoint_busy",
        15,
        0.123,
    )


def test_levels_hold_for_both(configure: Configure) -> None:
    stream = configure("warning", "json")
    log.delivery(parked())
    assert stream.getvalue() == ""
    lost = parked()
    log.delivery(Record(**{**_fields(lost), "outcome": DeadLettered(DeadReason.GONE, "the receiver answered 410")}))
    assert json.loads(stream.getvalue())["error"] == "the receiver answered 410"
    stream = configure("debug", "json")
    log.delivery(Record(**{**_fields(lost), "outcome": Delivered()}))
    assert json.loads(stream.getvalue().splitlines()[-1])["level"] == "debug"


async def test_lines_are_gathered_and_stay_in_order(configure: Configure) -> None:
    stream = configure("info", "json")
    log.delivery(parked())
    log.delivery(parked())
    assert stream.getvalue() == ""
    logging.getLogger("worker").info("between")
    log.delivery(parked())

    async def told() -> int:
        return stream.getvalue().count("\n")

    await eventually(told, lambda lines: lines == 4, 5, "the last line")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == [
        "delivery",
        "delivery",
        "between",
        "delivery",
    ]


async def test_a_name_that_no_utf8_can_hold_costs_no_line(configure: Configure) -> None:
    stream = configure("info", "json")
    log.delivery(Record(**{**_fields(parked()), "instance": "lone \ud800"}))
    log.delivery(parked())
    logging.getLogger("worker").info("of %s", "lone \ud800")
    first, second, third = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["instance"], second["instance"], third["message"]) == ("lone \ud800", "açme", "of lone \ud800")


async def test_the_last_lines_are_told_at_the_end(configure: Configure) -> None:
    stream = configure("info", "json")
    log.delivery(parked())
    logging.getLogger().handlers[0].flush()  # as logging.shutdown does, at exit and at a second signal
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("layout", ["json", "text"])
def test_a_log_that_is_closed_raises_nothing(
    configure: Configure, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = configure("info", layout)
    monkeypatch.setattr(logging, "raiseExceptions", False)
    stream.close()
    log.delivery(parked())
    assert stream.closed


def _fields(record: Record) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__slots__}


@given(st.text(st.characters() | st.sampled_from(ODD)))
@example("acme\n2026-11-28 00:00:00,000 INFO worker.delivery: delivery id=forged")
def test_no_name_makes_a_line_of_its_own_in_the_text_format(name: str) -> None:
    record = logging.makeLogRecord({"msg": "instance %s", "args": (name,), "instance": name})
    line = log._Text().format(record)
    assert line.isprintable()
    assert printable(name).rstrip() in line


def test_a_trace_is_indented_and_what_it_quotes_stays_within(configure: Configure) -> None:
    stream = configure("info", "text")
    try:
        raise ValueError("acme\n2026-11-28 00:00:00,000 INFO forged\x1b[2J")
    except ValueError:
        logging.getLogger("worker").exception("a fault", extra={"instance": "acme"})
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("ERROR worker: a fault instance=acme")
    assert rest[0] == "  Traceback (most recent call last):"
    assert all(line.startswith("  ") and line.isprintable() for line in rest)
