"""What can be measured of the history: recorded, on its way, written, lost."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from worker.telemetry.metrics import PREFIX


class RecordingMetrics:
    """Of a process that records. `read_waiting` is asked at each scrape."""

    def __init__(self, registry: CollectorRegistry, read_waiting: Callable[[], float]) -> None:
        rows = Counter(PREFIX + "history_rows", "Rows recorded.", registry=registry)
        self.recorded: Callable[[int], None] = rows.inc
        waiting = Gauge(PREFIX + "history_rows_waiting", "Rows RabbitMQ has not confirmed.", registry=registry)
        waiting.set_function(read_waiting)
        self.silent = Gauge(
            PREFIX + "silent_instances", "Instances that are connected and get no messages.", registry=registry
        )


class WriterMetrics:
    """Of a process that writes (history.writer.Counts). `read_behind` is asked at each scrape."""

    def __init__(self, registry: CollectorRegistry, read_behind: Callable[[], float]) -> None:
        self._written = Counter(PREFIX + "history_rows_written", "Rows in the database.", registry=registry)
        self._dropped = Counter(PREFIX + "history_rows_dropped", "Rows that never arrived.", registry=registry)
        self._unreadable = Counter(
            PREFIX + "history_unreadable_batches", "Messages that were no batch.", registry=registry
        )
        self._up = Gauge(PREFIX + "history_database_up", "1 while the history's database answers.", registry=registry)
        behind = Gauge(PREFIX + "history_behind_seconds", "Age of the oldest unwritten batch seen.", registry=registry)
        behind.set_function(read_behind)

    def written(self, rows: int) -> None:
        self._written.inc(rows)

    def lost(self, rows: int) -> None:
        self._dropped.inc(rows)

    def unreadable(self) -> None:
        self._unreadable.inc()

    def database(self, up: bool) -> None:
        self._up.set(up)
