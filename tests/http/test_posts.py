"""POSTs without a task, beside the same ones in a task: what comes of them is the same, whatever the receiver does."""

import asyncio
from dataclasses import dataclass
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.http.sender_support import PATIENCE, End, Ended, Pool, finish, pool, replying
from tests.http.test_plain_answer import NOT_PLAIN, PLAIN, answers
from tests.support.receiver import HostileReceiver, read_request
from worker.domain.request.build import Request
from worker.domain.target import parsed
from worker.domain.verdict import Answered, Failure, Result, Unanswered
from worker.http.posts import ROW

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


@dataclass(frozen=True)
class Said:
    """What a receiver answers to a second request on a connection: in pieces, and how it goes on."""

    pieces: tuple[bytes, ...]
    end: End

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while b"x-warm-up" in await read_request(reader):
            writer.write(OK)
        for piece in self.pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if self.end is End.WAIT:
            while await read_request(reader):
                writer.write(OK)
        await finish(self.end, reader, writer)


@st.composite
def said(draw: st.DrawFn) -> Said:
    answer = draw(answers() | st.sampled_from([*PLAIN.values(), *NOT_PLAIN.values()]))
    cuts = sorted(draw(st.lists(st.integers(0, len(answer)), max_size=2)))
    pieces = [answer[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]
    return Said(tuple(filter(None, pieces)), draw(st.sampled_from(End)))


async def outcome(said: Said, *, in_tasks: bool) -> tuple[Result, int, int]:
    """The result of a POST on a kept connection, whether that is kept afterwards, and how many were made."""
    async with HostileReceiver(said) as receiver, pool() as sender:
        warm = Request(parsed(receiver.url()), {"x-warm-up": "1"}, b"")
        assert await sender.send(warm, PATIENCE) == Answered(200)
        sender.in_tasks = in_tasks
        found = await sender.post(receiver.url(), timeout=0.1)
        await sender.none_in_use()
        assert sender.begun == (not in_tasks)
        return found, sender.kept, receiver.connections


@settings(max_examples=40, deadline=None)
@given(said=said())
def test_without_a_task_a_post_ends_as_in_one(said: Said) -> None:
    async def both() -> None:
        assert await outcome(said, in_tasks=False) == await outcome(said, in_tasks=True)

    asyncio.run(both())


async def test_a_post_that_goes_on_in_a_task_gets_the_answer_that_comes_then(sender: Pool) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_request(reader):
            writer.write(OK)
            await read_request(reader)
            asked.set()
            await answer.wait()
            writer.write(OK.replace(b"200", b"201"))

    async with HostileReceiver(waiting) as receiver:
        assert await sender.post(receiver.url()) == Answered(200)
        end = Ended()
        post = sender.posts.begin(Request(parsed(receiver.url()), {}, b"{}"), PATIENCE, end)
        assert post is not None
        sender.posts.write_begun()
        await asked.wait()
        post.go_on()
        answer.set()
        assert await end.wait(post) == Answered(201)
        assert (sender.kept, receiver.connections) == (1, 1)


async def test_an_answer_that_is_repeated_to_the_byte_counts_each_time_and_another_one_as_what_it_is(
    sender: Pool,
) -> None:
    said = iter([OK, OK, OK, OK.replace(b"200", b"202"), OK, OK.replace(b"200", b"500"), OK])

    async def repeating(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_request(reader):
            writer.write(next(said))

    async with HostileReceiver(repeating) as receiver:
        found = [await sender.post(receiver.url()) for _ in range(7)]
        assert [result.status for result in found if isinstance(result, Answered)] == [
            200,
            200,
            200,
            202,
            200,
            500,
            200,
        ]
        assert (sender.begun, receiver.connections) == (6, 1)


@pytest.mark.parametrize("url", ["http://[::1/x", "not a URL", "https://127.0.0.1:1/"])
async def test_what_cannot_begin_at_once_is_not_begun(sender: Pool, url: str) -> None:
    assert sender.posts.begin(Request(parsed(url), {}, b""), PATIENCE, Ended()) is None


async def test_a_post_that_expires_is_a_timeout_and_its_connection_is_closed(warm: Pool) -> None:
    async with replying(b"") as (receiver, replies):
        assert await warm.post(receiver.url(), timeout=0.05) == Unanswered(Failure.TIMEOUT, "no answer within 0.05 s")
        await replies.closed.wait()
        assert (warm.kept, warm.in_use, receiver.connections) == (0, 0, 1)


class Warmed:
    """Answers each request; the first `connections` of them, one on each connection, when all those have come.

    `came` has the bodies of the others, as they came."""

    def __init__(self, connections: int) -> None:
        self.came: list[bytes] = []
        self._all = asyncio.Barrier(connections)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await read_request(reader):
            if b"x-warm-up" in request:
                await self._all.wait()
            else:
                self.came.append(request.partition(b"\r\n\r\n")[2])
            writer.write(OK)


async def begun(sender: Pool, url: str, count: int) -> list[Ended]:
    """POSTs on as many kept connections. Their bodies are their numbers."""
    warm = Request(parsed(url), {"x-warm-up": "1"}, b"")
    assert await asyncio.gather(*(sender.send(warm, PATIENCE) for _ in range(count))) == [Answered(200)] * count
    ends = [Ended() for _ in range(count)]
    for number, end in enumerate(ends):
        assert sender.posts.begin(Request(parsed(url), {}, b"%d" % number), PATIENCE, end) is not None
    return ends


async def test_what_has_begun_is_written_when_all_have_and_once(sender: Pool) -> None:
    warmed = Warmed(2)
    async with HostileReceiver(warmed) as receiver:
        ends = await begun(sender, receiver.url(), 2)
        assert await sender.send(Request(parsed(receiver.url()), {}, b"between"), PATIENCE) == Answered(200)
        assert warmed.came == [b"between"]
        sender.posts.write_begun()
        sender.posts.write_begun()
        assert await asyncio.gather(*(end.came for end in ends)) == [Answered(200)] * 2
        assert (sorted(warmed.came), sender.kept) == ([b"0", b"1", b"between"], 3)


async def test_a_long_row_is_written_in_parts(sender: Pool) -> None:
    warmed = Warmed(ROW + 1)
    async with HostileReceiver(warmed) as receiver:
        ends = await begun(sender, receiver.url(), ROW + 1)
        assert await asyncio.gather(*(end.came for end in ends[:ROW])) == [Answered(200)] * ROW
        assert not ends[ROW].came.done()
        sender.posts.write_begun()
        assert await ends[ROW].came == Answered(200)
        assert sorted(warmed.came) == sorted(b"%d" % number for number in range(ROW + 1))


async def test_one_that_cannot_be_written_goes_on_and_keeps_no_other_from_it(
    sender: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    warmed = Warmed(2)
    async with HostileReceiver(warmed) as receiver:
        ends = await begun(sender, receiver.url(), 2)
        (transport, whole), other = sender.posts._unwritten
        sender.posts._unwritten = [(cast("asyncio.Transport", Unwritable(transport)), whole), other]
        sender.posts.write_begun()
        assert await asyncio.gather(*(end.came for end in ends)) == [Answered(200)] * 2
        assert (sorted(warmed.came), receiver.connections) == ([b"0", b"1"], 3)
        assert "could not be written" in caplog.text


class Unwritable:
    """A fault of ours, or of the event loop's."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._abort = transport.abort

    def abort(self) -> None:
        self._abort()
        raise RuntimeError("the handle is closed, and says so twice")

    def write(self, _: bytes) -> None:
        raise RuntimeError("the handle is closed")
