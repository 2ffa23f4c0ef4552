"""The ticks of the event loop: each period, and at once when something is to happen before."""

from __future__ import annotations

import asyncio
import time

import pytest

from worker.telemetry import lag
from worker.telemetry.lag import LoopLag


async def test_what_comes_nearer_while_it_rests_is_ticked_when_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag, "PERIOD_SECONDS", 3600.0)
    loop_lag, ticked, wakes = LoopLag(), asyncio.Event(), list[float]()
    running = asyncio.create_task(loop_lag.run(ticked.set, lambda: min(wakes, default=None)))
    await asyncio.sleep(0)
    wakes.append(time.monotonic() + 1800.0)
    loop_lag.sooner()
    await asyncio.sleep(0)
    wakes.append(time.monotonic() + 0.02)
    loop_lag.sooner()
    try:
        async with asyncio.timeout(60):
            await ticked.wait()
    finally:
        running.cancel()
    assert time.monotonic() >= wakes[1]
