"""Where the sender may and may not get to: refused connects, names, egress rules, URLs that cannot be used."""

import asyncio
import time
from ipaddress import IPv6Address

import pytest

from tests.http.egress_support import DEFAULT, FakeDNS, policy
from tests.http.sender_support import HEADERS, PATIENCE, UNUSABLE, Pool, pool, replying
from tests.support.receiver import Receiver
from tests.support.waiting import until
from worker.domain.verdict import Answered, Failure, Unanswered

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def test_a_refused_connect_is_tried_for_about_two_seconds_in_one_attempt(sender: Pool, closed_port: int) -> None:
    started, connects = time.monotonic(), sender.count_connects()
    result = await sender.post(f"http://127.0.0.1:{closed_port}/secret", b"{}")
    assert 5 <= len(connects) <= 20
    assert 1.8 <= time.monotonic() - started < PATIENCE / 2
    assert isinstance(result, Unanswered)
    assert result.failure is Failure.CONNECT
    assert result.error == "connecting to 127.0.0.1 failed: Connection refused"


async def test_a_refused_connect_is_told_of_as_such_within_a_short_deadline(sender: Pool, closed_port: int) -> None:
    result = await sender.post(f"http://127.0.0.1:{closed_port}/", timeout=0.8)
    assert result == Unanswered(Failure.CONNECT, "connecting to 127.0.0.1 failed: Connection refused")


async def test_a_receiver_that_comes_up_meanwhile_gets_it_once(sender: Pool) -> None:
    late = Receiver()
    await late.start()
    await late.stop()
    connects = sender.count_connects()
    sending = asyncio.create_task(sender.post(late.url("/x")))
    await until(lambda: len(connects) >= 4, "it was refused and tried again")
    async with late:
        assert await sending == Answered(200)
        assert len(late.requests) == 1


async def test_a_name_that_does_not_resolve() -> None:
    class NoDNS(FakeDNS):
        async def addresses(self, host: str) -> list[str]:
            raise OSError(None, "Domain name not found")

    async with pool(names=NoDNS()) as sender:
        result = await sender.post("http://user:hunter2@nowhere.example/secret")
        assert result == Unanswered(Failure.DNS, "nowhere.example does not resolve: Domain name not found")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:{port}/", "loopback address 127.0.0.1; allow it with EGRESS_ALLOW"),
        ("http://[::1]:{port}/", "loopback address ::1; allow it with EGRESS_ALLOW"),
        (
            "http://[::ffff:127.0.0.1]:{port}/",
            f"loopback address 127.0.0.1 (inside {IPv6Address('::ffff:127.0.0.1')}); allow it with EGRESS_ALLOW",
        ),
        ("http://169.254.169.254/latest", "cloud metadata address 169.254.169.254; change the webhook"),
        ("http://internal.example:{port}/", "loopback address 127.0.0.1; allow it with EGRESS_ALLOW"),
    ],
)
async def test_what_the_egress_rules_refuse_is_refused_at_once(receiver: Receiver, url: str, reason: str) -> None:
    async with pool(DEFAULT, names=FakeDNS(["127.0.0.1", "10.0.0.1"])) as sender:
        started = time.monotonic()
        assert await sender.post(url.format(port=receiver.port)) == Unanswered(Failure.REFUSED, reason)
        assert time.monotonic() - started < PATIENCE / 2
        assert receiver.requests == []


async def test_a_name_with_a_good_address_among_bad_ones_is_delivered_there(receiver: Receiver) -> None:
    async with pool(policy("127.0.0.1/32"), names=FakeDNS(["127.0.0.2", "10.0.0.1", "127.0.0.1"])) as sender:
        assert await sender.post(f"http://mixed.example:{receiver.port}/") == Answered(200)
        assert receiver.requests[0].header("host") == f"mixed.example:{receiver.port}"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "/x",
        "//host/x",
        "http://",
        "http:///x",
        "http:host",
        "http://:80/x",
        "http://user:hunter2@/x",
        "http://[::1/x",
        "http://host:99999/x",
        "http://host:8o/x",
        "http://\u202e/x",
        "http://\ud800/x",
        "http://127.1/x",
        "http://2130706433/x",
        "http://0177.0.0.1/x",
        "ftp://host/x",
        "ws://host/x",
        "file:///etc/passwd",
        "javascript:alert(1)",
    ],
)
async def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    async with pool(names=FakeDNS(["127.0.0.1"])) as sender:
        assert await sender.post(url) == UNUSABLE


@pytest.mark.parametrize(
    "url", ["http://a b/", "http://a..b/", "http://%00/", "http://a%2fb/", f"http://{'a' * 300}.example/", "http://../"]
)
async def test_a_host_that_no_name_server_knows_is_some_failure(url: str) -> None:
    async with pool() as sender:
        result = await sender.post(url)
        assert isinstance(result, Unanswered)
        assert result.failure in {Failure.DNS, Failure.REFUSED}


async def test_a_host_in_unicode_is_found_by_its_ascii_name(receiver: Receiver) -> None:
    async with pool(names=FakeDNS(["127.0.0.1"])) as sender:
        assert await sender.post(f"http://bücher.example:{receiver.port}/") == Answered(200)
        assert receiver.requests[0].header("host") == f"xn--bcher-kva.example:{receiver.port}"


@pytest.mark.parametrize("value", ["hunter2\r\nx: y", "hunter2\n", "hunter2\0"])
async def test_a_header_that_cannot_be_sent_is_refused_without_its_value(sender: Pool, value: str) -> None:
    async with replying(OK) as (receiver, replies):
        assert await sender.post(receiver.url(), headers={**HEADERS, "x-key": value}) == UNUSABLE
        await sender.none_in_use()
        assert replies.requests == []
