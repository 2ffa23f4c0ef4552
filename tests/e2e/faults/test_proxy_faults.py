"""The worker behind the operator's proxy: events arrive through it, and while it is down no receiver pays for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.conftest import StartWorker
from tests.e2e.flow import Flow
from tests.support.events import event
from tests.support.tinyproxy import PASSWORD, Tinyproxy


@pytest.fixture
def tinyproxy() -> Iterator[Tinyproxy]:
    with Tinyproxy() as started:
        yield started


async def test_an_outage_of_the_proxy_costs_no_attempt(flow: Flow, worker: StartWorker, tinyproxy: Tinyproxy) -> None:
    one_try = {"WEBHOOK_RETRY_MAX_ATTEMPTS": "1", "WEBHOOK_RETRY_INITIAL_DELAY_SECONDS": "1"}
    settings = {"EGRESS_PROXY": tinyproxy.uri, "HTTPS_PROXY": tinyproxy.uri, "WEBHOOK_REQUEST_TIMEOUT_MS": "1000"}
    daemon = await flow.start(**one_try, **settings)
    await flow.publish(event())
    await flow.delivered(1)
    assert tinyproxy.tunnels() == [f"127.0.0.1:{flow.receiver.port}"]
    await asyncio.to_thread(tinyproxy.stop)
    await flow.publish(event(data="while it is down"))
    await daemon.wait_metric("deliveries_total", 1, outcome="Parked", reason="self_fault")
    check = await worker(arguments=("check",), ready=False, EGRESS_PROXY=tinyproxy.uri)
    assert await check.wait() == 1
    why = f"the proxy 127.0.0.1:{tinyproxy.port} cannot be connected to: Connection refused"
    assert f"PROBLEM egress proxy 127.0.0.1:{tinyproxy.port}: {why}; see EGRESS_PROXY" in check.output()
    await asyncio.to_thread(tinyproxy.start)
    await flow.delivered(2)
    assert flow.posts() == [1, 1], "the only attempt was not charged"
    assert await daemon.metric("attempts_total", result="proxy") >= 1
    assert await daemon.metric("endpoints_open") == 0
    assert why in daemon.output()
    assert PASSWORD not in daemon.output() + check.output()
    await flow.nothing_is_left()
