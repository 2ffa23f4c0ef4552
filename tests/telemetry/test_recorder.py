"""A delivery that is done is counted the same, whether somebody wants its record or not."""

from __future__ import annotations

import logging

import pytest
from prometheus_client import generate_latest

from worker.domain.outcome import Delivered
from worker.domain.record import Record
from worker.telemetry.recorder import Telemetry

RECORD = Record(Delivered(), "msg_1", "acme", "messages.upsert", "default", 1, 200, 0.04)


def counted(telemetry: Telemetry) -> list[str]:
    lines = generate_latest(telemetry.registry).decode().splitlines()
    return [line for line in lines if "deliver" in line]


@pytest.mark.parametrize("instances", [(), ("acme",), ("another",)])
def test_without_its_record_a_delivery_counts_as_with_it(
    instances: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "worker.delivery")
    plain, quick = Telemetry((), instances), Telemetry((), instances)
    before = counted(plain)
    plain.settled(RECORD)
    assert quick.delivered("acme", 0.04)
    assert counted(quick) == counted(plain) != before
    assert caplog.records == []


def test_where_the_log_tells_of_each_the_record_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "worker.delivery")
    telemetry = Telemetry((), ())
    before = counted(telemetry)
    assert not telemetry.delivered("acme", 0.04)
    assert counted(telemetry) == before
    telemetry.settled(RECORD)
    assert [record.getMessage() for record in caplog.records] == ["delivery"]
