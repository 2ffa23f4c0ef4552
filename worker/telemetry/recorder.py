"""What the delivery reports (ports.Recorder): counted, and logged in one line."""

from worker.domain.record import Record
from worker.telemetry import log
from worker.telemetry.metrics import Metrics


class Telemetry(Metrics):
    """Metrics that also write the one line of each delivery."""

    def delivered(self, instance: str, seconds: float) -> bool:
        return not log.tells_delivered() and super().delivered(instance, seconds)

    def settled(self, record: Record) -> None:
        super().settled(record)
        log.delivery(record)
