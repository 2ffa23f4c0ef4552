"""From settings to parts: the one place that knows both."""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from worker.admission.admission import EndpointAdmission
from worker.admission.breaker import BreakerRules
from worker.admission.registry import Caps
from worker.api.ports import Explain
from worker.basics.clock import Clocks
from worker.broker.archive.keeping import ArchiveKeeper
from worker.broker.consuming.instances import InstanceExchanges
from worker.broker.consuming.plan import ConsumptionPlan, EvolutionQueues
from worker.broker.topology import Topology, archive_name, archive_queue, topology
from worker.delivery import ports
from worker.delivery.duplicates import Duplicates
from worker.delivery.failing import LongFailing
from worker.delivery.failure_watch import FailureWatch
from worker.delivery.pipeline import Pipeline
from worker.delivery.ports import History, Ports, Publisher
from worker.domain.backoff import Schedule, schedule
from worker.domain.explain import Explained, explain
from worker.domain.notices.receivers import NoticeReceiver, operator
from worker.domain.policy import Policy
from worker.domain.record import LookupResult
from worker.domain.webhook import GLOBAL_ID, UNORDERED, Webhook
from worker.http.egress import EgressPolicy
from worker.http.proxy import EgressProxy, NoProxy
from worker.http.sender import Sender
from worker.http.trust import trust
from worker.http.webhook_test import WebhookTester
from worker.lookup.ahead import ReadAhead
from worker.lookup.cache import Cache
from worker.lookup.receivers import StoredReceivers
from worker.ordered.flow import OrderedFlow
from worker.ordered.switching import Switching
from worker.process.sources import WebhookSource
from worker.settings import traces as settings_traces
from worker.settings.settings import Settings
from worker.telemetry.recorder import Telemetry
from worker.telemetry.tracing import Tracing
from worker.webhooks.declaration import CHOICES
from worker.webhooks.store import ListableStore


def retry_schedule(settings: Settings) -> Schedule:
    """WEBHOOK_RETRY_*: the delays between attempts, which queues, decisions and admission share."""
    return schedule(
        settings.webhook_retry_max_attempts,
        settings.webhook_retry_initial_delay_seconds,
        settings.webhook_retry_multiplier if settings.webhook_retry_use_exponential_backoff else 1.0,
        settings.webhook_retry_max_delay_seconds,
    )


def queue_topology(settings: Settings, retries: Schedule) -> Topology:
    prefix, exchange = settings.worker_queue_prefix, settings.rabbitmq_exchange_name
    history = settings.history != "off"
    return topology(prefix, exchange, retries.steps, history=history, ordered=settings.order)


def policy(settings: Settings, retries: Schedule) -> Policy:
    return Policy(
        schedule=retries,
        final_statuses=settings.webhook_retry_non_retryable_status_codes,
        max_age=settings.webhook_retry_max_age_seconds,
        timeout=settings.webhook_request_timeout_ms / 1000,
        forward_apikey=settings.webhook_forward_apikey,
        dead_when_disabled=settings.disabled_webhook == "dead",
        replays_disabled=settings.disabled_webhook == "replay",
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
        client_certificate=settings.webhook_global_client_certificate_file or None,
        ca=settings.webhook_global_ca_file or None,
        order=UNORDERED if settings.webhook_global_order == "switching" else settings.webhook_global_order,
        order_next="chat" if settings.webhook_global_order == "switching" else None,
        **_global_choices(settings),
    )


def _global_choices(settings: Settings) -> dict[str, Any]:
    given = {name: getattr(settings, f"webhook_global_{name}") for name in CHOICES}
    return {name: value for name, value in given.items() if value != ""}


def explainer(settings: Settings) -> Explain:
    """With the global webhook, for those who may see it."""
    operators, dead = global_webhook(settings), settings.disabled_webhook == "dead"
    forward = settings.webhook_forward_apikey

    def explained(content: bytes, webhooks: Sequence[Webhook], all_of_them: bool) -> list[Explained]:
        shown = operators if all_of_them else None
        return explain(content, webhooks, shown, time.time(), dead_when_disabled=dead, forward_apikey=forward)

    return explained


def egress_policy(settings: Settings) -> EgressPolicy:
    return EgressPolicy(settings.egress_allow, settings.egress_deny)


def egress_proxy(settings: Settings) -> EgressProxy | None:
    if settings.egress_proxy is None:
        return None
    return EgressProxy(settings.egress_proxy, NoProxy.of(settings.no_proxy), settings.egress_proxy_resolves)


def sender(settings: Settings) -> Sender:
    """Of deliveries; in the event loop that uses it. Raises OSError when EGRESS_CA_FILE cannot be read any more."""
    return Sender(
        egress_policy(settings),
        settings.webhook_retry_jitter_factor,
        trusted=trust(settings.egress_ca_file),
        ca_file=settings.egress_ca_file,
        proxy=egress_proxy(settings),
    )


def webhook_tester(settings: Settings) -> WebhookTester:
    """Raises OSError when EGRESS_CA_FILE cannot be read any more."""
    return WebhookTester(
        egress_policy(settings),
        settings.webhook_request_timeout_ms / 1000,
        proxy=egress_proxy(settings),
        trusted=trust(settings.egress_ca_file),
        ca_file=settings.egress_ca_file,
    )


