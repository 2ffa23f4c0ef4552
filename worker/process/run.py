"""The composition root: everything is built here, started in order, and taken down in reverse."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

from aio_pika.abc import AbstractConnection

from worker.api.health import HealthServer
from worker.broker.backlog_age import BacklogAge
from worker.broker.changes import ChangeListener
from worker.broker.connection import BROKER_ERRORS, Supervisor, as_broker_errors, said
from worker.broker.consuming.intake import InstanceExchanges
from worker.broker.consuming.source import Source
from worker.broker.depths import Depths, look
from worker.broker.publishing.publisher import Publisher
from worker.broker.replicas import Replicas
from worker.delivery.attempt import Attempter
from worker.delivery.duplicates import Duplicates
from worker.delivery.pipeline import Pipeline
from worker.delivery.settle import Settler
from worker.http.sender import Sender
from worker.process import wiring
from worker.process.api import announce_change, announcer, serve_api, until_ready
from worker.process.lifecycle import Lifecycle, calm_garbage_collection
from worker.process.sources import webhook_source
from worker.settings.settings import Settings
from worker.telemetry.lag import LoopLag
from worker.telemetry.recorder import Telemetry
from worker.webhooks.store import StoreUnavailable

log = logging.getLogger(__name__)

WATCH_SECONDS = 5.0
"""How often the broker is asked for backlog and replicas."""

FIRST_LOOK_SECONDS = 0.5

NEW_INSTANCES_SECONDS = 2.0
"""How often new instances are looked for, to bind their exchanges."""


async def run(settings: Settings) -> int:
    """The daemon, until SIGTERM or SIGINT; a second signal ends it at once. Returns the exit code."""
    life = Lifecycle()
    life.listen_for_signals()
    async with AsyncExitStack() as stack:
        worker = Worker(settings, life, stack)
        await worker.start()
        calm_garbage_collection()
        await life.stopping.wait()
        log.info("stopping: what is under way gets %g s to finish", settings.worker_drain_seconds)
        await worker.stop()
    log.info("stopped")
    return 1 if life.failed else 0


class Worker:
    """All parts of one process. What must be taken down is registered with `stack` where it is made."""

    def __init__(self, settings: Settings, life: Lifecycle, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._life = life
        self._stack = stack
        self._tracing = tracing = wiring.tracing()
        stack.push_async_callback(tracing.close)
        self._up: dict[str, bool] = {"consuming": False, "publishing": False}
        self._queues = queues = wiring.queue_topology(settings)
        self._telemetry = Telemetry(queues.delays, settings.metrics_instances, (queue.name for queue in queues.queues))

        self._origin = webhook_source(settings)
        self._store = self._origin.store
        stack.push_async_callback(self._store.close)
        self._webhooks = wiring.cache(settings, self._origin, self._telemetry)
        stack.push_async_callback(self._webhooks.close)
        sender = Sender(wiring.egress_policy(settings), settings.webhook_retry_jitter_factor)
        stack.push_async_callback(sender.close)

        self._intake = intake = wiring.intake(settings, queues)
        self._changes = ChangeListener(queues.config_exchange, self._webhooks.invalidate)
        self._publisher = Publisher(
            queues, intake.prepare, self._listener("publishing"), self._telemetry.broker_blocked.set, tracing.headers
        )
        self._announcer = announcer(settings, lambda: self._publisher.connection)
        self._isolation = wiring.isolation(settings, self._on_self_fault)
        self._failures = wiring.failure_watch(settings, self._origin, self._webhooks)
        self._pipeline = self._delivery(sender)
        self._source = Source(
            tracing.taking(self._pipeline.take),
            self._prepare,
            intake.groups,
            settings.worker_max_bytes,
            self._listener("consuming"),
            lambda: self._changes.healthy,
        )
        self._instances: set[str] = set()
        self._exchanges = InstanceExchanges(queues, lambda: self._instances, declares=settings.rabbitmq_declare)
        self._lag = LoopLag()
        self._ages = (BacklogAge(time.monotonic), BacklogAge(time.monotonic))
        self._replicas = Replicas(time.monotonic)
        self._measure()

    def _delivery(self, sender: Sender) -> Pipeline:
        settings, tracing = self._settings, self._tracing
        recorder, traced = tracing.recorder(self._telemetry), tracing.sender(sender)
        rules, policy = wiring.attempt_rules(settings), wiring.policy(settings)
        attempter = Attempter(
            rules, policy, self._isolation, traced, recorder, time.time, time.monotonic, self._failures
        )
        return Pipeline(
            policy=policy,
            webhooks=self._webhooks,
            global_webhook=wiring.global_webhook(settings),
            isolation=tracing.isolation(self._isolation),
            attempter=attempter,
            settler=Settler(self._publisher, recorder, time.time),
            recorder=recorder,
            now=time.time,
            monotonic=time.monotonic,
            duplicates=Duplicates() if settings.rabbitmq_instance_exchanges else None,
        )

    async def start(self) -> None:
        """Serve health first, so that a probe hears why it is not ready; then consume."""
        settings = self._settings
        if self._origin.at_start is not None:
            await self._origin.at_start()
        health = HealthServer(settings.metrics_host, settings.metrics_port, self._telemetry.registry, self.not_ready)
        self._stack.push_async_callback(health.close)
        port = await health.start()
        log.info("serving metrics and health", extra={"host": settings.metrics_host, "port": port})
        await self._background("event loop lag", self._lag.run(self._isolation.tick, self._isolation.next_wake))
        store_ready = asyncio.Event()
        await self._background("webhook store", until_ready(self._origin.prepare, store_ready))
        if self._origin.watched is not None:
            watching = self._origin.watched.watch(self._webhooks.invalidate, self._webhooks.invalidate_all)
            await self._background("changes of webhooks", watching)
        await serve_api(settings, self._store, store_ready, self._changed, self._stack, self._origin.token_owner)
        for name, client in (("publish", self._publisher), ("consume", self._source)):
            supervisor = Supervisor(settings.rabbitmq_uri, f"evolution-webhook-worker {name}", client, random.uniform)
            await self._background(name, supervisor.run())
        await self._background("queue depths", self._watch_queues())
        if settings.rabbitmq_instance_exchanges:
            await self._background("instance exchanges", self._bind_instances())

    async def stop(self) -> None:
        """Take nothing more, finish what is under way, tell the broker; WORKER_DRAIN_SECONDS at the most."""
        self._telemetry.draining.set(1)
        await self._source.stop()
        await self._pipeline.drain(self._settings.worker_drain_seconds)
        if self._failures is not None:
            await self._failures.finished()
        await self._source.flushed()

    def not_ready(self) -> str | None:
        """Why it is not ready: readiness is consuming."""
        if not self._source.consuming:
            return "not consuming"
        down = [name for name, up in self._up.items() if not up]
        return f"no connection to RabbitMQ for {' and '.join(down)}" if down else None

    async def _background(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        await self._stack.enter_async_context(self._life.running(name, work))

    async def _prepare(self, connection: AbstractConnection) -> None:
        """On each new connection: changes may have been missed while there was none."""
        await self._intake.prepare(connection)
        await self._changes.listen(connection)
        self._webhooks.invalidate_all()

    async def _changed(self, instance: str, revision: int) -> None:
        """The API has written: here at once, elsewhere through the broker."""
        self._webhooks.invalidate(instance, revision)
        await announce_change(self._announcer, instance, revision)

    async def _watch_queues(self) -> None:
        """The backlog for the metrics, and the number of replicas, who share each webhook's rate limit."""
        while True:
            connection = self._source.connection
            if connection is not None:
                try:
                    with as_broker_errors():
                        depths = await look(connection, self._queues, self._source.first_queues)
                except BROKER_ERRORS as error:
                    log.info("the broker could not say how much waits: %s", said(error))
                else:
                    self._looked(depths)
            await asyncio.sleep(WATCH_SECONDS if connection else FIRST_LOOK_SECONDS)

    def _looked(self, depths: Depths) -> None:
        ready = (depths.events, depths.messages[self._queues.retries])
        for group, age in enumerate(self._ages):
            age.looked(self._source.taken(group), ready[group], depths.replicas)
        self._telemetry.waiting(depths.messages)
        self._telemetry.replicas.set(depths.replicas)
        self._isolation.share = 1 / self._replicas.counted(depths.replicas)

    async def _bind_instances(self) -> None:
        while True:
            connection = self._source.connection
            if connection is not None:
                try:
                    self._instances.update(await self._store.instances(), self._webhooks.instances())
                    with as_broker_errors():
                        await self._exchanges.bind(connection, time.monotonic())
                except (*BROKER_ERRORS, StoreUnavailable) as error:
                    log.warning("exchanges of new instances could not be bound yet: %s", error)
            await asyncio.sleep(NEW_INSTANCES_SECONDS)

    def _listener(self, name: str) -> Callable[[bool], None]:
        seen = False

        def changed(up: bool) -> None:
            nonlocal seen
            if up and seen:
                self._telemetry.reconnected()
            seen = seen or up
            self._up[name] = up
            self._telemetry.broker_connected.set(all(self._up.values()))

        return changed

    def _on_self_fault(self, fault: bool) -> None:
        if fault:
            log.error("every receiver fails to connect: the fault is ours (network, DNS); slowing to a probe")
        else:
            log.info("receivers can be reached again: going on")
        self._telemetry.self_fault.set(fault)
        if self._failures is not None:
            self._failures.self_fault(fault)
        self._source.slow_down(fault)

    def _measure(self) -> None:
        gauge, isolation = self._telemetry.gauge, self._isolation
        gauge("in_flight", "Attempts under way.", lambda: isolation.in_flight)
        gauge("consuming", "1 while messages are taken.", lambda: self._source.taking)
        gauge("waiting", "Deliveries that wait in a lane.", lambda: isolation.waiting)
        gauge("endpoints_open", "Endpoints whose circuit is open.", lambda: isolation.endpoints_open)
        gauge("endpoint_open_longest_seconds", "Age of the oldest open circuit.", lambda: isolation.open_longest)
        oldest_unconfirmed = "Age of the oldest publish without a confirm."
        gauge("oldest_unconfirmed_publish_seconds", oldest_unconfirmed, lambda: self._publisher.oldest_unconfirmed)
        for queue, age in zip(("events", "retries"), self._ages, strict=True):
            self._telemetry.oldest_waiting(queue, age.seconds)
        isolation.observe_waits(self._telemetry.lane_waited)
        gauge("held_bytes", "Bytes of un-acked messages.", lambda: self._source.held_bytes)
        gauge("event_loop_tasks", "asyncio tasks that are alive.", lambda: len(asyncio.all_tasks()))
        gauge("event_loop_lag_seconds", "How late timers fired, the worst of 15 s.", lambda: self._lag.worst)
