"""What is said of the connections to RabbitMQ, and who hears of a network of ours that is broken."""

from __future__ import annotations

import logging

import pytest

from worker.process.states import ConnectionStates, SelfFault
from worker.telemetry.metrics import Metrics


def value(metrics: Metrics, name: str) -> float | None:
    return metrics.registry.get_sample_value(f"webhook_worker_{name}")


def test_connections_that_are_down_are_named_until_all_are_up() -> None:
    metrics = Metrics(())
    states = ConnectionStates(("consuming", "publishing"), metrics)
    consuming, publishing = states.listener("consuming"), states.listener("publishing")
    assert states.missing() == "no connection to RabbitMQ for consuming and publishing"
    consuming(True)
    assert states.missing() == "no connection to RabbitMQ for publishing"
    assert value(metrics, "broker_connected") == 0
    publishing(True)
    assert states.missing() is None
    assert value(metrics, "broker_connected") == 1


def test_a_reconnect_is_counted_and_the_first_connection_is_none() -> None:
    metrics = Metrics(())
    states = ConnectionStates(("consuming", "publishing"), metrics)
    consuming = states.listener("consuming")
    for up in (True, False, True):
        consuming(up)
    states.listener("publishing")(True)
    assert value(metrics, "broker_reconnects_total") == 1


def test_a_fault_of_ours_is_logged_measured_and_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    metrics, heard = Metrics(()), list[tuple[str, bool]]()
    fault = SelfFault(metrics)
    fault.pass_on_to(lambda on: heard.append(("first", on)))
    fault.pass_on_to(lambda on: heard.append(("second", on)))
    with caplog.at_level(logging.INFO):
        fault.changed(True)
        assert value(metrics, "self_fault") == 1
        fault.changed(False)
    assert value(metrics, "self_fault") == 0
    assert heard == [("first", True), ("second", True), ("first", False), ("second", False)]
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
