"""The gauges whose values the parts of a worker know themselves: asked for at each scrape."""

import asyncio

from worker.admission.admission import EndpointAdmission
from worker.broker.census import Census
from worker.broker.consuming.consumers import Consumers
from worker.broker.publishing.publisher import Publisher
from worker.telemetry.lag import LoopLag
from worker.telemetry.metrics import Metrics


def measure_admission(metrics: Metrics, admission: EndpointAdmission) -> None:
    """Attempts, lanes and circuits."""
    gauge = metrics.gauge
    gauge("in_flight", "Attempts under way.", lambda: admission.in_flight)
    gauge("waiting", "Deliveries that wait in a lane.", lambda: admission.waiting)
    gauge("endpoints_open", "Endpoints whose circuit is open.", lambda: admission.endpoints_open)
    gauge("endpoint_open_longest_seconds", "Age of the oldest open circuit.", lambda: admission.open_longest)
    admission.observe_waits(metrics.lane_waited)


def measure_broker(metrics: Metrics, consumers: Consumers, publisher: Publisher, census: Census) -> None:
    """What is taken from RabbitMQ, what it has not confirmed yet, and what waits there."""
    gauge = metrics.gauge
    gauge("consuming", "1 while messages are taken.", lambda: consumers.has_consumers)
    gauge("held_bytes", "Bytes of un-acked messages.", lambda: consumers.held_bytes)
    oldest_unconfirmed = "Age of the oldest publish without a confirm."
    gauge("oldest_unconfirmed_publish_seconds", oldest_unconfirmed, lambda: publisher.oldest_unconfirmed)
    for queue, seconds in census.ages.items():
        metrics.oldest_waiting(queue, seconds)


def measure_process(metrics: Metrics, lag: LoopLag) -> None:
    """The event loop."""
    metrics.gauge("event_loop_tasks", "asyncio tasks that are alive.", lambda: len(asyncio.all_tasks()))
    metrics.gauge("event_loop_lag_seconds", "How late timers fired, the worst of 15 s.", lambda: lag.worst)
