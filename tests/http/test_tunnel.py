"""POSTs through a proxy: tinyproxy as it is, and raw ones that fail in every way there is."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.http.egress_support import DEFAULT, FakeDNS
from tests.http.egress_vectors import REFUSED_URLS
from tests.http.sender_support import LOOPBACK, accepted_at, pool
from tests.support.receiver import Conversation, HostileReceiver, Receiver, read_request
from tests.support.tinyproxy import Tinyproxy
from tests.support.tls import Authority
from tests.support.waiting import until
from worker.domain.verdict import Answered, Failure, Unanswered
from worker.domain.webhook import Webhook
from worker.http import aiohttp_internals
from worker.http.egress import refuse_url
from worker.http.proxy import EgressProxy, NoProxy, proxy_address
from worker.http.refused_connects import may_come_back
from worker.http.tunnel import ProxyFault, ProxyUnreachable, TunnelRefused
from worker.http.webhook_test import WebhookTester

HERE = FakeDNS(["127.0.0.1"])


@pytest.fixture(scope="module")
def tinyproxy() -> Iterator[Tinyproxy]:
    with Tinyproxy() as started:
        yield started


def through(port: int, *, exempt: str = "", resolves: bool = False, user: str = "worker:hunter2@") -> EgressProxy:
    return EgressProxy(proxy_address(f"http://{user}127.0.0.1:{port}"), NoProxy.of([exempt]), resolves)


@asynccontextmanager
async def answering(head: bytes, then: bytes = b"") -> AsyncIterator[tuple[HostileReceiver, list[bytes]]]:
    """A raw proxy that answers a CONNECT with `head` and, in a tunnel, the POST with `then`; and what it was sent."""
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(head)
        if then:
            seen.append(await read_request(reader))
            writer.write(then)
            await reader.read()

    async with HostileReceiver(talk) as proxy:
        yield proxy, seen


OPEN = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 raw\r\n\r\n"


async def test_http_goes_through_a_tunnel_to_the_address_that_was_judged_here(tinyproxy: Tinyproxy) -> None:
    async with Receiver() as receiver, pool(names=HERE, proxy=through(tinyproxy.port)) as sender:
        before = len(tinyproxy.tunnels())
        for _ in range(2):
            assert await sender.post(f"http://hooks.example:{receiver.port}/a?b") == Answered(200)
        assert tinyproxy.tunnels()[before:] == [f"127.0.0.1:{receiver.port}"], "one tunnel, kept"
        first, _ = receiver.requests
        assert (first.path, first.query) == ("/a", "b"), "as without a proxy: no absolute form"
        assert first.header("host") == f"hooks.example:{receiver.port}"
        assert first.header("proxy-authorization") is None


async def test_https_goes_through_a_tunnel_and_the_certificate_must_have_the_urls_name(tinyproxy: Tinyproxy) -> None:
    authority = Authority()
    proxy, trusted = through(tinyproxy.port), authority.client()
    async with Receiver(tls=authority.server("hooks.example")) as receiver:
        async with pool(names=HERE, trusted=trusted, proxy=proxy) as sender:
            assert await sender.post(f"https://hooks.example:{receiver.port}/") == Answered(200)
            wrong = await sender.post(f"https://other.example:{receiver.port}/")
        async with pool(names=HERE, proxy=proxy) as sender:
            unknown = await sender.post(f"https://hooks.example:{receiver.port}/")
        await until(lambda: accepted_at(receiver.port) == 0, "the proxy has closed what the sender gave up")
    assert isinstance(wrong, Unanswered)
    assert (wrong.failure, "other.example" in wrong.error) == (Failure.TLS, True)
    assert isinstance(unknown, Unanswered)
    assert unknown.failure is Failure.TLS
    assert set(tinyproxy.tunnels()[-3:]) == {f"127.0.0.1:{receiver.port}"}


async def test_a_proxy_that_resolves_is_asked_for_the_name(tinyproxy: Tinyproxy) -> None:
    async with Receiver() as receiver, pool(DEFAULT, proxy=through(tinyproxy.port, resolves=True)) as sender:
        assert await sender.post(f"http://localhost:{receiver.port}/") == Answered(200)
        assert tinyproxy.tunnels()[-1] == f"localhost:{receiver.port}"


async def test_what_no_proxy_covers_is_connected_to_directly(tinyproxy: Tinyproxy) -> None:
    before = len(tinyproxy.tunnels())
    proxy = through(tinyproxy.port, exempt="hooks.example, 127.0.0.0/8")
    async with Receiver() as receiver, pool(names=HERE, proxy=proxy) as sender:
        assert await sender.post(f"http://hooks.example:{receiver.port}/") == Answered(200)
        assert await sender.post(receiver.url("/")) == Answered(200)
    assert len(tinyproxy.tunnels()) == before


async def test_a_test_event_goes_the_same_way(tinyproxy: Tinyproxy) -> None:
    event = b'{"event":"messages.upsert","instance":"acme","data":{}}'
    async with Receiver() as receiver:
        tester = WebhookTester(LOOPBACK, 5.0, proxy=through(tinyproxy.port))
        assert (await tester.send(Webhook("acme", receiver.url("/x")), event)).status == 200
        assert tinyproxy.tunnels()[-1] == f"127.0.0.1:{receiver.port}"
        wrong = WebhookTester(LOOPBACK, 5.0, proxy=through(tinyproxy.port, user="worker:hunter3@"))
        found = await wrong.send(Webhook("acme", receiver.url("/x")), event)
    # tinyproxy 1.11.1 says 401, newer ones 407.
    answers = (f"the proxy 127.0.0.1:{tinyproxy.port} answered {status} to CONNECT" for status in (401, 407))
    assert found.error in answers


async def test_a_receiver_that_tinyproxy_cannot_reach_is_to_blame_itself(
    tinyproxy: Tinyproxy, closed_port: int
) -> None:
    async with pool(names=HERE, proxy=through(tinyproxy.port)) as sender:
        found = await sender.post(f"http://hooks.example:{closed_port}/")
    why = f"the proxy 127.0.0.1:{tinyproxy.port} answered 500 to CONNECT"
    assert found == Unanswered(Failure.CONNECT, f"connecting to hooks.example failed: {why}")


@pytest.mark.parametrize("resolves", [False, True], ids=["resolved here", "resolved by the proxy"])
@pytest.mark.parametrize(("url", "answer", "source"), REFUSED_URLS)
async def test_what_the_egress_rules_refuse_is_not_asked_of_the_proxy(
    url: str, answer: list[str] | None, source: str, resolves: bool
) -> None:
    async with answering(OPEN, b"HTTP/1.1 204 No Content\r\n\r\n") as (raw, _):
        proxy = through(raw.port, resolves=resolves)
        async with pool(DEFAULT, names=FakeDNS(answer), proxy=proxy) as sender:
            found = await sender.post(url)
        by_name = resolves and (answer is not None or "localhost" in url or "ⓛ" in url)
        if by_name:
            assert found == Answered(204), "the proxy's matter"
            assert await refuse_url(url, DEFAULT, FakeDNS(answer).addresses, proxy) is None
            return
        assert isinstance(found, Unanswered)
        assert found.failure is Failure.REFUSED
        assert raw.connections == 0
        assert await refuse_url(url, DEFAULT, FakeDNS(answer).addresses, proxy) is not None


async def test_one_bad_address_among_good_ones_is_not_asked_for() -> None:
    async with (
        answering(OPEN, b"HTTP/1.1 204 No Content\r\n\r\n") as (raw, seen),
        pool(DEFAULT, names=FakeDNS(["10.0.0.1", "8.8.8.8"]), proxy=through(raw.port)) as sender,
    ):
        assert await sender.post("http://mixed.example/") == Answered(204)
    pair = b64encode(b"worker:hunter2")
    want = b"CONNECT 8.8.8.8:80 HTTP/1.1\r\nHost: 8.8.8.8:80\r\nProxy-Authorization: Basic %b\r\n\r\n" % pair
    assert seen[0] == want
    assert seen[1].startswith(b"POST / HTTP/1.1\r\nHost: mixed.example\r\n")


async def test_an_ipv6_address_stands_in_brackets_and_without_credentials_there_is_no_such_header() -> None:
    async with (
        answering(OPEN, b"HTTP/1.1 204 No Content\r\n\r\n") as (raw, seen),
        pool(DEFAULT, proxy=through(raw.port, user="")) as sender,
    ):
        assert await sender.post("http://[2606:4700::1111]:8443/") == Answered(204)
    assert seen[0] == b"CONNECT [2606:4700::1111]:8443 HTTP/1.1\r\nHost: [2606:4700::1111]:8443\r\n\r\n"


async def test_the_names_next_address_is_asked_for_when_the_first_gets_no_tunnel() -> None:
    asked: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split()[1])
        if asked[-1].startswith(b"[2606"):
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
            return
        writer.write(OPEN)
        await read_request(reader)
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await reader.read()

    async with (
        HostileReceiver(talk) as raw,
        pool(DEFAULT, names=FakeDNS(["2606:4700::1111", "8.8.8.8"]), proxy=through(raw.port)) as sender,
    ):
        assert await sender.post("http://both.example/") == Answered(204)
    assert asked == [b"[2606:4700::1111]:80", b"8.8.8.8:80"]


FAULTS = [
    (b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n", "answered 407 to CONNECT"),
    (b"HTTP/1.0 401 Unauthorized\r\n\r\n", "answered 401 to CONNECT"),
    (b"HTTP/1.1 502 Bad Gateway\r\n\r\nbody", "answered 502 to CONNECT"),
    (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "answered 503 to CONNECT"),
    (b"HTTP/1.1 504\n\n", "answered 504 to CONNECT"),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 502 Bad Gateway\r\n\r\n", "answered 502 to CONNECT"),
    (b"", "cut the connection at CONNECT: it closed it"),
    (b"HTTP/1.1 200 Connection esta", "cut the connection at CONNECT: it closed it"),
    (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "answered CONNECT with what is not HTTP"),
    (b"x" * 20_000, "answered CONNECT with too long a head"),
    (OPEN + b"HTTP/1.1 200 OK\r\n\r\n", "sent more than its answer to CONNECT"),
]


@pytest.mark.parametrize(("head", "why"), FAULTS, ids=[why for _, why in FAULTS])
async def test_a_fault_of_the_proxy_is_told_as_such_and_shows_no_credentials(head: bytes, why: str) -> None:
    async with answering(head) as (raw, _), pool(names=HERE, proxy=through(raw.port)) as sender:
        found = await sender.post("http://hooks.example/")
        assert found == Unanswered(Failure.PROXY, f"the proxy 127.0.0.1:{raw.port} {why}")


@pytest.mark.parametrize("status", [400, 403, 404, 500])
async def test_a_tunnel_that_the_proxy_refuses_is_charged(status: int) -> None:
    async with (
        answering(b"HTTP/1.1 %d Because\r\n\r\n" % status) as (raw, _),
        pool(names=HERE, proxy=through(raw.port)) as sender,
    ):
        found = await sender.post("http://hooks.example/")
        assert isinstance(found, Unanswered)
        assert found.failure is Failure.CONNECT
        assert found.error.endswith(f"answered {status} to CONNECT")
        assert raw.connections == 1, "at its own schedule, not at once"


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(-1)


async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 O")
    await reader.read(-1)


@pytest.mark.parametrize("talk", [silent, dripping])
async def test_a_slow_proxy_is_no_slow_receiver(talk: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    # A small share, so that on a busy machine the attempt's own deadline does not come in the same turn of the loop.
    monkeypatch.setattr(aiohttp_internals, "TUNNEL_SHARE", 0.025)
    async with HostileReceiver(talk) as raw, pool(names=HERE, proxy=through(raw.port)) as sender:
        found = await sender.post("http://hooks.example/", timeout=10)
        assert isinstance(found, Unanswered)
        assert found.failure is Failure.PROXY
        assert found.error.startswith(f"the proxy 127.0.0.1:{raw.port} opened no tunnel within 0.2")


async def test_a_proxy_that_is_down_or_has_no_address_is_at_fault(closed_port: int) -> None:
    async with pool(names=HERE, proxy=through(closed_port)) as sender:
        found = await sender.post("http://hooks.example/", timeout=1)
    why = f"the proxy 127.0.0.1:{closed_port} cannot be connected to: Connection refused"
    assert found == Unanswered(Failure.PROXY, why)
    nowhere = EgressProxy(proxy_address("http://proxy.invalid:3128"))
    async with pool(names=HERE, proxy=nowhere) as sender:
        found = await sender.post("http://hooks.example/", timeout=3)
    assert isinstance(found, Unanswered)
    assert found.failure is Failure.PROXY
    assert found.error.startswith("the proxy proxy.invalid:3128 does not resolve: ")


async def test_a_connection_that_is_cut_behind_the_tunnel_is_the_receivers() -> None:
    async with answering(OPEN, b"HTTP/1.") as (raw, _):
        raw_port = raw.port

        async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OPEN)
            await read_request(reader)

        async with HostileReceiver(cut) as cutting, pool(names=HERE, proxy=through(cutting.port)) as sender:
            found = await sender.post("http://hooks.example/")
        assert raw_port != cutting.port
    assert found == Unanswered(Failure.CONNECT, "hooks.example closed the connection before it answered")


async def test_no_socket_is_left_when_an_attempt_is_cancelled() -> None:
    asked = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        assert await reader.read() == b""
        closed.set()

    closed = asyncio.Event()
    async with HostileReceiver(talk) as raw, pool(names=HERE, proxy=through(raw.port)) as sender:
        attempt = asyncio.create_task(sender.post("http://hooks.example/"))
        await asked.wait()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await asyncio.wait_for(closed.wait(), 5)


def test_only_a_proxy_that_nobody_listens_at_is_waited_for() -> None:
    key = aiohttp.client_reqrep.ConnectionKey("h", 80, False, True, None, None, None)

    def failed(error: OSError) -> bool:
        return may_come_back(aiohttp.ClientProxyConnectionError(key, error))

    assert failed(ProxyUnreachable("no"))
    assert not failed(ProxyFault("407"))
    assert not may_come_back(aiohttp.ClientConnectorError(key, TunnelRefused("403")))
    assert may_come_back(aiohttp.ClientConnectorError(key, ConnectionRefusedError()))
