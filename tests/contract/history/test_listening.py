"""Signs of life of instances, merged from several replicas, judged by one, on each database."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from tests.contract.history.conftest import DAY, NOON, Clock, NewHistory
from worker.domain.notices.notice import Kind
from worker.domain.silence.pulse import Pulse
from worker.history.store import HistoryStore
from worker.stores.database import parse
from worker.stores.engine import engine_of
from worker.stores.history.schema import LISTENING

HOUR, MINUTE = 3_600_000, 60_000
BEGIN = NOON - 9 * DAY
NAMES = ("acme", "ACME", "acme ", "açme", "a" * 255)


def nine_days(name: str) -> list[Pulse]:
    """A message every 20 minutes until NOON."""
    return [Pulse(name, at, at) for at in range(BEGIN, NOON, 20 * MINUTE)]


@pytest.fixture
async def steady(history: HistoryStore) -> HistoryStore:
    await history.hear([pulse for name in NAMES for pulse in nine_days(name)])
    return history


async def test_of_five_replicas_one_makes_the_notice_and_all_count_it(
    steady: HistoryStore, new_history: NewHistory, clock: Clock
) -> None:
    clock.now = NOON + 12 * HOUR
    await steady.hear([Pulse(name, clock.now if name == "ACME" else None, clock.now) for name in NAMES])
    found = await asyncio.gather(*(new_history().judge(clock.now) for _ in range(5)))
    assert (max(found), await steady.judge(clock.now)) == (4, 4)
    assert await steady.silent(clock.now) == tuple(sorted({*NAMES} - {"ACME"}))
    claimed = await steady.claim(clock.now)
    assert sorted(each.notice.instance for each in claimed) == sorted({*NAMES} - {"ACME"})
    assert {(each.notice.kind, each.notice.webhook) for each in claimed} == {(Kind.SILENT, None)}
    for each in claimed:
        await steady.told(each, clock.now)
    clock.now += DAY
    await steady.judge(clock.now)
    assert [*await steady.claim(clock.now)] == [], "told once"


async def test_names_are_given_in_order_from_one_on(steady: HistoryStore) -> None:
    assert await steady.instances(10) == tuple(sorted(NAMES))
    assert await steady.instances(2, "aa") == tuple(sorted(NAMES))[1:3]
    assert await steady.instances(1, "acme") == ("acme",)
    assert (await steady.instances(1, "z"), await steady.instances(1, "a\0")) == ((), ())


async def test_one_that_speaks_before_it_was_told_is_not_told(steady: HistoryStore, clock: Clock) -> None:
    clock.now = NOON + 12 * HOUR
    await steady.hear([Pulse("acme", None, clock.now)])
    assert await steady.judge(clock.now) == 1
    await steady.hear([Pulse("acme", clock.now)])
    assert (await steady.judge(clock.now), [*await steady.claim(clock.now)]) == (0, [])


async def test_ten_writers_that_hear_of_new_instances_lose_no_minute(
    history: HistoryStore, new_history: NewHistory, uri: str, clock: Clock
) -> None:
    """Each hears of six minutes of one hour, every minute comes twice."""
    clock.now = NOON + HOUR
    parts = [
        [Pulse(f"shop {shop}", NOON + minute * MINUTE) for shop in range(8) for minute in range(start, 60, 10)]
        for start in range(10)
    ]
    await asyncio.gather(*(new_history().hear(part) for part in (*parts, *parts)))
    engine = engine_of(parse(uri))
    with engine.connect() as connection:
        found = connection.execute(select(LISTENING.c.minutes, LISTENING.c.message)).all()
    engine.dispose()
    assert [*map(tuple, found)] == [(2**60 - 1, NOON + 59 * MINUTE)] * 8


async def test_hostile_names_and_clocks_harm_nobody(steady: HistoryStore, clock: Clock) -> None:
    clock.now = NOON + 12 * HOUR
    bad = [Pulse("nul\0", NOON, NOON), Pulse("a" * 256, NOON, NOON), Pulse("\ud83d", NOON, NOON)]
    await steady.hear([*bad, Pulse("acme", None, 2**62, True, -(2**62)), Pulse("new", 2**62, None)])
    assert await steady.judge(clock.now) == 1


async def test_who_has_said_nothing_for_two_months_is_forgotten(steady: HistoryStore, clock: Clock) -> None:
    clock.now = NOON + 12 * HOUR
    await steady.hear([Pulse("acme", None, clock.now)])
    assert await steady.judge(clock.now) == 1
    clock.now += 59 * DAY
    await steady.tidy(clock.now)
    await steady.hear([Pulse("acme", None, clock.now)])
    assert await steady.judge(clock.now) == 1, "it is silent still"
    clock.now += 61 * DAY
    await steady.tidy(clock.now)
    await steady.hear([Pulse("acme", None, clock.now)])
    assert await steady.judge(clock.now) == 0
