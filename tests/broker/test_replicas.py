"""The number that the rate limits are shared by."""

from worker.broker.census import REMEMBERED_SECONDS, Replicas


class World:
    def __init__(self) -> None:
        self.now = 1000.0
        self.replicas = Replicas(lambda: self.now)

    def counted(self, consumers: int, *, after: float = 5.0) -> int:
        self.now += after
        return self.replicas.counted(consumers)


def test_a_replica_that_pauses_keeps_its_share() -> None:
    world = World()
    assert [world.counted(consumers) for consumers in (1, 3, 2, 2, 3, 1)] == [1, 3, 3, 3, 3, 3]


def test_a_scale_down_gives_the_others_more_at_last() -> None:
    world = World()
    assert [world.counted(3), world.counted(2)] == [3, 3]
    assert world.counted(1, after=REMEMBERED_SECONDS - 5) == 3
    assert world.counted(1, after=5) == 2
    assert world.counted(1) == 1


def test_alone_and_paused_it_still_has_one_share() -> None:
    assert World().counted(0) == 1
