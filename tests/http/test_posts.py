"""POSTs without a task, beside the same ones in a task: what comes of them is the same, whatever the receiver does."""

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.http.sender_support import PATIENCE, End, Ended, Pool, finish, pool, replying
from tests.http.test_plain_answer import NOT_PLAIN, PLAIN, answers
from tests.support.receiver import HostileReceiver, read_request
from worker.domain.request.build import Request
from worker.domain.target import parsed
from worker.domain.verdict import Answered, Failure, Result, Unanswered

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
