"""Admission with a clock that only tests move, and turns that remember what they heard."""

from dataclasses import dataclass, field
from functools import cache

from worker.admission.admission import EndpointAdmission
from worker.admission.breaker import BreakerRules
from worker.admission.registry import Caps
from worker.delivery.ports import Admitted
from worker.domain.backoff import schedule
from worker.domain.event import Event
from worker.domain.outcome import Parked
from worker.domain.past import Past
from worker.domain.routing import Delivery
from worker.domain.target import parsed
from worker.domain.verdict import Answered, Failure, Result, Unanswered
from worker.domain.webhook import Webhook

SCHEDULE = schedule(12, 5, 3, 21600)
UNIX = 1_700_000_000.0
TICK = 0.25
EVENT = Event("messages.upsert", "MESSAGES_UPSERT", "acme", {})

OK = Answered(200)
BROKEN = Answered(500)
TIMEOUT = Unanswered(Failure.TIMEOUT, "no answer")
NO_CONNECT = Unanswered(Failure.CONNECT, "refused")


@cache
def webhook(name: str, **fields: object) -> Webhook:
    """The same object for the same words, as the cache of look-ups serves it."""
    return Webhook(name, f"https://{name or 'global'}.example/hook", **fields)  # type: ignore[arg-type]


@dataclass(eq=False)
class Ticket:
    """One taking of a delivery: admitted at `since`, then started, parked or still waiting."""

    delivery: Delivery
    since: float
    world: "World"
    started_at: float | None = None
    parked: Parked | None = None
    heard: int = 0

    @property
    def waiting(self) -> bool:
        return not self.heard

    @property
    def running(self) -> bool:
        return self in self.world.running

    def start(self) -> None:
        self.heard += 1
        self.started_at = self.world.clock
        self.world.running.append(self)

    def park(self, parked: Parked) -> None:
        self.heard += 1
        self.parked = parked


@dataclass
class World:
    """`clock` is monotonic seconds; Unix time runs along with it."""

    caps: Caps = field(default_factory=Caps)
    rules: BreakerRules = field(default_factory=BreakerRules)
    clock: float = 1000.0

    def __post_init__(self) -> None:
        self.running: list[Ticket] = []
        self.tickets: list[Ticket] = []
        self.self_faults: list[bool] = []
        self.admission = EndpointAdmission(
            self.caps,
            self.rules,
            SCHEDULE,
            monotonic=lambda: self.clock,
            now=lambda: UNIX + self.clock,
            on_self_fault=self.self_faults.append,
        )

    def arrive(self, to: Webhook | str, age: float = 0.0) -> Ticket:
        """A delivery that was first seen `age` seconds ago asks to be admitted."""
        to = webhook(to) if isinstance(to, str) else to
        seen = UNIX + self.clock - age
        delivery = Delivery("msg", EVENT, to, parsed(to.url), to.url, Past("id", seen, "exchange", "key"))
        ticket = Ticket(delivery, self.clock, self)
        admitted = self.admission.admit(delivery, ticket)
        if isinstance(admitted, Parked):
            ticket.park(admitted)
        else:
            assert (admitted is Admitted.STARTED) == (ticket.started_at is not None)
        self.tickets.append(ticket)
        return ticket

    def finish(self, ticket: Ticket, result: Result = OK) -> None:
        """The attempt ends now."""
        assert ticket.started_at is not None
        self.running.remove(ticket)
        self.admission.finished(ticket.delivery, result, self.clock - ticket.started_at)

    def finish_all(self, result: Result = OK) -> None:
        for ticket in list(self.running):
            self.finish(ticket, result)

    def advance(self, seconds: float) -> None:
        """Time passes, with a tick every quarter of a second and at each wake-up."""
        end = self.clock + seconds
        while self.clock < end:
            wake = self.admission.next_wake()
            steps = [end, self.clock + TICK, *([wake] if wake is not None else [])]
            self.clock = max(self.clock, min(steps))
            self.admission.tick()

    def exchange(self, to: Webhook | str, result: Result = OK, seconds: float = 0.1, age: float = 0.0) -> Ticket:
        """One delivery arrives and, if it is started, ends after `seconds`."""
        ticket = self.arrive(to, age)
        if ticket.running:
            self.clock += seconds
            self.finish(ticket, result)
        return ticket

    def prove(self, to: Webhook | str) -> None:
        """The endpoint answers once, quickly."""
        assert self.exchange(to).parked is None

    def grow(self, to: Webhook | str, times: int = 400, seconds: float = 0.1) -> None:
        """The endpoint answers often enough, each time after `seconds`, to reach its cap."""
        for _ in range(times):
            self.exchange(to, seconds=seconds)

    def open_circuit(self, to: Webhook | str, result: Result = BROKEN) -> None:
        for _ in range(self.rules.failures):
            self.exchange(to, result)
        assert self.admission.endpoints_open == 1
