"""The composition root of `run`: builds the parts of a worker, starts them in order, takes them down in reverse."""

import asyncio
import logging
import random
import time
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any

from aio_pika.abc import AbstractConnection

from worker.broker.announcements import ChangeListener
from worker.broker.census import Census, Depths
from worker.broker.connection import Supervisor
from worker.broker.consuming.consumers import Consumers
from worker.broker.publishing.publisher import Publisher
from worker.delivery.notifier import Notifier
from worker.domain.backoff import Schedule
from worker.domain.webhook import Webhook
from worker.history.teller import Teller
from worker.ordered.flow import OrderedFlow
from worker.ordered.switching import Switching
from worker.process import gauges, wiring
from worker.process.api import announce_change, announcer, serve_api, until_ready
from worker.process.health import serve_health
from worker.process.history import WorkersHistory, insist
from worker.process.lifecycle import Lifecycle, calm_garbage_collection, let_deliveries_through
from worker.process.ordered import Finisher, Markers, WorkersOrder
from worker.process.own_troubles import own_troubles
from worker.process.replaying import SHARE_BESIDE_DELIVERIES, Replayer
from worker.process.sources import webhook_source
from worker.process.states import ConnectionStates, SelfFault
from worker.settings.settings import Settings
from worker.telemetry.lag import LoopLag
from worker.telemetry.recorder import Telemetry

log = logging.getLogger(__name__)

NOTICE_SECONDS = 5.0
"""At the end, for the confirms of the last notices."""


async def run(settings: Settings, options: Sequence[str] = ()) -> int:
    """The daemon, until SIGTERM or SIGINT; a second signal ends it at once. Returns the exit code.

    `options`: what other commands are to be given to read the same settings.
    """
    life = Lifecycle()
    life.listen_for_signals()
    async with AsyncExitStack() as stack:
        worker = Worker(settings, life, stack, options)
        await worker.start()
        calm_garbage_collection()
        let_deliveries_through()
        await life.stopping.wait()
        log.info("stopping: what is under way gets %g s to finish", settings.worker_drain_seconds)
        await worker.stop()
    log.info("stopped")
    return 1 if life.failed else 0


