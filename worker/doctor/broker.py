"""Asks RabbitMQ, by both of its interfaces, and has the answers judged."""

import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelAccessRefused

from worker.broker.connection import BROKER_ERRORS, close, in_words
from worker.broker.consuming.plan import evolution_queues as known_names
from worker.broker.consuming.plan import go_queues
from worker.broker.declare import is_bound
from worker.broker.ordered.replicas import overheard
from worker.broker.topology import Topology, archive_name, siding_queue
from worker.doctor import evolution, evolution_go, history, order, own, version
from worker.doctor.archive import stream
from worker.doctor.asking.archive import ArchiveSeen, archive_seen
from worker.doctor.asking.management import (
    Binding,
    Management,
    ManagementAddress,
    ManagementUnavailable,
    Node,
    QueueFacts,
    Reading,
)
from worker.doctor.asking.survey import depths, server_version
from worker.doctor.check import NoConnection, connected, topology_seen
from worker.doctor.commands import Commands, Needs
from worker.doctor.finding import Finding, some
from worker.doctor.view import UNDEFINED, BrokerView, EvolutionQueue, evolution_queues, prefix_of
from worker.process import wiring
from worker.settings.settings import Settings

ENABLE = "rabbitmq-plugins enable rabbitmq_management, then webhook-worker doctor --management-url http://HOST:15672"
TOLD_SECONDS = 2.0
"""The active replica announces itself twice a second."""

UNSEEN = "policies, bindings, sizes, orphan queues, queues of instances and the broker's clock were not looked at"


