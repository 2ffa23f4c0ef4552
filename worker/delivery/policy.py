"""What the operator chose for every delivery, and the decisions that follow from it alone. Pure."""

from dataclasses import dataclass

from worker.domain.backoff import Schedule, circuit_open_hold
from worker.domain.outcome import DeadLettered, Parked, Reason


@dataclass(frozen=True, slots=True)
class Policy:
    """Times in seconds."""

    schedule: Schedule
    max_age: float = 86400.0
    dead_when_disabled: bool = False

    def expired(self, age: float) -> bool:
        """Whether a delivery of this age is given up, whatever it waits for."""
        return age > self.max_age

    def unknown(self, age: float, error: str) -> DeadLettered | Parked:
        """What becomes of an event of this age whose webhooks cannot be asked for."""
        if self.expired(age):
            return DeadLettered(Reason.EXPIRED, error)
        return Parked(Reason.CONFIG_UNAVAILABLE, self.schedule.covering(circuit_open_hold(age)))

    def internal(self, age: float) -> Parked:
        """What becomes of a delivery of this age that a fault of ours met: later again, as behind an outage."""
        return Parked(Reason.INTERNAL, self.schedule.covering(circuit_open_hold(age)))
