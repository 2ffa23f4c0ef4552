"""What the operator chose for every delivery, and the decisions that follow from it alone. Pure."""

from dataclasses import dataclass

from worker.domain.backoff import Schedule, circuit_open_delay
from worker.domain.outcome import DeadLettered, DeadReason, Parked, ParkReason
from worker.domain.webhook import Webhook

PAUSED_SECONDS = 120.0
"""Between two looks at a delivery whose webhook is paused: so long it may take until it goes on after the resume."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The WEBHOOK_ settings that hold for all webhooks. Times in seconds.

    `timeout` is for a webhook without one of its own, `final_statuses` are never tried again, `max_age` counts from
    the moment when the event was first taken. `forward_apikey`: see request.build. `dead_when_disabled`: an event for a
    webhook that was disabled for its receiver's sake becomes a dead letter, else it is skipped. `replays_disabled`: a
    disabled webhook gets what it missed once it is enabled again, so that it is treated as a paused one.
    """

    schedule: Schedule
    final_statuses: frozenset[int] = frozenset({400, 401, 403, 404, 422})
    max_age: float = 86400.0
    timeout: float = 30.0
    forward_apikey: bool | None = None
    dead_when_disabled: bool = False
    replays_disabled: bool = False

    def expired(self, age: float) -> bool:
        """Whether a delivery of this age is given up, whatever it waits for."""
        return age > self.max_age

    def unknown(self, age: float, error: str) -> DeadLettered | Parked:
        """What becomes of an event of this age while the store cannot say which webhooks it is for."""
        if self.expired(age):
            return DeadLettered(DeadReason.EXPIRED, error)
        return Parked(ParkReason.CONFIG_UNAVAILABLE, self.schedule.covering(circuit_open_delay(age)))

    def holds(self, webhook: Webhook) -> bool:
        """Whether what waits for a retry goes on waiting, as the webhook will take it later."""
        return webhook.paused_at is not None or (self.replays_disabled and not webhook.enabled)

    def held(self, age: float) -> DeadLettered | Parked:
        """What becomes of a delivery of this age, tried or parked before, to a webhook that `holds`."""
        if self.expired(age):
            return DeadLettered(DeadReason.EXPIRED, "its webhook was paused or disabled")
        return Parked(ParkReason.PAUSED, self.schedule.covering(PAUSED_SECONDS))

    def internal(self, age: float) -> Parked:
        """What becomes of a delivery of this age after a fault of the worker: later again, as behind an outage."""
        return Parked(ParkReason.INTERNAL, self.schedule.covering(circuit_open_delay(age)))
