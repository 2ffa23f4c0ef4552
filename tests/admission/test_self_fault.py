"""When nobody can be reached the fault is ours, and no receiver pays for it."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.admission.world import BROKEN, NO_CONNECT, OK, TIMEOUT, World
from worker.admission.self_fault import SelfFaultGuard
from worker.domain.outcome import Parked, ParkReason
from worker.domain.target import target_of
from worker.domain.verdict import Answered, Failure, Result, Unanswered


def frozen_world() -> World:
    world = World()
    for number in range(5):
        world.exchange(f"tenant-{number}", Unanswered(Failure.DNS, "no such host"), seconds=0.5)
    assert world.admission.frozen
    return world


def test_our_dns_outage_is_noticed_at_the_fifth_host() -> None:
    world = World()
    for number in range(4):
        world.exchange(f"tenant-{number}", NO_CONNECT, seconds=0.5)
        assert not world.admission.frozen
    world.exchange("tenant-4", NO_CONNECT, seconds=0.5)
    assert world.admission.frozen
    assert world.self_faults == [True]


def test_one_shared_host_never_triggers_it() -> None:
    guard = SelfFaultGuard()
    assert not any(guard.failed(target_of(f"https://Hooks.example/{n}").place, float(n)) for n in range(100))
    assert target_of("http://a.example:8080/x").place == ("a.example", 8080)
    assert target_of("http://a.example/x").place == ("a.example", 80)


def test_five_dead_receivers_among_healthy_ones_are_theirs() -> None:
    world = World()
    for _ in range(10):
        for number in range(8):
            world.exchange(f"dead-{number}", NO_CONNECT)
        world.exchange("good", Answered(404))
        world.advance(1)
    assert world.self_faults == []
    assert world.admission.endpoints_open == 8


def test_an_answer_of_ten_seconds_ago_acquits_us() -> None:
    world = World()
    world.prove("good")
    for number in range(9):
        world.exchange(f"dead-{number}", NO_CONNECT, seconds=1)
    assert world.self_faults == []


def test_after_a_quiet_night_the_dead_fail_before_the_healthy_answer() -> None:
    world = World()
    world.prove("good")
    world.advance(8 * 3600)
    good = world.arrive("good")
    for number in range(20):
        world.exchange(f"dead-{number}", NO_CONNECT, seconds=0.01)
    world.finish(good)
    assert world.self_faults == []


def test_failures_spread_over_minutes_are_no_outage() -> None:
    world = World()
    for number in range(20):
        world.exchange(f"tenant-{number}", NO_CONNECT)
        world.advance(10)
    assert world.self_faults == []


def test_timeouts_do_not_accuse_us() -> None:
    world = World()
    for number in range(20):
        world.exchange(f"tenant-{number}", TIMEOUT)
    assert not world.admission.frozen


def test_while_frozen_one_attempt_probes_and_the_rest_is_parked() -> None:
    world = frozen_world()
    assert world.arrive("tenant-1").parked == Parked(ParkReason.SELF_FAULT, 5)
    world.advance(1)
    probe = world.arrive("tenant-1")
    assert probe.running
    world.advance(5)
    assert world.arrive("tenant-2").parked is not None
    world.finish(probe, NO_CONNECT)
    assert world.arrive("tenant-2").running


def test_a_host_that_has_not_failed_need_not_wait_behind_those_that_have() -> None:
    world = frozen_world()
    first = world.arrive("new-1")
    assert first.running
    assert world.arrive("new-2").parked is not None, "one at a time"
    world.finish(first, NO_CONNECT)
    world.advance(1)
    assert world.arrive("tenant-1").running, "the probe of those that have failed"
    assert world.arrive("new-1").parked is not None, "it has failed, too"
    assert world.exchange("well").parked is None
    assert not world.admission.frozen


def test_probes_are_a_second_apart() -> None:
    world = frozen_world()
    probes = 0
    for _ in range(1000):
        world.advance(0.01)
        probes += world.exchange("acme", NO_CONNECT, seconds=0).parked is None
    assert probes <= 10


def test_breakers_learn_nothing_while_frozen() -> None:
    world = frozen_world()
    for _ in range(60):
        world.advance(1)
        world.exchange("acme", NO_CONNECT)
    assert world.admission.endpoints_open == 0


def test_it_resumes_by_itself_at_the_first_answer_even_a_500() -> None:
    world = frozen_world()
    world.advance(1)
    world.exchange("acme", BROKEN)
    assert not world.admission.frozen
    assert world.self_faults == [True, False]
    assert world.arrive("tenant-1").running


def test_circuits_that_our_fault_opened_are_forgiven() -> None:
    """Our own outage must not leave every customer's circuit open after it."""
    world = World()
    world.open_circuit("dead")
    world.advance(1)
    world.prove("good")
    world.advance(31)
    for name in ("a", "b"):
        for _ in range(10):
            world.exchange(name, NO_CONNECT)
    for name in ("c", "d", "e"):
        world.exchange(name, NO_CONNECT)
    assert world.admission.frozen
    assert world.admission.endpoints_open == 3
    world.advance(1)
    world.exchange("good")
    assert world.admission.endpoints_open == 1
    assert world.arrive("a").running


def test_whoever_waits_when_it_freezes_is_parked() -> None:
    world = World()
    crowd = [world.arrive("acme") for _ in range(6)]
    for number in range(5):
        world.exchange(f"tenant-{number}", NO_CONNECT, seconds=0.5)
    assert [ticket.parked for ticket in crowd[4:]] == [Parked(ParkReason.SELF_FAULT, 5)] * 2


def test_a_long_fault_does_not_spin() -> None:
    world = frozen_world()
    world.advance(3600)
    assert world.admission.self_fault_parking() == Parked(ParkReason.SELF_FAULT, 405)


class GuardMachine(RuleBasedStateMachine):
    """The guard against its definition: look back over everything that happened in the window."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.world = World(clock=self.now)
        self.events: list[tuple[float, str | None]] = []
        self.expected = False
        self.failing_since: float | None = None

    @rule(seconds=st.sampled_from([0.0, 1.0, 10.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(host=st.sampled_from("abcdefg"), result=st.sampled_from([OK, BROKEN, NO_CONNECT, NO_CONNECT, TIMEOUT]))
    def exchange(self, host: str, result: Result) -> None:
        if self.world.exchange(host, result, seconds=0).parked is not None:
            return
        now = self.world.clock
        if result in (OK, BROKEN):
            self.events.append((now, None))
            self.expected = False
            self.failing_since = None
        elif result is NO_CONNECT:
            self.events.append((now, host))
            recent = {host for at, host in self.events if at >= now - 30}
            self.failing_since = now if self.failing_since is None else self.failing_since
            silent = None not in recent and now - self.failing_since >= 2
            self.expected = self.expected or (silent and len(recent) >= 5)

    @invariant()
    def frozen_as_defined(self) -> None:
        assert self.world.admission.frozen is self.expected

    @invariant()
    def each_change_is_told_once(self) -> None:
        faults = self.world.self_faults
        assert faults == [index % 2 == 0 for index in range(len(faults))]
        assert (len(faults) % 2 == 1) is self.expected


TestGuardMachine = GuardMachine.TestCase
