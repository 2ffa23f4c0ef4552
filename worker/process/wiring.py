"""From settings to parts: the one place that knows both."""

import os
import time
from collections.abc import Callable

from worker.admission.admission import EndpointIsolation
from worker.admission.breaker import BreakerRules
from worker.admission.registry import Caps
from worker.broker.consuming.intake import EvolutionQueues, Intake
from worker.broker.topology import Topology, topology
from worker.delivery.attempt import AttemptRules
from worker.delivery.failing import LongFailing
from worker.delivery.failure_watch import FailureWatch
from worker.delivery.policy import Policy
from worker.domain.backoff import Schedule, schedule
from worker.domain.verdict import Rules
from worker.domain.webhook import GLOBAL_ID, Webhook
from worker.http.egress import EgressPolicy
from worker.lookup.cache import Cache, LookupResult
from worker.lookup.long_failing import StoredFailures
from worker.settings import traces as settings_traces
from worker.settings.settings import Settings
from worker.stores.sources import Source
from worker.telemetry.recorder import Telemetry
from worker.telemetry.tracing import Tracing


def retry_schedule(settings: Settings) -> Schedule:
    return schedule(
        settings.webhook_retry_max_attempts,
        settings.webhook_retry_initial_delay_seconds,
        settings.webhook_retry_multiplier if settings.webhook_retry_use_exponential_backoff else 1.0,
        settings.webhook_retry_max_delay_seconds,
    )


def queue_topology(settings: Settings) -> Topology:
    steps = retry_schedule(settings).steps
    return topology(settings.worker_queue_prefix, settings.rabbitmq_exchange_name, steps)


def policy(settings: Settings) -> Policy:
    return Policy(
        schedule=retry_schedule(settings),
        max_age=settings.webhook_retry_max_age_seconds,
        dead_when_disabled=settings.disabled_webhook == "dead",
    )


def attempt_rules(settings: Settings) -> AttemptRules:
    return AttemptRules(
        rules=Rules(retry_schedule(settings), settings.webhook_retry_non_retryable_status_codes),
        timeout=settings.webhook_request_timeout_ms / 1000,
        forward_apikey=settings.webhook_forward_apikey,
    )


def global_webhook(settings: Settings) -> Webhook | None:
    """The operator's webhook (WEBHOOK_GLOBAL_*). As in Evolution it gets only what WEBHOOK_EVENTS_* name."""
    if not (settings.webhook_global_enabled and settings.webhook_events):
        return None
    return Webhook(
        instance="",
        id=GLOBAL_ID,
        url=settings.webhook_global_url,
        events=settings.webhook_events,
        by_events=settings.webhook_global_webhook_by_events,
    )


def egress_policy(settings: Settings) -> EgressPolicy:
    return EgressPolicy(settings.egress_allow, settings.egress_deny)


def intake(settings: Settings, queues: Topology) -> Intake:
    concurrency, declares = settings.worker_concurrency, settings.rabbitmq_declare
    if settings.rabbitmq_source == "queues":
        return EvolutionQueues(queues, concurrency, declares=declares, prefix=settings.rabbitmq_prefix_key)
    return Intake(queues, concurrency, declares=declares)


def isolation(settings: Settings, on_self_fault: Callable[[bool], None]) -> EndpointIsolation:
    return EndpointIsolation(
        Caps(settings.worker_concurrency, settings.worker_endpoint_concurrency, settings.worker_global_concurrency),
        BreakerRules(
            failures=settings.breaker_failures,
            failure_rate=settings.breaker_failure_rate,
            min_requests=settings.breaker_min_requests,
            window_seconds=settings.breaker_window_seconds,
            open_seconds=settings.breaker_open_seconds,
        ),
        retry_schedule(settings),
        monotonic=time.monotonic,
        now=time.time,
        on_self_fault=on_self_fault,
        self_fault_window=settings.self_fault_window_seconds,
    )


def cache(settings: Settings, source: Source, telemetry: Telemetry) -> Cache:
    return Cache(
        source.store,
        clock=time.monotonic,
        count={result: telemetry.lookup_counter(result.value) for result in LookupResult},
        writable=source.writable,
        ttl=settings.cache_ttl_seconds,
    )


def tracing() -> Tracing:
    """By OpenTelemetry's own variables, which its SDK reads too. Raises OSError when one of them cannot be used."""
    endpoint = settings_traces.endpoint(os.environ)
    if endpoint is None:
        return Tracing()
    from worker.telemetry.otel_export import otel  # noqa: PLC0415 - an extra, and heavy

    return otel(endpoint)


def failure_watch(settings: Settings, source: Source, cache: Cache) -> FailureWatch | None:
    """None: nobody is disabled for failing for long. Read-only sources have no place to remember it in."""
    limit = settings.endpoint_disable_after_seconds
    if not limit or source.writable is None:
        return None
    return FailureWatch(LongFailing(limit), StoredFailures(source.writable, cache), time.time)