class Worker:
    """All parts of one process. What must be taken down is registered with `stack` where it is made."""

    def __init__(self, settings: Settings, life: Lifecycle, stack: AsyncExitStack, options: Sequence[str] = ()) -> None:
        self._settings, self._life, self._stack, self._options = settings, life, stack, options
        self._tracing = wiring.tracing()
        stack.push_async_callback(self._tracing.close)
        retries = wiring.retry_schedule(settings)
        self._queues = queues = wiring.queue_topology(settings, retries)
        self._telemetry = Telemetry(
            queues.delays, settings.metrics_instances, (queue.name for queue in queues.whole.queues)
        )

        self._source = webhook_source(settings)
        stack.push_async_callback(self._source.close)
        self._webhooks = wiring.cache(settings, self._source, self._telemetry)
        stack.push_async_callback(self._webhooks.close)
        self._ahead = wiring.read_ahead(self._source, self._webhooks)
        if self._ahead is not None:
            stack.push_async_callback(self._ahead.close)

        self._self_fault = SelfFault(self._telemetry)
        self._admission = wiring.admission(settings, retries, self._self_fault.changed)
        self._failures = wiring.failure_watch(settings, self._source, self._webhooks, self._disabled)
        self._history = self._build_history()
        self._consuming = asyncio.Event()
        self._build_broker_side(retries)
        self._exchanges = wiring.instance_exchanges(settings, queues, self._source.store, self._webhooks)
        self._announcer = announcer(settings, lambda: self._publisher.connection)
        self._census = Census(queues, self._consumers, time.monotonic, self._counted)
        self._lag = LoopLag()
        self._self_fault.pass_on_to(self._failures.self_fault)
        self._self_fault.pass_on_to(self._consumers.slow_down)
        gauges.measure_admission(self._telemetry, self._admission)
        gauges.measure_broker(self._telemetry, self._consumers, self._publisher, self._census)
        gauges.measure_process(self._telemetry, self._lag)

    def _build_history(self) -> WorkersHistory | None:
        queue, telemetry = self._queues.history, self._telemetry
        if queue is None:
            return None

        def on_depth(batches: int) -> None:
            telemetry.waiting({queue.name: batches})

        return WorkersHistory(self._settings, queue, telemetry.registry, on_depth, self._stack)

    def _build_broker_side(self, retries: Schedule) -> None:
        settings, queues, tracing = self._settings, self._queues, self._tracing
        names = ("consuming", "publishing", "ordered") if settings.order else ("consuming", "publishing")
        self._states, self._blocked = ConnectionStates(names, self._telemetry), False
        self._plan = plan = wiring.consumption_plan(settings, queues)
        self._changes = ChangeListener(queues.config_exchange, self._webhooks.invalidate)
        self._publisher = Publisher(
            queues,
            plan.prepare,
            self._states.listener("publishing"),
            self._blocked_changed,
            tracing.headers,
        )
        self._notifier = Notifier(self._publisher, wiring.operators_notices(settings), time.time)
        sender = wiring.sender(settings)
        self._stack.push_async_callback(sender.close)
        self._switching = self._build_switching(retries)
        self._pipeline, flow = wiring.pipeline(
            settings,
            retries,
            tracing,
            self._telemetry,
            webhooks=self._webhooks,
            admission=self._admission,
            sender=sender,
            publisher=self._publisher,
            failures=self._failures,
            history=self._history.recording if self._history else None,
            pulses=self._history.pulses if self._history else None,
            switching=self._switching,
        )
        self._order = self._build_order(flow)
        self._consumers = Consumers(
            tracing.handler(self._pipeline.take),
            self._prepare,
            plan.groups,
            settings.worker_max_bytes // 2 if settings.order else settings.worker_max_bytes,
            self._states.listener("consuming"),
            lambda: self._changes.healthy,
            early=self._pipeline.left_to_order if settings.order else None,
        )

    def _build_order(self, flow: OrderedFlow) -> WorkersOrder:
        listener = self._states.listener("ordered") if self._settings.order else None
        order = WorkersOrder(
            self._settings,
            self._queues,
            flow,
            self._switching,
            self._publisher,
            self._plan.prepare,
            lambda: self._blocked,
            self._ordered_complete,
            listener,
        )
        if self._settings.order:
            order.measure(self._telemetry)
        return order

    def _build_switching(self, retries: Schedule) -> Switching:
        settings = self._settings
        markers = Markers(self._publisher, self._queues, settings.worker_queue_prefix)
        finisher = Finisher(self._source.writable, self._changed)
        ttl = settings.cache_ttl_seconds
        return Switching(markers, finisher.finish, markers.arrived, retries, ttl, time.monotonic)

    def _ordered_complete(self, complete: bool) -> None:
        self._pipeline.left_to_order.active = complete

    def _blocked_changed(self, blocked: bool) -> None:
        self._blocked = blocked
        self._telemetry.broker_blocked.set(blocked)

    async def start(self) -> None:
        """Serve health first, so that a probe hears why it is not ready; then consume."""
        settings, source = self._settings, self._source
        if source.at_start is not None:
            await source.at_start()
        await serve_health(settings, self._telemetry.registry, self.not_ready, self._stack)
        self._admission.on_sooner(self._lag.sooner)
        await self._background("event loop lag", self._lag.run(self._admission.tick, self._admission.next_wake))
        store_ready = asyncio.Event()
        await self._background("webhook store", until_ready(source.prepare, store_ready))
        if source.watched is not None:
            watching = source.watched.watch(self._webhooks.invalidate, self._webhooks.invalidate_all)
            await self._background("changes of webhooks", watching)
        await serve_api(
            settings,
            source.store,
            store_ready,
            self._changed,
            self._stack,
            source.token_owner,
            ages=self._census.ages,
            options=self._options,
        )
        for name, client in (("publish", self._publisher), ("consume", self._consumers)):
            named = f"evolution-webhook-worker {name}"
            supervisor = Supervisor(settings.rabbitmq_uri, named, client, random.uniform, cuts=True)
            await self._background(name, supervisor.run())
        await self._background("order", self._order.run())
        await self._background("queue depths", self._census.watch())
        await self._start_history()
        await self._start_replays()
        if settings.rabbitmq_instance_exchanges:
            await self._background("instance exchanges", self._exchanges.watch(lambda: self._consumers.connection))

    async def _start_history(self) -> None:
        if self._history is None:
            return
        successes = self._settings.history == "all"
        watched = own_troubles(self._self_fault, self._census)
        teller = Teller(
            self._history.store,
            self._webhooks,
            self._notifier,
            time.time,
            successes=successes,
            watched=watched,
            on_silent=self._history.silent_instances,
        )
        for name, run in {**self._history.parts(), "notices": teller.run}.items():
            await self._background(name, insist(name, run, self._consuming))

    async def _start_replays(self) -> None:
        """The archive is kept even where nobody can replay from it here: the history may be there again later."""
        settings, store = self._settings, self._source.store
        if settings.archive:
            on_state = self._telemetry.gauge("archiving", "1 while events are kept for replays.").set
            keeper = wiring.archive_keeper(settings, store, self._webhooks, on_state)
            await self._background("archive", insist("archive", keeper.run, self._consuming))
        if settings.archive and settings.history == "all" and self._history is not None:
            replayer = Replayer(settings, self._history.store, store.load, SHARE_BESIDE_DELIVERIES)
            self._telemetry.gauge("replaying", "1 while a replay is carried out here.", lambda: replayer.running)
            await self._background("replays", insist("replays", replayer.run, self._consuming))

    async def stop(self) -> None:
        """Take nothing more, finish what is under way, send its acks; WORKER_DRAIN_SECONDS at the most."""
        self._telemetry.draining.set(1)
        await self._consumers.stop()
        seconds = self._settings.worker_drain_seconds
        await asyncio.gather(self._order.drain(seconds), self._pipeline.drain(seconds))
        await self._failures.finished()
        await self._notifier.finished(NOTICE_SECONDS)
        await self._consumers.flushed()
        if self._history is not None:
            await self._history.finish()

    def not_ready(self) -> str | None:
        """Why it is not ready: readiness is consuming."""
        return self._states.missing() if self._consumers.consuming else "not consuming"

    async def _background(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        await self._stack.enter_async_context(self._life.running(name, work))

    async def _prepare(self, connection: AbstractConnection) -> None:
        """On each new connection: changes may have been missed while there was none."""
        await self._plan.prepare(connection)
        await self._order.prepared(connection)
        await self._changes.listen(connection)
        self._webhooks.invalidate_all()
        if self._ahead is not None:
            self._ahead.start()
        self._consuming.set()  # the queues of deliveries exist: history takes no room before they do

    async def _changed(self, instance: str, revision: int) -> None:
        """The API has written: here at once, elsewhere through the broker."""
        self._webhooks.invalidate(instance, revision)
        await announce_change(self._announcer, instance, revision)

    def _disabled(self, webhook: Webhook, reason: str) -> None:
        self._notifier.disabled(webhook, reason)

    def _counted(self, depths: Depths, replicas: int) -> None:
        """Each replica may use its share of a webhook's rate limit."""
        self._telemetry.waiting(depths.messages)
        self._telemetry.replicas.set(depths.replicas)
        self._admission.share = 1 / replicas