def consumption_plan(settings: Settings, queues: Topology) -> ConsumptionPlan:
    """By RABBITMQ_SOURCE, which is asked for nowhere else: the plan answers."""
    concurrency, declares = settings.worker_concurrency, settings.rabbitmq_declare
    if settings.rabbitmq_source == "queues":
        prefix, instances = settings.rabbitmq_prefix_key, settings.rabbitmq_instance_queues
        return EvolutionQueues(queues, concurrency, declares=declares, prefix=prefix, instances=instances)
    return ConsumptionPlan(queues, concurrency, declares=declares)


def instance_exchanges(settings: Settings, queues: Topology, store: ListableStore, cache: Cache) -> InstanceExchanges:
    """The instances that have a webhook, and those whose events have come."""

    async def instances() -> set[str]:
        return {*await store.instances(), *cache.instances()}

    archive = archive_name(settings.worker_queue_prefix) if settings.archive else None
    return InstanceExchanges(queues, instances, time.monotonic, declares=settings.rabbitmq_declare, archive=archive)


def archive_keeper(
    settings: Settings, store: ListableStore, cache: Cache, on_state: Callable[[bool], None]
) -> ArchiveKeeper:
    """The events of Evolution's exchange, and of the instances that have one of their own."""
    queue = archive_queue(settings.worker_queue_prefix, settings.archive_hours, settings.archive_max_bytes)

    async def exchanges() -> set[str]:
        return {*await store.instances(), *cache.instances()} if settings.rabbitmq_instance_exchanges else set()

    return ArchiveKeeper(
        settings.rabbitmq_uri,
        queue,
        settings.rabbitmq_exchange_name,
        exchanges,
        on_state,
        declares=settings.rabbitmq_declare,
    )


def admission(settings: Settings, retries: Schedule, on_self_fault: Callable[[bool], None]) -> EndpointAdmission:
    return EndpointAdmission(
        Caps(settings.worker_concurrency, settings.worker_endpoint_concurrency, settings.worker_global_concurrency),
        BreakerRules(
            failures=settings.breaker_failures,
            failure_rate=settings.breaker_failure_rate,
            min_requests=settings.breaker_min_requests,
            window_seconds=settings.breaker_window_seconds,
            open_seconds=settings.breaker_open_seconds,
        ),
        retries,
        monotonic=time.monotonic,
        now=time.time,
        on_self_fault=on_self_fault,
        self_fault_window=settings.self_fault_window_seconds,
    )


def pipeline(
    settings: Settings,
    retries: Schedule,
    tracing: Tracing,
    telemetry: Telemetry,
    *,
    webhooks: Cache,
    admission: EndpointAdmission,
    sender: Sender,
    publisher: Publisher,
    failures: FailureWatch,
    history: History | None,
    pulses: ports.Pulses | None,
    switching: Switching,
) -> tuple[Pipeline, OrderedFlow]:
    """The way of an event, traced where traces are on; and that of ordered webhooks."""
    outside = Ports(
        webhooks,
        tracing.admission(admission),
        tracing.sender(sender),
        publisher,
        tracing.recorder(telemetry),
        history,
        pulses,
        tracing.posts(sender.posts),
    )
    rules, clocks = policy(settings, retries), Clocks(time.time, time.monotonic)

    def duplicates() -> Duplicates | None:
        return Duplicates() if settings.rabbitmq_instance_exchanges else None

    notices = operators_notices(settings)
    unordered = Pipeline(rules, outside, failures, clocks, duplicates(), notices, aside=switching.passes_on)
    return unordered, OrderedFlow(rules, outside, failures, clocks, duplicates(), switching)


def operators_notices(settings: Settings) -> NoticeReceiver | None:
    """Who hears all notices (OPS_WEBHOOK_*)."""
    return operator(settings.ops_webhook_url, settings.ops_webhook_secret, settings.ops_webhook_format)


def cache(settings: Settings, source: WebhookSource, telemetry: Telemetry) -> Cache:
    return Cache(
        source.store,
        clock=time.monotonic,
        count={result: telemetry.lookup_counter(result.value) for result in LookupResult},
        global_webhook=global_webhook(settings),
        ttl=settings.cache_ttl_seconds,
    )


def read_ahead(source: WebhookSource, cache: Cache) -> ReadAhead | None:
    """None: the source has no pages to be read one after the other without reading all for each."""
    return None if source.watched is not None else ReadAhead(cache, source.store.list, time.monotonic)


def tracing() -> Tracing:
    """Traces if OpenTelemetry's own variables ask for them, else none. Raises OSError when one cannot be used."""
    endpoint = settings_traces.endpoint(os.environ)
    if endpoint is None:
        return Tracing()
    from worker.telemetry.otel_export import otel  # noqa: PLC0415 - an extra, and heavy

    return otel(endpoint)


def failure_watch(
    settings: Settings, source: WebhookSource, cache: Cache, on_disabled: Callable[[Webhook, str], None]
) -> FailureWatch:
    """Read-only sources have no place to remember in since when a receiver fails: there only a 410 disables."""
    limit = settings.endpoint_disable_after_seconds
    long_failing = LongFailing(limit) if limit > 0 and source.writable is not None else None
    return FailureWatch(StoredReceivers(cache, source.writable, on_disabled), time.time, long_failing)
