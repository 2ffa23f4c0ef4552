"""Fuzzing for a time, or for a number of cases: counts, and the inputs that broke something."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.proof.fuzz import api, envelope
from tests.proof.fuzz.envelope import Broken
from tests.proof.fuzz.requests import Sent, request

AT_ONCE = 8
"""Requests to the API that are under way together."""

LOOK_EVERY = 25
"""Rounds of them between two looks through the whole store."""

ENOUGH = 5
"""Broken cases after which a run ends."""

HANG_SECONDS = 10.0
"""Of CPU time, for one message: then it counts as broken without ever ending."""

GoOn = Callable[[int], bool]
"""Whether a case of this number is still to come."""


@dataclass(frozen=True, slots=True)
class Failure:
    """`part` is "envelope" or "api"; `raw` the message, or the request as it went over the wire."""

    part: str
    number: int
    raw: bytes
    why: str


@dataclass(slots=True)
class Result:
    cases: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)


def for_seconds(seconds: float) -> GoOn:
    end = time.monotonic() + seconds
    return lambda number: time.monotonic() < end


def for_cases(count: int) -> GoOn:
    return lambda number: number < count


def fuzz_envelope(seed: int, go_on: GoOn) -> Result:
    result = Result()
    while go_on(result.cases) and len(result.failures) < ENOUGH:
        one = envelope.case(seed, result.cases)
        try:
            with _no_hang():
                result.ends["events" if envelope.check(one) else "refused"] += 1
            result.ends["honest"] += one.honest is not None
        except Broken as broken:
            result.failures.append(Failure("envelope", result.cases, one.body, str(broken)))
        result.cases += 1
    return result


async def fuzz_api(seed: int, go_on: GoOn) -> Result:
    """Raises Broken when the store is no longer intact: that is no single request's doing."""
    result = Result()
    async with api.server() as server:
        for rounds in _rounds(result, go_on):
            numbers = range(result.cases, result.cases + AT_ONCE)
            await asyncio.gather(*(_one(server.check, request(seed, number), number, result) for number in numbers))
            result.cases += AT_ONCE
            if rounds % LOOK_EVERY == 0:
                await server.look()
        result.ends["stored"] = await server.look()
        result.ends.update({str(status or "none"): count for status, count in server.answers.items()})
    return result


def _rounds(result: Result, go_on: GoOn) -> Iterator[int]:
    rounds = 0
    while go_on(result.cases) and len(result.failures) < ENOUGH:
        rounds += 1
        yield rounds


async def _one(check: Callable[[Sent], Awaitable[None]], sent: Sent, number: int, result: Result) -> None:
    try:
        await check(sent)
    except Broken as broken:
        result.failures.append(Failure("api", number, sent.raw, str(broken)))


@contextmanager
def _no_hang() -> Iterator[None]:
    """Not the wall clock's timer, which belongs to pytest-timeout."""

    def hung(*_: object) -> None:
        raise Broken(f"no end after {HANG_SECONDS:g} s of CPU")

    before = signal.signal(signal.SIGVTALRM, hung)
    signal.setitimer(signal.ITIMER_VIRTUAL, HANG_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
