"""A bad receiver costs the others nothing: what they get, and how soon, beside 300 events for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import cycle

from tests.proof.conformance.stage import Broken, Hook, Stage
from tests.support.events import event
from tests.support.hostile import ANSWERS, BROKEN_HEADERS, CUT_BODIES
from tests.support.local_process import free_port
from tests.support.receiver import Answer, HostileReceiver, Received, Receiver, read_request

HEALTHY, BURST = 20, 300
SOON_SECONDS = 5.0


@asynccontextmanager
async def silent() -> AsyncIterator[HostileReceiver]:
    """It accepts and never answers."""

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with HostileReceiver(silence) as receiver:
        yield receiver


@asynccontextmanager
async def failing() -> AsyncIterator[Receiver]:
    async with _answering(500) as receiver:
        yield receiver


@asynccontextmanager
async def rate_limiting() -> AsyncIterator[Receiver]:
    async with _answering(Answer(429, {"Retry-After": "60"})) as receiver:
        yield receiver


@asynccontextmanager
async def slow() -> AsyncIterator[Receiver]:
    """Two seconds for each answer."""

    async def late(_: Received) -> int:
        await asyncio.sleep(2)
        return 200

    async with Receiver() as receiver:
        receiver.always("/x", late)
        yield receiver


@asynccontextmanager
async def down() -> AsyncIterator[Receiver]:
    """Nobody listens there."""
    yield Receiver(port=free_port())


@asynccontextmanager
async def hostile() -> AsyncIterator[HostileReceiver]:
    """Each connection gets the next odd answer, and the last of them one that never ends."""
    odd = [
        *ANSWERS.values(),
        *CUT_BODIES.values(),
        *(b"HTTP/1.1 200 OK\r\n" + each for each in BROKEN_HEADERS.values()),
    ]
    turns = cycle((*odd, None))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        answer = next(turns)
        writer.write(answer or b"")
        while answer is None:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 4000)
            await writer.drain()
        await reader.read()

    async with HostileReceiver(talk) as receiver:
        yield receiver


@asynccontextmanager
async def _answering(answer: int | Answer) -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        receiver.always("/x", answer)
        yield receiver


BAD: dict[str, Callable[[], AbstractAsyncContextManager[Receiver | HostileReceiver]]] = {
    "silent": silent,
    "slow": slow,
    "down": down,
    "failing": failing,
    "rate-limiting": rate_limiting,
    "hostile": hostile,
}


async def others_are_served(stage: Stage, kind: str) -> str:
    """Each of 20 healthy endpoints has its event within five seconds, although 300 for the bad one came before."""
    names = [f"healthy-{number}" for number in range(HEALTHY)]
    async with BAD[kind]() as bad:
        await stage.start(Hook(stage.instance("bad"), bad.url("/x")), *(stage.hook(name, f"/{name}") for name in names))
        await stage.publish(*(event(instance=stage.instance("bad"), data=number) for number in range(BURST)))
        await _begun(bad, stage.patience)
        started = time.monotonic()
        await stage.publish(*(event(instance=stage.instance(name)) for name in names))
        limit = min(SOON_SECONDS, stage.patience)
        share = await _share(stage, names, limit)
        seconds = time.monotonic() - started
        await stage.moment("served", bad)
    if share < 1:
        raise Broken(f"{share:.0%} of the others' events within {limit:g} s beside one that is {kind}")
    return f"100% of the others' events within {seconds:.2f} s"


async def _begun(bad: Receiver | HostileReceiver, patience: float) -> None:
    if isinstance(bad, HostileReceiver):
        await bad.wait_for_connections(1, patience)
    elif bad.listening:
        await bad.wait_for(1, patience)


async def _share(stage: Stage, names: list[str], limit: float) -> float:
    wanted = {f"/{name}" for name in names}

    def came(posts: list[Received]) -> int:
        return len({post.path for post in posts} & wanted)

    try:
        await stage.receiver.wait_for(lambda posts: came(posts) == HEALTHY, limit)
    except AssertionError:
        return came(stage.receiver.requests) / HEALTHY
    return 1.0
