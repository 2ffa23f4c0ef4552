"""Where the servers listen: `::` takes both families on Linux, and IPv4 alone where the kernel has no IPv6."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop
from aiohttp import ClientSession

from tests.api.conftest import Api
from worker.api.health import HealthServer
from worker.stores.own.store import SqlStore

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
"""Both set IPV6_V6ONLY on the sockets that they make."""


async def alive(host: str, port: int) -> int:
    async with ClientSession() as client, client.get(f"http://{host}:{port}/livez") as answer:
        return answer.status


async def served(host: str, ask: Callable[[int], Awaitable[Any]]) -> Any:
    """What `ask` makes of the port of a health server on `host`."""
    server = HealthServer(host, 0, None, lambda: None)
    port = await server.start()
    try:
        return await ask(port)
    finally:
        await server.close()


async def both(port: int) -> list[int]:
    return [await alive(host, port) for host in ("127.0.0.1", "[::1]")]


@pytest.mark.parametrize("loop", LOOPS)
def test_both_families_are_served_by_one_port(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(served("::", both)) == [200, 200]


@pytest.mark.parametrize(("host", "other"), [("127.0.0.1", "[::1]"), ("::1", "127.0.0.1")])
async def test_any_other_address_is_served_as_it_is_written(host: str, other: str) -> None:
    async def ask(port: int) -> int:
        with pytest.raises(OSError, match="Connect call failed"):
            await alive(other, port)
        return await alive(f"[{host}]" if ":" in host else host, port)

    assert await served(host, ask) == 200


async def test_the_webhook_api_listens_as_the_health_server_does(store: SqlStore) -> None:
    api = Api(store, host="::")
    await api.start()
    try:
        port = api.base.rsplit(":", 1)[1]
        for host in ("127.0.0.1", "[::1]"):
            async with api.session.get(f"http://{host}:{port}/openapi.json") as answer:
                assert answer.status == 200
    finally:
        await api.close()


def without_ipv6(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    real = socket.create_server

    def refuse(address: Any, *, family: int = socket.AF_INET, **options: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(number, "refused by a kernel without IPv6")
        return real(address, family=family, **options)

    monkeypatch.setattr(socket, "create_server", refuse)


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
async def test_without_ipv6_it_is_ipv4_alone_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    without_ipv6(monkeypatch, number)
    with caplog.at_level(logging.WARNING):
        assert await served("::", lambda port: alive("127.0.0.1", port)) == 200
    assert [record.message for record in caplog.records] == ["no IPv6 on this machine, listening on IPv4 alone"]


async def test_a_port_that_is_taken_is_not_taken_for_a_kernel_without_ipv6() -> None:
    async def again(port: int) -> None:
        with pytest.raises(OSError, match="METRICS_HOST and METRICS_PORT: cannot listen: Address already in use"):
            await HealthServer("::", port, None, lambda: None).start()

    await served("::", again)
