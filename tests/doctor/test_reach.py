"""Whether receivers can be connected to: real sockets, and nothing is sent on them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

import pytest

from tests.http.egress_support import DEFAULT, FakeDNS
from tests.http.sender_support import LOOPBACK
from tests.support.receiver import HostileReceiver, Receiver
from tests.support.tinyproxy import Tinyproxy
from tests.support.tls import Authority
from worker.doctor.asking import reach as module
from worker.doctor.asking.reach import Place, Probe, Reach, place_of, place_of_webhook, proxy_problem, reach
from worker.domain.webhook import Webhook
from worker.http.proxy import EgressProxy, NoProxy, proxy_address

LOCAL = "127.0.0.1"


def test_a_place_is_host_and_port_of_a_url() -> None:
    assert place_of("https://h.example/x?y#z") == Place("h.example", 443, True)
    assert place_of("http://user:pw@[::1]:8080") == Place("::1", 8080, False)
    assert str(Place("::1", 8080, False)) == "[::1]:8080"
    assert place_of("worker+https://h.example/x") == Place("h.example", 443, True)
    for url in ("", "ftp://h.example/", "http://", "h.example", "http://h.example:99999/", "http://h.example/a b"):
        assert place_of(url) is None, url


async def test_a_receiver_is_connected_to_and_gets_no_request(receiver: Receiver) -> None:
    place = Place(LOCAL, receiver.port, False)
    assert await reach([place, place], LOOPBACK) == Reach({place: Probe()}, 0)
    assert receiver.requests == []


async def test_names_are_resolved_as_deliveries_do(receiver: Receiver) -> None:
    named = Place("receiver.example", receiver.port, False)
    names = FakeDNS([LOCAL])
    found = (await reach([named], LOOPBACK, names=names)).probes[named]
    assert found.failure is None
    assert found.lookup is not None
    assert names.closed
    refused = (await reach([named], DEFAULT, names=FakeDNS([LOCAL]))).probes[named]
    assert (refused.failure, refused.error) == ("egress", "loopback address 127.0.0.1")


async def test_the_second_address_counts_when_the_first_is_dead(receiver: Receiver, closed_port: int) -> None:
    named = Place("receiver.example", receiver.port, False)
    names = FakeDNS(["127.0.0.77", LOCAL])
    assert (await reach([named], LOOPBACK, names=names)).probes[named].failure is None


async def test_a_first_address_that_is_silent_holds_up_nobody(receiver: Receiver) -> None:
    named = Place("receiver.example", receiver.port, False)
    with silent("127.0.0.77", receiver.port):
        found = await reach([named], LOOPBACK, names=FakeDNS(["127.0.0.77", LOCAL]))
    assert found.probes[named].failure is None, "deliveries come through"


async def test_egress_rules_hold_for_addresses_too(receiver: Receiver) -> None:
    place = Place(LOCAL, receiver.port, False)
    assert (await reach([place], DEFAULT)).probes[place].failure == "egress"


async def test_refused_and_unknown_are_told_apart(closed_port: int) -> None:
    closed, unknown = Place(LOCAL, closed_port, False), Place("receiver.invalid", 443, True)
    found = (await reach([closed, unknown], LOOPBACK)).probes
    assert found[closed].failure == "connect"
    assert "refused" in found[closed].error.lower()
    assert found[unknown].failure == "dns"
    assert found[unknown].error


async def test_receivers_are_reached_through_the_proxy_and_its_faults_are_its_own(
    receiver: Receiver, closed_port: int
) -> None:
    places = [Place(LOCAL, receiver.port, False), Place("hooks.example", receiver.port, False)]
    direct = Place(LOCAL, closed_port, False)
    with Tinyproxy() as started:
        proxy = EgressProxy(proxy_address(started.uri), NoProxy.of([f"{LOCAL}:{closed_port}"]))
        names = FakeDNS([LOCAL, "127.0.0.2"])
        found = (await reach([*places, direct], LOOPBACK, names=names, proxy=proxy)).probes
        assert [found[place].failure for place in (*places, direct)] == [None, None, "connect"]
        assert started.tunnels() == [f"{LOCAL}:{receiver.port}"] * 2
        assert (await reach(places[:1], DEFAULT, proxy=proxy)).probes[places[0]].failure == "egress"
        assert await proxy_problem(proxy) is None
        unknown = EgressProxy(proxy_address(f"http://{LOCAL}:{started.port}"))
        refused = (await reach(places[:1], LOOPBACK, proxy=unknown)).probes[places[0]]
        assert refused == Probe("proxy", f"the proxy {LOCAL}:{started.port} answered 407 to CONNECT")
    why = f"the proxy {LOCAL}:{started.port} cannot be connected to: Connection refused"
    assert (await reach(places[:1], LOOPBACK, proxy=proxy)).probes[places[0]] == Probe("proxy", why)
    assert await proxy_problem(proxy) == f"{why}; see EGRESS_PROXY"
    assert receiver.requests == []


async def test_a_name_that_the_proxy_resolves_is_not_looked_up() -> None:
    place = Place("hooks.example", 443, False)

    async def opens(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split()[1])
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await reader.read()

    asked: list[bytes] = []
    async with HostileReceiver(opens) as raw:
        proxy = EgressProxy(proxy_address(f"http://{LOCAL}:{raw.port}"), resolves=True)
        found = await reach([place], DEFAULT, names=FakeDNS([]), proxy=proxy)
    assert found.probes[place] == Probe()
    assert asked == [b"hooks.example:443"]


async def test_certificates_are_verified() -> None:
    authority = Authority()
    async with (
        Receiver(tls=authority.server()) as good,
        Receiver(tls=authority.wrong_name()) as wrong,
        Receiver(tls=authority.expired()) as old,
        Receiver() as plain,
    ):
        places = [Place(LOCAL, one.port, True) for one in (good, wrong, old, plain)]
        found = (await reach(places, LOOPBACK, trusted=authority.client())).probes
        assert [found[place].failure for place in places] == [None, "tls", "tls", "tls"]
        assert "expired" in found[places[2]].error
        assert good.requests == []
        untrusted = (await reach(places[:1], LOOPBACK)).probes[places[0]]
        assert untrusted.failure == "tls"


async def test_a_webhooks_own_certificates_are_used() -> None:
    authority = Authority()
    own = Webhook("acme", "", client_certificate=authority.client_certificate(), ca=authority.pem)
    async with Receiver(tls=authority.asking()) as receiver:
        places = [
            place_of_webhook(replace(own, url=receiver.url("/"))),
            place_of_webhook(Webhook("other", receiver.url("/"))),
            place_of_webhook(replace(own, url=receiver.url("/"), client_certificate="hunter2")),
        ]
        found = (await reach([place for place in places if place], LOOPBACK)).probes
        kinds = [found[place].failure for place in places if place]
    assert kinds == [None, "tls", "tls"]
    assert "hunter2" not in repr(found)
    assert place_of_webhook(replace(own, url="http://h.example/")) == Place("h.example", 80, False)


async def test_who_never_answers_costs_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.2)
    names = SilentDNS()
    place = Place("silent.example", 443, True)
    assert (await reach([place], LOOPBACK, names=names)).probes[place].failure == "timeout"
    monkeypatch.setattr(module, "SECONDS", 60.0)
    monkeypatch.setattr(module, "LONGEST_SECONDS", 0.2)
    started = time.monotonic()
    assert await reach([place], LOOPBACK, names=names) == Reach({}, 1)
    assert time.monotonic() - started < 5


async def test_no_more_than_so_many_are_tried_and_so_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 30)
    names = CountingDNS()
    places = [Place(f"h{number}.example", 443, True) for number in range(50)]
    found = await reach(places, LOOPBACK, names=names)
    assert (len(found.probes), found.unseen, names.asked) == (30, 20, 30)
    assert 1 < names.most_at_once <= module.AT_ONCE


@contextmanager
def silent(host: str, port: int) -> Iterator[None]:
    """Connects there are neither taken nor refused: nobody accepts, and the backlog is full."""
    with ExitStack() as sockets:
        full = sockets.enter_context(socket.socket())
        full.bind((host, port))
        full.listen(0)
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect((host, port))
        yield


class SilentDNS(FakeDNS):
    async def addresses(self, host: str) -> list[str]:
        await asyncio.Event().wait()
        raise AssertionError


class CountingDNS(FakeDNS):
    asked = running = most_at_once = 0

    async def addresses(self, host: str) -> list[str]:
        self.asked += 1
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        for _ in range(3):  # others get their turn meanwhile
            await asyncio.sleep(0)
        self.running -= 1
        raise OSError(f"{host} is unknown")
