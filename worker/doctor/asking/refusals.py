"""Which of many hosts the egress rules refuse now: bounded in lookups and time, whatever the DNS does."""

import asyncio
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import aiohttp

from worker.basics.tasks import end
from worker.domain.target import is_literal, parsed
from worker.http.egress import EgressPolicy, Refusal, Resolve, refuse_url
from worker.http.proxy import EgressProxy

LOOKUPS_AT_ONCE = 50
LOOKUP_SECONDS = 5.0
LONGEST_SECONDS = 20.0
"""For all of them: a person waits for the answer."""


@dataclass(frozen=True, slots=True)
class Refusals:
    """`reasons` by host, of those that are refused; `unanswered` hosts could not be looked up in time."""

    hosts: int
    reasons: dict[str, Refusal]
    unanswered: int


def host_of(url: str) -> str:
    """The host of a webhook's URL, as a name server knows it; "" of one that has none or is no URL."""
    sent = parsed(url).sent
    return (sent.raw_host if sent else None) or ""


async def refusals(
    urls: Iterable[str], policy: EgressPolicy, resolve: Resolve | None = None, proxy: EgressProxy | None = None
) -> Refusals:
    """Each host is looked up once, as a delivery would do it, in vain for LOOKUP_SECONDS at most."""
    by_host = {host_of(url): url for url in urls}
    by_host.pop("", None)  # not the egress rules' matter
    if resolve is not None:
        return await _look_up(by_host, policy, resolve, proxy)
    resolver = aiohttp.DefaultResolver()

    async def addresses(host: str) -> list[str]:
        return [found["host"] for found in await resolver.resolve(host, family=socket.AF_UNSPEC)]

    try:
        return await _look_up(by_host, policy, addresses, proxy)
    finally:
        await resolver.close()


def _by_name(item: tuple[str, str]) -> bool:
    """Addresses come first: they need no lookup, whatever time is left."""
    host, _ = item
    return not is_literal(host)


async def _look_up(
    by_host: dict[str, str], policy: EgressPolicy, resolve: Resolve, proxy: EgressProxy | None
) -> Refusals:
    waiting = iter(sorted(by_host.items(), key=_by_name))
    reasons: dict[str, Refusal] = {}
    answered = 0

    async def work() -> None:
        nonlocal answered
        for host, url in waiting:
            try:
                async with asyncio.timeout(LOOKUP_SECONDS):
                    refusal = await refuse_url(url, policy, resolve, proxy)
            except TimeoutError:
                continue
            answered += 1
            if refusal is not None:
                reasons[host] = refusal

    tasks = [asyncio.create_task(work()) for _ in range(min(LOOKUPS_AT_ONCE, len(by_host)))]
    if tasks:
        done, late = await asyncio.wait(tasks, timeout=LONGEST_SECONDS)
        await end(*late)
        for task in done:
            task.result()
    return Refusals(len(by_host), reasons, len(by_host) - answered)
