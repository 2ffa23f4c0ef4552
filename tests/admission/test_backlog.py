"""How long what a lane cannot take stays away."""

from heapq import heapify, heappop, heappush

from hypothesis import given
from hypothesis import strategies as st

from tests.admission.world import SCHEDULE, TICK, Ticket, World
from worker.admission.backlog import Backlog


@given(
    rate=st.floats(0.001, 1000),
    arrivals=st.lists(st.tuples(st.floats(0, 50), st.integers(1, 40)), max_size=20),
)
def test_it_counts_what_is_away_and_forgets_what_is_back(rate: float, arrivals: list[tuple[float, int]]) -> None:
    backlog, now, due = Backlog(), 0.0, []
    for gap, count in arrivals:
        now += gap
        for _ in range(count):
            delay = backlog.park(now, rate, 3, SCHEDULE)
            assert delay in SCHEDULE.steps
            assert delay <= 3645
            due.append(int(now + delay))
        assert backlog.total == sum(second > now for second in due)
    backlog.expire(now + 4000)
    assert (backlog.total, backlog._due) == (0, {})


@given(rate=st.floats(0.001, 1000), ahead=st.integers(0, 100))
def test_the_first_one_waits_for_those_ahead_of_it(rate: float, ahead: int) -> None:
    assert Backlog().park(0, rate, ahead, SCHEDULE) == SCHEDULE.covering((ahead + 1) / rate)


def test_a_lane_that_works_for_three_seconds_is_not_idle_for_fifteen() -> None:
    backlog = Backlog()
    assert {backlog.park(0, 10, 0, SCHEDULE) for _ in range(30)} == {5}


def test_a_longer_delay_is_used_once_the_backlog_outlasts_it() -> None:
    backlog = Backlog()
    delays = [backlog.park(0, 10, 0, SCHEDULE) for _ in range(400)]
    assert delays.index(15) == 149, "149 are 15 s of work"
    assert set(delays[149:]) == {15}


def test_a_burst_for_one_endpoint_is_delivered_without_spinning() -> None:
    """6,000 at once for a lane of 200 a second: 30 s of work, far from one lump an hour later."""
    world = World()
    world.grow("acme")
    begin = world.clock
    parkings, seconds = _deliver(world, 6000)
    assert parkings / 6000 < 6
    assert seconds < 120
    assert world.clock - begin == seconds


def _deliver(world: World, count: int) -> tuple[int, float]:
    """Simulate deliveries that arrive at 3000 a second and are answered in 100 ms. (parkings, seconds)."""
    begin, parkings, done = world.clock, 0, 0
    arrivals = [begin + number / 3000 for number in range(count)]
    heapify(arrivals)
    ends: list[tuple[float, int, Ticket]] = []
    open_tickets: list[Ticket] = []
    tick = begin
    while done < count:
        upcoming = [tick, *arrivals[:1], *([ends[0][0]] if ends else [])]
        world.clock = max(world.clock, min(upcoming))
        if ends and ends[0][0] <= world.clock:
            world.finish(heappop(ends)[2])
            done += 1
        elif arrivals and arrivals[0] <= world.clock:
            heappop(arrivals)
            open_tickets.append(world.arrive("acme"))
            world.tickets.clear()
        else:
            world.admission.tick()
            tick = world.clock + TICK
        for ticket in [ticket for ticket in open_tickets if not ticket.waiting]:
            open_tickets.remove(ticket)
            if ticket.parked is None:
                heappush(ends, (ticket.started_at + 0.1, id(ticket), ticket))
            else:
                parkings += 1
                heappush(arrivals, world.clock + ticket.parked.delay)
    return parkings, world.clock - begin
