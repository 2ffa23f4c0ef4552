"""The answer that is read without a parser: whatever is taken there, aiohttp's parser takes, and as the same."""

import asyncio
from collections.abc import Iterator

import pytest
from aiohttp.http import HttpProcessingError, HttpResponseParser
from hypothesis import given
from hypothesis import strategies as st

from worker.http.aiohttp_internals import Protocol
from worker.http.plain_answer import LONGEST_BYTES, plain_status

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"content-length: 2\r\n"

PLAIN = {
    "nginx": OK + b"Server: nginx\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
    "no reason": b"HTTP/1.1 202\r\ncontent-length: 0\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n",
    "a length of nothing": b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
    "latin-1": OK + b"x: \xe9\r\n" + LENGTH + b"\r\nok",
    "the case of a name": OK + b"CONTENT-LENGTH:2\r\nconnection:Keep-Alive\r\n\r\nok",
}
NOT_PLAIN = {
    "nothing": b"",
    "a part of a head": OK + LENGTH,
    "a part of a body": OK + LENGTH + b"\r\no",
    "more than its body": OK + LENGTH + b"\r\noks",
    "no length": OK + b"\r\n",
    "two lengths": OK + LENGTH + LENGTH + b"\r\nok",
    "a length that is none": OK + b"content-length: 0x2\r\n\r\nok",
    "a length with a sign": OK + b"content-length: +2\r\n\r\nok",
    "chunks": OK + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": OK + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "its connection ends": OK + LENGTH + b"connection: close\r\n\r\nok",
    "its connection is something else, too": OK + LENGTH + b"connection: keep-alive, upgrade\r\n\r\nok",
    "an upgrade": OK + LENGTH + b"upgrade: h2c\r\n\r\nok",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n" + LENGTH + b"\r\nok",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n" + OK + LENGTH + b"\r\nok",
    "another status": b"HTTP/1.1 500 No\r\n" + LENGTH + b"\r\nok",
    "a redirect": b"HTTP/1.1 302 Found\r\nlocation: /x\r\n" + LENGTH + b"\r\nok",
    "204 with a body": b"HTTP/1.1 204 No Content\r\n" + LENGTH + b"\r\nok",
    "a header without a colon": OK + b"x\r\n" + LENGTH + b"\r\nok",
    "a space before the colon": OK + b"content-length : 2\r\n\r\nok",
    "a folded header": OK + b"x: a\r\n b\r\n" + LENGTH + b"\r\nok",
    "NUL": OK + b"x: \x00\r\n" + LENGTH + b"\r\nok",
    "a bare line feed": OK + b"x: a\ny: b\r\n" + LENGTH + b"\r\nok",
    "too long": OK + b"x: " + b"a" * LONGEST_BYTES + b"\r\n" + LENGTH + b"\r\nok",
}


@pytest.mark.parametrize("answer", PLAIN.values(), ids=PLAIN.keys())
def test_a_plain_answer_has_its_status(answer: bytes) -> None:
    assert plain_status(answer) == int(answer.split()[1])


@pytest.mark.parametrize("answer", NOT_PLAIN.values(), ids=NOT_PLAIN.keys())
def test_any_other_is_left_to_the_parser(answer: bytes) -> None:
    assert plain_status(answer) is None


LINES = [b"HTTP/1.1 200 OK", b"HTTP/1.1 204", b"content-length: 2", b"content-length: 0", b"connection: keep-alive"]
LINES += [b"connection: close", b"transfer-encoding: chunked", b"x: y", b"date:", b"upgrade: h2c", b"HTTP/1.1 201 \xff"]
pieces = st.sampled_from([*LINES, *PLAIN.values(), *NOT_PLAIN.values(), b"\r\n", b"\r\n\r\n", b"ok", b" ", b":", b"\n"])


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Plain ones, and what is nearly one: lines left out, put in, broken."""
    head = [draw(st.sampled_from(LINES[:2])), *draw(st.lists(st.sampled_from(LINES[2:]), max_size=4))]
    answer = b"\r\n".join(head) + b"\r\n\r\n" + draw(st.sampled_from([b"", b"ok", b"okay"]))
    if draw(st.booleans()):
        at = draw(st.integers(0, len(answer)))
        answer = answer[:at] + draw(pieces | st.binary(max_size=3)) + answer[at + draw(st.integers(0, 3)) :]
    return answer


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    found = asyncio.new_event_loop()
    yield found
    found.close()


@given(answer=answers() | st.sampled_from([*PLAIN.values(), *NOT_PLAIN.values()]))
def test_what_is_taken_for_plain_is_to_aiohttp_one_whole_answer_on_a_connection_that_stays(
    loop: asyncio.AbstractEventLoop, answer: bytes
) -> None:
    status = plain_status(answer)
    if status is None:
        return
    parser = HttpResponseParser(Protocol(loop), loop, 2**16, auto_decompress=False, read_until_eof=True)
    try:
        messages, upgraded, rest = parser.feed_data(answer)
    except HttpProcessingError as error:
        raise AssertionError(f"aiohttp refuses {answer!r}") from error
    ((message, body),) = messages
    assert (message.code, message.should_close, body.is_eof(), upgraded, rest) == (status, False, True, False, b"")