class BrokerExamination:
    """`tenants` are the instances that have webhooks. `since`: the earliest moment that somebody may want back, Unix
    seconds. `reading` and `archive` are there after `findings`, if the broker was."""

    def __init__(
        self, settings: Settings, address: ManagementAddress, tenants: Collection[str], since: float, *, given: bool
    ) -> None:
        self._settings = settings
        self._since = since
        self._tenants = tenants
        self._address = address
        self._given = given
        self._commands = Commands(address.vhost, settings.worker_queue_prefix)
        self._topology: Topology = wiring.queue_topology(settings, wiring.retry_schedule(settings)).whole
        self._plan = wiring.consumption_plan(settings, self._topology)
        self._queues: list[QueueFacts] = []
        self._bindings: list[Binding] | None = None
        self._nodes: list[Node] | None = None
        self._flags: dict[str, str] | None = None
        self._active: str | None = None
        self.reading: Reading | None = None
        self.archive: ArchiveSeen | None = None

    async def findings(self, instances: Collection[str] | None) -> AsyncIterator[Finding]:
        """`instances`: all that Evolution has, if that is known."""
        uri = self._settings.rabbitmq_uri
        try:
            connection = await connected(uri, "evolution-webhook-worker doctor")
        except NoConnection as error:
            yield Finding("problem", "RabbitMQ", str(error), "RABBITMQ_URI: host, port, user, password, virtual host")
            return
        try:
            yield Finding("ok", "RabbitMQ", f"connected to {uri}")
            for finding in (await self._topology_finding(connection), await self._ask_management()):
                yield finding
            view = await self._view(connection)
            self.archive = await self._archive(connection, view)
        except BROKER_ERRORS as error:
            yield Finding("problem", "RabbitMQ", f"could not be asked further: {in_words(error)}", "again, or its log")
            return
        finally:
            await close(connection)
        for judged in (*self._judged(view, instances), *self._of_archive(view, self.archive)):
            yield judged

    async def _topology_finding(self, connection: AbstractConnection) -> Finding:
        name = "queues and exchanges"
        try:
            return await self._declared(connection, name)
        except ChannelAccessRefused as error:
            return own.rights(in_words(error), self._address.user, self._needs, self._commands)

    @property
    def _needs(self) -> Needs:
        settings = self._settings
        return Needs(
            settings.rabbitmq_exchange_name,
            self._plan.evolution_prefix,
            instance_exchanges=settings.rabbitmq_instance_exchanges,
            instance_queues=bool(self._plan.instances),
            declares=settings.rabbitmq_declare,
        )

    async def _declared(self, connection: AbstractConnection, name: str) -> Finding:
        seen = await topology_seen(connection, self._topology, self._plan, declares=self._settings.rabbitmq_declare)
        problem, absent = seen.problem(some), tuple(seen.absent)
        if problem is not None and seen.declares:
            fix = "delete it when it is empty, choose another WORKER_QUEUE_PREFIX, or RABBITMQ_DECLARE=false"
            if seen.other is None:
                fix = self._commands.ctl("clear_vhost_limits") + ", or a higher limit; a larger hosted plan"
            return Finding("problem", name, problem, fix)
        if problem is not None:
            return Finding("problem", name, problem, "create them, or RABBITMQ_DECLARE=true", absent)
        if absent:
            what = f"{len(absent)} are created at the first start; events published before it are lost"
            return Finding("advice", name, what, "webhook-worker run, before Evolution starts", absent)
        return Finding("ok", name, "all exist as they should" if seen.declares else "all exist")

    async def _ask_management(self) -> Finding:
        name, shown = "management API", self._address.shown
        try:
            async with Management(self._address) as management:
                self.reading = await management.clock()
                self._queues = await management.queues()
                self._bindings = await management.bindings()
                self._nodes, self._flags = await management.nodes(), await management.feature_flags()
                if self._topology.ordered is not None:
                    self._active = await management.active_consumer(self._topology.ordered.name)
        except ManagementUnavailable as error:
            self._queues, self._bindings = [], None
            fix = ENABLE
            if error.refused:
                user = Commands("/", "").ctl("set_user_tags", self._address.user, "management")
                fix = f"{user}, or another user's: --management-url http://USER:PASSWORD@HOST:15672"
            return Finding("problem" if self._given else "advice", name, f"{error}; {UNSEEN}", fix)
        return Finding("ok", name, f"{shown}, {len(self._queues)} queues seen")

    async def _view(self, connection: AbstractConnection) -> BrokerView:
        """The management API's figures come late: for a queue that has none yet the broker itself is asked."""
        queues = {queue.name: queue for queue in self._queues}
        names = [queue.name for queue in self._topology.queues]
        if self._bindings is None:
            names += self._known_names()
        else:
            ours = [name for name in names if name in queues]
            theirs = [name for name in queues if prefix_of(name) is not None]
            names = [name for name in (*ours, *theirs) if queues[name].messages is None]
        for name, depth in (await depths(connection, names)).items():
            seen = queues.get(name, QueueFacts(name))
            queues[name] = QueueFacts(
                name,
                depth.ready,
                seen.bytes,
                depth.consumers,
                seen.arguments,
                seen.policy,
                seen.policy_name,
                seen.exclusive,
            )
        complete = self._topology.ordered is None or await is_bound(connection, self._topology)
        oldest = await self._oldest_sided(connection, queues)
        return BrokerView(server_version(connection), queues, self._bindings, self._active, complete, oldest)

    async def _oldest_sided(
        self, connection: AbstractConnection, queues: Mapping[str, QueueFacts]
    ) -> tuple[str, float] | None:
        """As the active replica tells it. RabbitMQ lets nobody but the active consumer look into a siding."""
        ordered = self._topology.ordered
        if ordered is None or ordered.name not in queues or not queues[ordered.name].consumers:
            return None
        told = await overheard(connection, self._topology.config_exchange, TOLD_SECONDS)
        if told is None or not told.oldest_in:
            return None
        return siding_queue(self._settings.worker_queue_prefix, told.oldest_in).name, told.oldest

    async def _archive(self, connection: AbstractConnection, view: BrokerView) -> ArchiveSeen:
        name = archive_name(self._settings.worker_queue_prefix)
        known = view.queues[name].arguments if self._bindings is not None and name in view.queues else None
        return await archive_seen(connection, name, self._since, known)

    def _of_archive(self, view: BrokerView, seen: ArchiveSeen) -> list[Finding]:
        around = stream.Around(view, self._nodes, self._flags, self._commands.permit(self._address.user, self._needs))
        return stream.judged(seen, around, self._settings, self._topology, self._commands, time.time())

    def _known_names(self) -> list[str]:
        """Evolution's global queues in every spelling: all that AMQP can be asked for.

        Evolution Go's only where the worker reads them: their arguments cannot be seen, and the names are common.
        """
        prefixes = dict.fromkeys(("", self._settings.rabbitmq_prefix_key, UNDEFINED))
        return [name for prefix in prefixes for name in known_names(prefix)] + self._names_of_go()

    def _names_of_go(self) -> list[str]:
        together = go_queues() if self._plan.evolution_prefix == "" else []
        return [*together, *(name for instance in self._plan.instances for name in go_queues(instance))]

    def _judged(self, view: BrokerView, instances: Collection[str] | None) -> list[Finding]:
        settings, topology, commands = self._settings, self._topology, self._commands
        own_queue = self._plan.binds_exchange
        prefixes = {settings.rabbitmq_prefix_key, *self._tenants}
        theirs = evolution_queues(view, settings.rabbitmq_exchange_name, prefixes, settings.worker_queue_prefix)
        of_go = evolution_go.queues_of_go(view)
        found = [
            version.version(view.version),
            own.binding(view, topology, bound=own_queue, declares=settings.rabbitmq_declare),
            own.limits(view, topology),
            *own.policies(view, topology, commands),
            own.readers(view, topology),
            history.shared(view, topology, settings.history_database_uri),
            own.dead_letters(view, topology),
            own.leftovers(view, topology, commands),
            order.order(view, topology, commands, settings.worker_queue_prefix),
            *self._theirs(theirs, of_go, view.version, instances),
        ]
        if view.bindings is not None:
            sized = [queue.facts for queue in (*theirs, *of_go)]
            carry_events = [queue.name for queue in topology.queues if queue != topology.history]
            sized += [view.queues[name] for name in carry_events if name in view.queues]
            found.append(version.message_size(view.version, sized))
        return [finding for finding in found if finding is not None]

    def _theirs(
        self,
        queues: Sequence[EvolutionQueue],
        of_go: Sequence[EvolutionQueue],
        version: str,
        instances: Collection[str] | None,
    ) -> list[Finding | None]:
        settings, commands = self._settings, self._commands
        exchange = settings.rabbitmq_exchange_name
        own_queue = self._plan.binds_exchange
        origins = evolution.Origins(exchange, instances, settings.rabbitmq_prefix_key, reads=not own_queue)
        dead, reads_go = self._topology.dead, self._plan.evolution_prefix == ""
        read = [] if of_go and not queues else evolution.consumed(queues, version, dead, commands)
        return [
            *([evolution.unread(queues, commands)] if own_queue else read),
            *evolution_go.judged(of_go, version, dead, commands, reads=reads_go, instances=self._plan.instances),
            evolution.undefined(queues, commands, reads=not own_queue),
            evolution.orphans(queues, origins, commands),
            evolution.strangers(queues, origins),
            evolution.modes(queues, exchange, instance_exchanges=settings.rabbitmq_instance_exchanges),
        ]
