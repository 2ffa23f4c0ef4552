"""Any order of changes, invalidations, outages and lookups: the cache never breaks its promises.

Every change of the fake store gives the instance a URL with the number of the change, so each answer shows
when it was right. Queries answer what the store held when they began, and end when the test lets them.
"""

import asyncio
from dataclasses import dataclass, field
from math import inf

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.lookup.fakes import DOWN, FakeStore, Rig, settle
from worker.delivery.ports import ConfigUnavailable
from worker.domain.webhook import Webhook

INSTANCES = ("a", "b")
TTL, TIMEOUT = 60.0, 5.0

instances = st.sampled_from(INSTANCES)
STEPS = st.one_of(
    st.tuples(st.just("change"), instances),
    st.tuples(st.just("change_unseen"), instances),
    st.tuples(st.just("delete"), instances),
    st.tuples(st.just("find"), instances),
    st.tuples(st.just("find"), instances),
    st.tuples(st.just("cached"), instances),
    st.tuples(st.just("reconnect"), st.none()),
    st.tuples(st.just("answer"), st.integers(0, 1)),
    st.tuples(st.just("fail"), st.integers(0, 1)),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 1.0, 5.0, 14.0, 46.0, 59.0, 61.0])),
)


@dataclass
class World:
    """The store's past: `wrong_since[url]` when an answer stopped being right, `told[url]` that the cache knows."""

    rig: Rig
    changes: int = 0
    wrong_since: dict[tuple[str, str], float] = field(default_factory=dict)
    told: set[tuple[str, str]] = field(default_factory=set)
    failures: int = 0
    finds: dict[asyncio.Task[object], tuple[str, float]] = field(default_factory=dict)

    def current(self, instance: str) -> tuple[str, str]:
        rows = self.rig.store.rows.get(instance, ())
        return (instance, rows[0].url if rows else f"none-{self._gone(instance)}")

    def _gone(self, instance: str) -> int:
        return sum(1 for key in self.wrong_since if key[0] == instance)

    def replace(self, instance: str, rows: tuple[Webhook, ...], *, tell: bool) -> None:
        self.wrong_since[self.current(instance)] = self.rig.clock.now
        self.rig.store.rows[instance] = rows
        self.changes += 1
        if tell:
            self.told |= {key for key in self.wrong_since if key[0] == instance}
            self.rig.cache.invalidate(instance, self.changes)

    def check(self, instance: str, found: object, asked_at: float) -> None:
        assert isinstance(found, tuple)
        if not found:
            return  # absences look alike; test_cache.py holds them to the same rules
        key = (instance, found[0].url)
        assert key not in self.told, "served what an invalidation had voided"
        wrong_for = asked_at - self.wrong_since.get(key, inf)
        assert self.failures or wrong_for < TTL, "served longer than its time to live without a failure"


async def play(steps: list[tuple[str, object]]) -> None:
    world = World(Rig(FakeStore(*(Webhook(name, f"https://{name}/0") for name in INSTANCES)), ttl=TTL, timeout=TIMEOUT))
    for name in INSTANCES:
        await world.rig.cache.find(name)
    world.rig.store.held = True
    for action, value in steps:
        step(world, action, value)
        await settle()
        collect(world)
    await finish(world)


def step(world: World, action: str, value: object) -> None:
    rig = world.rig
    match action, value:
        case "change" | "change_unseen", str(name):
            url = f"https://{name}/{world.changes + 1}"
            world.replace(name, (Webhook(name, url),), tell=action == "change")
        case "delete", str(name):
            world.replace(name, (), tell=True)
        case "find", str(name):
            world.finds[asyncio.get_running_loop().create_task(rig.cache.find(name))] = (name, rig.clock.now)
        case "cached", str(name):
            found = rig.cache.cached(name)
            if found is not None:
                world.check(name, found, rig.clock.now)
        case "reconnect", _:
            rig.cache.invalidate_all()
        case "answer" | "fail", int(number):
            if number < len(rig.store.pending):
                world.failures += action == "fail"
                pending = rig.store.pending.pop(number)
                pending.fail() if action == "fail" else pending.succeed()
        case "wait", float(seconds):
            wait(rig, seconds)


def wait(rig: Rig, seconds: float) -> None:
    """No query outlives its timeout, by the clock of the event loop, which stands still here: it is answered before."""
    for pending in list(rig.store.pending):
        pending.seconds += seconds
        if pending.seconds > TIMEOUT:
            rig.store.pending.remove(pending)
            pending.succeed()
    rig.clock.now += seconds


def collect(world: World) -> None:
    for task in [task for task in world.finds if task.done()]:
        name, asked_at = world.finds.pop(task)
        error = task.exception()
        if error is None:
            world.check(name, task.result(), asked_at)
        else:
            assert isinstance(error, ConfigUnavailable)
            assert world.failures, "raised although the store never failed"


async def finish(world: World) -> None:
    """With a working store every caller gets an answer, and then everyone gets the current one."""
    rig = world.rig
    rig.store.held = False
    while rig.store.pending:
        rig.store.pending.pop().succeed()
        await settle()
    collect(world)
    assert not world.finds, "somebody still waits"
    rig.clock.now += 2 * TTL
    for name in INSTANCES:
        assert await rig.cache.find(name) == rig.store.rows[name]
    rig.store.error = DOWN
    rig.clock.now += 2 * TTL
    for name in INSTANCES:
        assert await rig.cache.find(name) == rig.store.rows[name]


A_QUERY_THAT_IS_JOINED_LATE = [
    ("reconnect", None),
    ("find", "b"),
    ("change_unseen", "b"),
    ("wait", 61.0),
    ("find", "b"),
]


@settings(max_examples=150, deadline=None)
@example(A_QUERY_THAT_IS_JOINED_LATE)
@given(st.lists(STEPS, max_size=40))
def test_no_order_of_things_makes_the_cache_wrong(steps: list[tuple[str, object]]) -> None:
    asyncio.run(play(steps))
