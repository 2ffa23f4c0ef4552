"""The egress guard on real sockets: a real client session against real receivers on loopback addresses.

127.0.0.1 is the good address (allowed by name), 127.0.0.2 and ::1 are bad ones.
"""

import asyncio
import socket
from collections.abc import Iterator

import aiohttp
import pytest
import uvloop

from tests.http.egress_support import DEFAULT, FakeDNS, guarded_session, policy, receiver
from worker.http.egress import (
    EgressRefused,
    GuardedResolver,
    egress_refusal,
    guarded_socket_factory,
    refuse_url,
)

GOOD, BAD, BAD6 = "127.0.0.1", "127.0.0.2", "::1"
ONLY_GOOD = policy(f"{GOOD}/32")


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of GOOD that refuses connections: bound, so that nobody else gets it, but not listening."""
    with socket.socket() as bound:
        bound.bind((GOOD, 0))
        yield bound.getsockname()[1]


@pytest.mark.parametrize(("host", "literal"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
async def test_a_local_receiver_is_refused_until_one_setting_allows_it(host: str, literal: str) -> None:
    async with receiver(host) as local:
        url = f"http://{literal}:{local.port}/"
        async with guarded_session(DEFAULT, FakeDNS()) as client:
            with pytest.raises(aiohttp.ClientConnectorError) as caught:
                await client.post(url)
            refusal = egress_refusal(caught.value)
            assert refusal is not None
            assert str(refusal.refusal) == f"loopback address {host}; allow it with EGRESS_ALLOW"
            assert local.accepted == []
        async with guarded_session(policy(host), FakeDNS()) as client:
            assert await client.post(url) == 204
            assert local.accepted == [host]


@pytest.mark.parametrize("literal", ["[::ffff:127.0.0.2]", "[::ffff:7f00:2]", "127.0.0.2", "[::1]"])
async def test_ip_literals_that_no_resolver_sees_are_refused_at_the_socket(literal: str) -> None:
    async with receiver(BAD, BAD6) as internal, guarded_session(ONLY_GOOD, FakeDNS()) as client:
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await client.post(f"http://{literal}:{internal.port}/")
        assert egress_refusal(caught.value) is not None
        assert internal.accepted == []


@pytest.mark.parametrize("guard_names", [True, False], ids=["both guards", "socket factory alone"])
@pytest.mark.parametrize(
    "answer",
    [[BAD, GOOD], [GOOD, BAD], [BAD6, GOOD], [BAD6, BAD, GOOD], [BAD, BAD6, "::ffff:127.0.0.2", GOOD]],
)
async def test_one_bad_address_among_good_ones_is_never_connected(answer: list[str], guard_names: bool) -> None:
    async with receiver(GOOD, BAD, BAD6) as local:
        async with guarded_session(ONLY_GOOD, FakeDNS(answer), guard_names) as client:
            assert await client.post(f"http://mixed.example:{local.port}/") == 204
        assert local.accepted == [GOOD]
        assert client.sockets == [GOOD]


@pytest.mark.parametrize("answer", [[BAD, GOOD], [GOOD, BAD], [BAD6, GOOD], [GOOD, BAD6, BAD]])
async def test_when_the_good_address_fails_its_error_is_reported(answer: list[str], closed_port: int) -> None:
    async with guarded_session(ONLY_GOOD, FakeDNS(answer)) as client:
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await client.post(f"http://mixed.example:{closed_port}/")
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert egress_refusal(caught.value) is None
    assert client.sockets == [GOOD]


@pytest.mark.parametrize("guard_names", [True, False], ids=["both guards", "socket factory alone"])
@pytest.mark.parametrize("answer", [[BAD], [BAD6], [BAD, BAD6], [BAD, "10.0.0.1", BAD6, "fd00::1"]])
async def test_when_all_addresses_are_refused_the_caller_can_tell(answer: list[str], guard_names: bool) -> None:
    async with guarded_session(ONLY_GOOD, FakeDNS(answer), guard_names) as client:
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await client.post("http://user:hunter2@internal.example/path?key=hunter2")
    refusal = egress_refusal(caught.value)
    assert refusal is not None
    assert "hunter2" not in f"{refusal} {refusal!r} {refusal.refusal!r} {caught.value}"
    assert client.sockets == []


async def test_a_name_that_is_rebound_between_lookups_is_refused_on_the_next_connect() -> None:
    names = FakeDNS(answer=[BAD], scripted=[[GOOD], [GOOD]])
    async with receiver(GOOD, BAD) as local, guarded_session(ONLY_GOOD, names) as client:
        url = f"http://rebound.example:{local.port}/"
        assert await refuse_url(url, ONLY_GOOD, names.addresses) is None  # when the webhook is set: good
        assert await client.post(url) == 204  # first delivery: good, connection kept
        assert await client.post(url) == 204  # the kept connection still leads to the good address

        held = await client.session.post(url)  # holds the kept connection, so that the next needs a new one
        async with guarded_session(ONLY_GOOD, names) as fresh:
            with pytest.raises(aiohttp.ClientConnectorError) as caught:
                await fresh.post(url)
        held.close()
        assert egress_refusal(caught.value) is not None
        assert local.accepted == [GOOD]


async def test_a_redirect_to_the_metadata_address_would_be_refused_even_if_followed() -> None:
    def redirect() -> bytes:
        return b"HTTP/1.1 307 T\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"

    async with receiver(GOOD, answer=redirect) as local, guarded_session(ONLY_GOOD, FakeDNS()) as client:
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await client.session.post(f"http://{GOOD}:{local.port}/", allow_redirects=True)
        assert egress_refusal(caught.value) is not None
        assert client.sockets == [GOOD]


def test_the_guard_holds_on_uvloop() -> None:
    async def scenario() -> None:
        async with receiver(GOOD, BAD) as local:
            async with guarded_session(ONLY_GOOD, FakeDNS([BAD, GOOD]), guard_names=False) as client:
                assert await client.post(f"http://mixed.example:{local.port}/") == 204
            async with guarded_session(ONLY_GOOD, FakeDNS()) as client:
                with pytest.raises(aiohttp.ClientConnectorError) as caught:
                    await client.post(f"http://[::ffff:127.0.0.2]:{local.port}/")
                assert egress_refusal(caught.value) is not None
            assert local.accepted == [GOOD]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


def test_a_name_instead_of_an_address_gets_no_socket() -> None:
    # asyncio would look such a name up once more, after the check.
    with pytest.raises(EgressRefused):
        guarded_socket_factory(DEFAULT)((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("public.example", 80)))


async def test_closing_the_guarded_resolver_closes_the_one_inside() -> None:
    names = FakeDNS([GOOD])
    await GuardedResolver(DEFAULT, names).close()
    assert names.closed
