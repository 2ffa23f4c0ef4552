"""Receivers that ask for a certificate, and those whose own comes from an authority of the webhook's."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import pytest

from tests.http.sender_support import HEADERS, LOOPBACK, Pool, pool
from tests.support.receiver import HostileReceiver, read_request
from tests.support.tinyproxy import Tinyproxy
from tests.support.tls import Authority
from worker.domain.request.build import Request
from worker.domain.target import parsed
from worker.domain.verdict import Answered, Failure, Result, Unanswered
from worker.domain.webhook import Tls, Webhook
from worker.http import contexts, trust
from worker.http.contexts import Contexts
from worker.http.proxy import EgressProxy, proxy_address
from worker.http.trust import context_for
from worker.http.webhook_test import WebhookTester

LOCAL = "127.0.0.1"
AUTHORITY = Authority()
ACME, OTHER = AUTHORITY.client_certificate("acme"), AUTHORITY.client_certificate("other")
EVENT = b'{"event":"messages.upsert","instance":"acme","data":{}}'


@asynccontextmanager
async def asking(tls: ssl.SSLContext) -> AsyncIterator[tuple[HostileReceiver, list[str]]]:
    """A receiver that keeps its connections, and who came on each (the certificate's common name)."""
    came: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shown = writer.get_extra_info("peercert")
        came.append(dict(pair for part in shown["subject"] for pair in part)["commonName"])
        while await read_request(reader):
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with HostileReceiver(talk, tls=tls) as receiver:
        yield receiver, came


async def post(sender: Pool, url: str, tls: Tls | None) -> Result:
    return await sender.send(Request(parsed(url), HEADERS, b"{}", tls), 10)


async def test_each_certificate_has_connections_of_its_own() -> None:
    acme, other = Tls(ACME, AUTHORITY.pem), Tls(OTHER, AUTHORITY.pem)
    async with asking(AUTHORITY.asking()) as (receiver, came), pool() as sender:
        for tls in (acme, other, Tls(ACME, AUTHORITY.pem), other):
            assert await post(sender, receiver.url("/"), tls) == Answered(204)
        assert came == ["acme", "other"]
        assert sender.kept == 2
        rotated = Tls(AUTHORITY.client_certificate("acme2"), AUTHORITY.pem)
        assert await post(sender, receiver.url("/"), rotated) == Answered(204)
        assert came == ["acme", "other", "acme2"], "a new certificate is in force at once"


@contextmanager
def choosy(tls: ssl.SSLContext) -> Iterator[int]:
    """The port of a receiver that tells by an alert why it does not take a client; asyncio's own servers do not."""

    def serve() -> None:
        while True:
            try:
                taken, _ = listening.accept()
            except OSError:
                return
            with taken.dup() as raw:
                with suppress(ssl.SSLError), tls.wrap_socket(taken, server_side=True) as spoken:
                    spoken.recv(1)
                while raw.recv(4096):  # a reset would overtake the alert
                    pass

    with socket.create_server((LOCAL, 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize(
    ("tls", "why"),
    [
        (None, "certificate required"),
        (Tls(ca=AUTHORITY.pem), "certificate required"),
        (Tls(Authority().client_certificate(), AUTHORITY.pem), "unknown ca"),
    ],
)
async def test_without_the_right_certificate_tls_fails_and_says_so(tls: Tls | None, why: str) -> None:
    with choosy(AUTHORITY.asking()) as port:
        async with pool(trusted=AUTHORITY.client()) as sender:
            found = await post(sender, f"https://{LOCAL}:{port}/", tls)
    assert isinstance(found, Unanswered)
    assert found.failure is Failure.TLS
    assert found.error.startswith(f"TLS with {LOCAL} failed: ")
    assert why in found.error


async def test_a_webhooks_own_authorities_are_the_only_ones() -> None:
    stranger = Authority()
    async with pool(trusted=AUTHORITY.client()) as sender:
        async with asking(AUTHORITY.asking()) as (receiver, _):
            found = await post(sender, receiver.url("/"), Tls(ACME, stranger.pem))
        assert isinstance(found, Unanswered)
        assert (found.failure, "certificate verify failed" in found.error) == (Failure.TLS, True)
        async with asking(stranger.asking(AUTHORITY)) as (receiver, came):
            assert await post(sender, receiver.url("/"), Tls(ACME, stranger.pem)) == Answered(204)
            assert came == ["acme"]


async def test_what_is_no_certificate_in_a_row_fails_the_attempt_alone() -> None:
    async with asking(AUTHORITY.asking()) as (receiver, _), pool() as sender:
        for tls in (Tls("hunter2", AUTHORITY.pem), Tls(ACME, "hunter2")):
            found = await post(sender, receiver.url("/"), tls)
            assert isinstance(found, Unanswered)
            assert found.failure is Failure.TLS
            assert "hunter2" not in found.error
        assert receiver.connections == 0
        assert len(sender._contexts) == 0, "it may be another one at the next attempt"


async def test_it_is_shown_through_a_proxy_and_by_a_test_event() -> None:
    webhook = Webhook("acme", "", client_certificate=ACME, ca=AUTHORITY.pem)
    with Tinyproxy() as tinyproxy:
        proxy = EgressProxy(proxy_address(tinyproxy.uri))
        async with asking(AUTHORITY.asking()) as (receiver, came), pool(proxy=proxy) as sender:
            assert await post(sender, receiver.url("/"), webhook.tls) == Answered(204)
            there = Webhook("acme", receiver.url("/"), client_certificate=ACME, ca=AUTHORITY.pem)
            for tester in (WebhookTester(LOOPBACK, 5.0, proxy=proxy), WebhookTester(LOOPBACK, 5.0)):
                assert (await tester.send(there, EVENT)).status == 204
        assert came == ["acme"] * 3
        assert len(tinyproxy.tunnels()) == 2


async def test_contexts_are_made_once_and_no_more_than_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Tls] = []

    def make(tls: Tls) -> ssl.SSLContext:
        made.append(tls)
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    monkeypatch.setattr(contexts, "MOST_CONTEXTS", 2)
    cache = Contexts(make)
    first, again = await asyncio.gather(cache.of(Tls("a")), cache.of(Tls("a")))
    assert first is again
    for tls in (Tls("b"), Tls("a"), Tls("c"), Tls("a")):
        await cache.of(tls)
    assert made == [Tls("a"), Tls("b"), Tls("c")], "the one that was used last stays"
    assert len(cache) == 2


def test_a_key_comes_to_no_disk_and_no_terminal_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_files(*_: object, **__: object) -> None:
        raise OSError("read-only file system")

    monkeypatch.setattr(trust.tempfile, "NamedTemporaryFile", no_files)
    assert context_for(Tls(ACME), "").verify_mode is ssl.CERT_REQUIRED


def test_where_there_are_no_files_in_memory_a_private_one_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(trust.os, "memfd_create")
    assert context_for(Tls(ACME, AUTHORITY.pem), "").get_ca_certs()
