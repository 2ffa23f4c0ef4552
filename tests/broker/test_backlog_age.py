"""How old the oldest waiting message is, told by counts alone: against queues whose messages' ages are known."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from worker.broker import census
from worker.broker.census import BacklogAge

PERIOD = 5.0


class World:
    """A queue, replicas that take from it, and one replica's estimate. The clock begins at 0."""

    def __init__(self, replicas: int = 1) -> None:
        self.now = 0.0
        self.replicas = replicas
        self.queue: deque[float] = deque()
        self.ours = 0
        self.age = BacklogAge(lambda: self.now)

    def arrive(self, count: int) -> None:
        self.queue.extend([self.now] * count)

    def take(self, count: int, *, others: int | None = None) -> None:
        """We take `count`, each other replica as much, or all others together `others`."""
        total = count + (count * (self.replicas - 1) if others is None else others)
        for _ in range(min(total, len(self.queue))):
            self.queue.popleft()
        self.ours += count

    def count(self) -> None:
        self.now += PERIOD
        self.age.counted(self.ours, len(self.queue), self.replicas)

    @property
    def truth(self) -> float:
        return self.now - self.queue[0] if self.queue else 0.0


def test_an_empty_queue_has_no_age() -> None:
    world = World()
    world.count()
    assert world.age.seconds() == 0
    world.arrive(3)
    world.take(3)
    world.count()
    assert world.age.seconds() == 0


def test_a_queue_that_nobody_takes_from_grows_old() -> None:
    world = World()
    world.arrive(10)
    for _ in range(100):
        world.count()
        world.arrive(1)
    assert world.truth - PERIOD <= world.age.seconds() <= world.truth


def test_without_looks_a_backlog_goes_on_growing_old_and_an_empty_queue_does_not() -> None:
    world, empty = World(), World()
    world.arrive(10)
    world.count()
    empty.count()
    world.now = empty.now = 3600
    assert (world.age.seconds(), empty.age.seconds()) == (3600 - PERIOD, 0)


def test_the_age_falls_as_the_backlog_is_worked_off() -> None:
    world = World()
    world.count()
    for _ in range(100):
        world.arrive(50)
        world.count()
    assert world.age.seconds() == 99 * PERIOD
    while len(world.queue) > 100:
        world.take(100)
        world.count()
        assert world.truth - PERIOD <= world.age.seconds() <= world.truth
    world.take(100)
    world.count()
    assert world.age.seconds() == 0


def test_replicas_that_come_and_go_do_not_disturb_it() -> None:
    world = World(replicas=1)
    world.count()
    for step in range(200):
        world.replicas = 1 + step // 20 % 3
        world.arrive(60)
        world.take(50 // world.replicas)
        world.count()
        assert abs(world.age.seconds() - world.truth) <= 3 * PERIOD


def test_a_replica_that_takes_nothing_sees_that_others_empty_the_queue() -> None:
    world = World(replicas=2)
    world.arrive(1000)
    world.count()
    while world.queue:
        world.take(0, others=100)
        world.count()
    assert world.age.seconds() == 0


def test_what_goes_back_is_not_taken() -> None:
    """Handed back at a pause, or by a connection that was lost: at the head of the queue again."""
    world = World()
    world.arrive(1000)
    world.count()
    for _ in range(100):
        world.ours += 50
        for _ in range(50):
            world.queue.popleft()
        world.count()
        world.ours -= 50
        world.queue.extendleft([0.0] * 50)
        world.count()
    assert world.age.seconds() == world.truth - PERIOD


def test_what_is_remembered_is_bounded_and_the_oldest_is_kept() -> None:
    world = World()
    for _ in range(3 * census.MOST_REMEMBERED):
        world.arrive(1)
        world.count()
    assert len(world.age._arrivals) <= census.MOST_REMEMBERED
    assert world.age.seconds() == world.truth - PERIOD
    world.take(1500)
    world.count()
    assert 0 <= world.truth - world.age.seconds() <= 10 * PERIOD


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=60))
def test_alone_it_is_never_wrong_by_more_than_a_count(steps: list[tuple[int, int]]) -> None:
    world = World()
    world.count()
    for arriving, wanted in steps:
        world.arrive(arriving)
        world.take(min(wanted, len(world.queue)))
        world.count()
        assert world.truth - PERIOD <= world.age.seconds() <= world.truth
