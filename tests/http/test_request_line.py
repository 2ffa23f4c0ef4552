"""A webhook's URL byte for byte on the wire: what RFC 3986 allows stays as it was written, anything else is encoded."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.egress_support import FakeDNS, policy
from tests.http.sender_support import Pool, pool, replying
from worker.domain.request.build import Request
from worker.domain.target import parsed, target_of
from worker.domain.verdict import Answered, Failure, Unanswered
from worker.http.aiohttp_internals import origin_of

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"

SIGNED = "%2F%2f%27%28%41%7E%25%C3%a9+&x[]=1&y=(a'b)*!$,;:@/?"
LINES = {
    f"/x?sig={SIGNED}": f"/x?sig={SIGNED}",
    f"/%2Fa%2fb/%41?sig={SIGNED}": f"/%2Fa%2fb/%41?sig={SIGNED}",
    f"/é/%2Fa?sig={SIGNED}": f"/%C3%A9/%2Fa?sig={SIGNED}",
    f"/{{id}}/%2fa?sig={SIGNED}": f"/%7Bid%7D/%2fa?sig={SIGNED}",
    f"/x?t=a|b^c`d&sig={SIGNED}": f"/x?t=a%7Cb%5Ec%60d&sig={SIGNED}",
    f'/x?t="a"<b>&sig={SIGNED}': f"/x?t=%22a%22%3Cb%3E&sig={SIGNED}",
    f"/a\\b?sig={SIGNED}": f"/a%5Cb?sig={SIGNED}",
    f"/x?t=😀&sig={SIGNED}": f"/x?t=%F0%9F%98%80&sig={SIGNED}",
    f"/x?sig={SIGNED}#é|%2F": f"/x?sig={SIGNED}",
    "/100%?a=%&b=%zz&c=%2": "/100%25?a=%25&b=%25zz&c=%252",
    "/a/../b/./c//d": "/a/../b/./c//d",
    "?a=%2F": "/?a=%2F",
    "": "/",
}


@pytest.mark.parametrize(("written", "sent"), LINES.items())
@pytest.mark.parametrize("scheme", ["http", "HTTP", "worker+http", "worker+Http"])
async def test_the_request_line_has_each_byte_as_it_was_written(
    sender: Pool, scheme: str, written: str, sent: str
) -> None:
    async with replying(OK) as (receiver, replies):
        target = target_of(f"{scheme}://127.0.0.1:{receiver.port}{written}")
        assert await sender.send(Request(target, {}, b""), 10) == Answered(200)
    assert replies.requests[0].splitlines()[0] == f"POST {sent} HTTP/1.1".encode()


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("/é/%2Fa/?sig=%2F%27", "/%C3%A9/%2Fa/call?sig=%2F%27"),
        ("/x|?t=%41", "/x%7C/call?t=%41"),
        ("?t=%28", "/call?t=%28"),
    ],
)
async def test_the_path_of_an_event_changes_no_other_byte(sender: Pool, written: str, sent: str) -> None:
    async with replying(OK) as (receiver, replies):
        target = target_of(f"HTTP://127.0.0.1:{receiver.port}{written}", "CALL")
        assert await sender.send(Request(target, {}, b""), 10) == Answered(200)
    assert replies.requests[0].splitlines()[0] == f"POST {sent} HTTP/1.1".encode()


@pytest.mark.parametrize(
    ("host", "sent"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("a_b.Example", "a_b.Example"),
    ],
)
async def test_a_name_is_connected_to_in_its_idna_form_and_the_query_stays(host: str, sent: str) -> None:
    async with (
        pool(policy("127.0.0.1/32"), names=FakeDNS(["127.0.0.1"])) as sender,
        replying(OK) as (receiver, replies),
    ):
        target = target_of(f"http://ü:p%40|@{host}:{receiver.port}/?t=%2F%41")
        assert await sender.send(Request(target, {}, b""), 10) == Answered(200)
    line, host_line, credentials = replies.requests[0].split(b"\r\n")[:3]
    assert (line, host_line) == (b"POST /?t=%2F%41 HTTP/1.1", f"Host: {sent}:{receiver.port}".encode())
    assert credentials == b"Authorization: Basic w7w6cEB8"  # ü:p@|


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="#? "), max_size=30))
def test_what_is_sent_is_allowed_and_sending_it_again_changes_nothing(path: str) -> None:
    sent = parsed(f"http://h/{path}").sent
    assert sent is not None
    again = parsed(str(sent)).sent
    assert again is not None
    assert again.raw_path_qs == sent.raw_path_qs
    assert sent.raw_path_qs.isascii()
    assert not set(sent.raw_path_qs) & set('"<>\\^`{|} ')


async def test_an_unknown_interface_is_told_of_in_words() -> None:
    async with pool(policy("fe80::/10")) as sender:
        result = await sender.send(Request(target_of("http://[fe80::1%25nowhere9]/x"), {}, b""), 5)
    assert isinstance(result, Unanswered)
    assert result.failure is Failure.CONNECT
    assert result.error.startswith("connecting to fe80::1%nowhere9 failed: ")
    assert "Unknown error" not in result.error


async def test_the_receiver_is_not_told_of_this_machines_interfaces() -> None:
    origin = origin_of(target_of("http://[fe80::1%25eth0]:8080/x").origin, asyncio.get_running_loop())
    assert (origin.host, origin.key.host) == ("[fe80::1]:8080", "fe80::1%eth0")
