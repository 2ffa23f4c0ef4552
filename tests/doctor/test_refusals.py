"""Many webhooks' hosts against the egress rules: each looked up once, in bounded time."""

import asyncio

import pytest

from worker.doctor.asking import refusals as module
from worker.doctor.asking.refusals import LOOKUPS_AT_ONCE, refusals
from worker.http.egress import EgressPolicy


async def test_ten_thousand_webhooks_cost_one_lookup_a_host_fifty_at_once() -> None:
    asked: list[str] = []
    running = most = 0

    async def resolve(host: str) -> list[str]:
        nonlocal running, most
        asked.append(host)
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return ["10.0.0.1" if host == "h7.example" else "93.184.216.34"]

    urls = [f"https://h{number % 400}.example/{number}" for number in range(10_000)]
    found = await refusals([*urls, "no url", "http://[::1"], EgressPolicy(), resolve)
    assert sorted(asked) == sorted({f"h{number}.example" for number in range(400)})
    assert most == LOOKUPS_AT_ONCE
    assert (found.hosts, found.unanswered, list(found.reasons)) == (400, 0, ["h7.example"])
    assert "EGRESS_ALLOW" in str(found.reasons["h7.example"])


@pytest.mark.parametrize("setting", ["LOOKUP_SECONDS", "LONGEST_SECONDS"])
async def test_a_name_server_that_never_answers_holds_nobody_up(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setattr(module, setting, 0.05)

    async def resolve(host: str) -> list[str]:
        await asyncio.Event().wait()
        return []

    urls = [*(f"http://h{number}.example/" for number in range(60)), "http://127.0.0.1/x"]
    found = await refusals(urls, EgressPolicy(), resolve)
    assert (found.hosts, found.unanswered, list(found.reasons)) == (61, 60, ["127.0.0.1"])


async def test_no_webhooks_no_lookups() -> None:
    assert (await refusals([], EgressPolicy())).hosts == 0
