"""Prometheus metrics: bound children, every known series at zero from the start.

No label grows with instances, URLs or statuses; METRICS_INSTANCES opts chosen instances in.
"""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Gauge, disable_created_metrics
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from worker import __version__
from worker.domain.names import COUNTED
from worker.domain.outcome import REASONS, Delivered, DeliveredReason, Parked, ParkReason, Retried
from worker.domain.record import LookupResult, Record
from worker.domain.verdict import Failure, Result
from worker.telemetry.cells import Cell, Counter, Histogram

PREFIX = "webhook_worker_"
RESULTS = ("2xx", "3xx", "4xx", "5xx", *(failure.value for failure in Failure))
OTHER = "other"

_DELIVERED = (Delivered.__name__, DeliveredReason.OK.label)

_ATTEMPT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LANE_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LATENCY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800, 7200, 43200, 86400)


class Metrics:
    """The worker's metrics in one registry. `delays` are the delay queues' seconds, `queues` the names of all."""

    def __init__(self, delays: Iterable[int], instances: Iterable[str] = (), queues: Iterable[str] = ()) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the client has no types here
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._events = self._by_label("events_received", "Events taken from the broker.", "event", (*COUNTED, OTHER))
        self._waiting = Gauge(
            PREFIX + "queue_messages", "Ready messages in each of our queues.", ["queue"], registry=self.registry
        )
        self.waiting(dict.fromkeys(queues, 0))
        self._oldest = Gauge(
            PREFIX + "oldest_event_age_seconds",
            "How long the oldest message that is ready has waited, estimated.",
            ["queue"],
            registry=self.registry,
        )
        self._started = self._counter("deliveries_started", "Deliveries fanned out from events.")
        self._attempts = self._by_label("attempts", "POSTs by result.", "result", RESULTS)
        self._published = self._by_label(
            "retries_published", "Deliveries put into a delay queue.", "delay", ("0", *map(str, sorted(delays)))
        )
        self._lookups = self._by_label("config_lookups", "Lookups of webhooks.", "result", LookupResult)
        self._reconnects = self._counter("broker_reconnects", "Connections to RabbitMQ that had to be made anew.")
        self._outcomes = self._by_outcome("deliveries", "Deliveries by how and why they left.")
        self._delivered = self._outcomes[_DELIVERED]
        self._instances = self._by_instance(instances)
        self._duration = self._histogram("attempt_duration_seconds", "Time of one POST.", _ATTEMPT_BUCKETS)
        self._lane_wait = self._histogram(
            "lane_wait_seconds", "Waits in a lane, of those that could not start at once.", _LANE_BUCKETS
        )
        self._publish_failures = self._counter("publish_failures", "Publishes that were not confirmed.")
        self._latency = self._histogram(
            "delivery_latency_seconds", "First taken from the broker to the 2xx, retries included.", _LATENCY_BUCKETS
        )
        self.broker_connected = self.gauge("broker_connected", "1 while consuming and publishing are connected.")
        self.broker_blocked = self.gauge("broker_blocked", "1 while RabbitMQ takes no publishes: memory or disk alarm.")
        self.draining = self.gauge("draining", "1 from the moment that it was asked to stop.")
        self.replicas = self.gauge("replicas", "Workers that consume, by what the broker says.")
        self.self_fault = self.gauge("self_fault", "1 while the fault is ours: no receiver can be reached.")
        build = Gauge(PREFIX + "build_info", "The running version.", ["version"], registry=self.registry)
        build.labels(__version__).set(1)

    # Recording, on the way of an event.

    def received(self, kind: str) -> None:
        (self._events.get(kind) or self._events[OTHER]).value += 1

    def started(self) -> None:
        self._started.value += 1

    def attempted(self, result: Result, seconds: float) -> None:
        self._attempts[result.label].value += 1
        self._duration.observe(seconds)

    def publish_failed(self) -> None:
        self._publish_failures.inc()

    def lane_waited(self, seconds: float) -> None:
        """One that waited has left its lane, started or parked."""
        self._lane_wait.observe(seconds)

    def delivered(self, instance: str, seconds: float) -> bool:
        """What `settled` counts of a delivery that is done."""
        self._delivered.value += 1
        self._latency.observe(seconds)
        if instance in self._instances:
            self._instances[instance][_DELIVERED].inc()
        return True

    def settled(self, record: Record) -> None:
        outcome = record.outcome
        key = (type(outcome).__name__, outcome.reason.label)
        self._outcomes[key].inc()
        if isinstance(outcome, Delivered):
            self._latency.observe(record.seconds)
        elif isinstance(outcome, Retried | Parked) and outcome.reason is not ParkReason.HANDED_BACK:
            self._published[str(outcome.delay)].inc()
        if record.instance in self._instances:
            self._instances[record.instance][key].inc()

    def lookup_counter(self, result: str) -> Callable[[], object]:
        """Counts one lookup that ended so (LookupResult)."""
        return self._lookups[result].inc

    def waiting(self, messages: Mapping[str, int]) -> None:
        """Ready messages in each of our queues, as the broker counted them."""
        for queue, count in messages.items():
            self._waiting.labels(queue).set(count)

    def oldest_waiting(self, queue: str, read: Callable[[], float]) -> None:
        """`read` is asked for the age, in seconds, at each scrape."""
        self._oldest.labels(queue).set_function(read)

    def reconnected(self) -> None:
        self._reconnects.inc()

    def gauge(self, name: str, text: str, read: Callable[[], float] | None = None) -> Gauge:
        """A gauge; with `read`, its value is asked for at each scrape."""
        gauge = Gauge(PREFIX + name, text, registry=self.registry)
        if read is not None:
            gauge.set_function(read)
        return gauge

    # Making.

    def _counter(self, name: str, text: str) -> Cell:
        return Counter(PREFIX + name, text, registry=self.registry).cells[()]

    def _by_label(self, name: str, text: str, label: str, values: Iterable[str]) -> dict[str, Cell]:
        counter = Counter(PREFIX + name, text, [label], ((value,) for value in values), registry=self.registry)
        return {value: cell for (value,), cell in counter.cells.items()}

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(PREFIX + name, text, buckets, registry=self.registry)

    def _by_outcome(self, name: str, text: str) -> dict[tuple[str, ...], Cell]:
        return Counter(PREFIX + name, text, ["outcome", "reason"], _pairs(), registry=self.registry).cells

    def _by_instance(self, instances: Iterable[str]) -> dict[str | None, dict[tuple[str, str], Cell]]:
        names = list(instances)
        if not names:
            return {}
        text = "Deliveries of the instances in METRICS_INSTANCES."
        # Not `instance`: Prometheus puts its own name of the scraped process there.
        labels = ["evolution_instance", "outcome", "reason"]
        series = [(name, *pair) for name in dict.fromkeys(names) for pair in _pairs()]
        counter = Counter(PREFIX + "instance_deliveries", text, labels, series, registry=self.registry)
        return {name: {pair: counter.cells[name, *pair] for pair in _pairs()} for name in names}


def _pairs() -> list[tuple[str, str]]:
    return [(outcome.__name__, reason.value) for outcome, reasons in REASONS.items() for reason in reasons]
