"""The archive of events: there, a stream, bound, bounded as the settings say, and long enough on the disk there is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.broker.archive.declared import CLASSIC, TYPE
from worker.broker.topology import Topology, archive_name
from worker.doctor.archive import bounds
from worker.doctor.asking.archive import ArchiveSeen
from worker.doctor.asking.management import Node
from worker.doctor.commands import Commands
from worker.doctor.finding import Finding, many, some
from worker.doctor.view import BrokerView
from worker.settings.settings import Settings

NAME = "archive"
BINDING = "archive's binding"


def absent(seen: ArchiveSeen, settings: Settings, name: str, *, replicas: int) -> Finding | None:
    """None: it exists. `replicas` that consume."""
    if seen.exists:
        return None
    if not settings.rabbitmq_declare:
        what = f"{name} is missing with RABBITMQ_DECLARE=false: nothing can be replayed, no webhook be paused"
        return Finding("warning", NAME, what, "create and bind it (docs/replay.md), or ARCHIVE=false")
    if replicas:
        what = f"{name} is missing although {many(replicas, 'replica')} run: nothing can be replayed or paused"
        return Finding("warning", NAME, what, "the workers' log says why (`events are not archived`); or ARCHIVE=false")
    return Finding("advice", NAME, f"{name} is made at the next start; it has no earlier events", "webhook-worker run")


def problem(seen: ArchiveSeen, settings: Settings, name: str) -> str | None:
    """For `check`: why events are not archived; None: they are, or will be."""
    found = absent(seen, settings, name, replicas=0) or no_stream(seen, name, Commands("/", ""))
    if found is not None and found.level != "advice":
        return f"{found.what}; {found.fix}"
    return None if seen.trouble is None else f"{name} cannot be read: {seen.trouble}"


def switched_off(seen: ArchiveSeen, name: str, commands: Commands) -> Finding:
    """ARCHIVE=false."""
    if not seen.exists:
        return Finding("ok", NAME, "ARCHIVE is false: events are not kept")
    what = f"ARCHIVE is false and {name} still exists: it stays, and takes what its bindings bring, until it is deleted"
    return Finding("advice", NAME, what, commands.delete_queues([name]))


def no_stream(seen: ArchiveSeen, name: str, commands: Commands) -> Finding | None:
    if not seen.exists or seen.is_stream:
        return None
    kind = (seen.arguments or {}).get(TYPE, CLASSIC)
    what = f"{name} is a {kind} queue and no stream: nothing can be replayed or paused"
    fix = f"if nobody else needs it: {commands.delete_queues([name])}; else another WORKER_QUEUE_PREFIX, ARCHIVE=false"
    return Finding("problem", NAME, what, fix)


def unavailable(flags: Mapping[str, str] | None) -> Finding | None:
    """`flags`: states of RabbitMQ's feature flags; None: they could not be seen. One that is not there is permanent."""
    if flags is None or flags.get("stream_queue", "enabled") == "enabled":
        return None
    what = "this RabbitMQ has no streams (feature flag stream_queue), so nothing can be replayed or paused"
    return Finding("warning", NAME, what, "rabbitmqctl enable_feature_flag stream_queue; or ARCHIVE=false")


def there(seen: ArchiveSeen, settings: Settings, name: str, permit: str) -> Finding:
    """Of a stream that exists."""
    if seen.trouble is not None:
        what = f"{name} cannot be read, so nothing can be replayed or resumed: {seen.trouble}"
        leader = "a node of its members must run and lead it: rabbitmq-diagnostics cluster_status"
        return Finding("warning", NAME, what, permit if "ACCESS_REFUSED" in seen.trouble else leader)
    if settings.history != "all":
        what = f"{name} is kept, and nothing can be replayed with HISTORY={settings.history}"
        return Finding("advice", NAME, what, "HISTORY=all, or ARCHIVE=false")
    return Finding("ok", NAME, f"{name}, {many(seen.messages, 'message')}")


def binding(view: BrokerView, topology: Topology, name: str, *, declares: bool, own_queue: bool) -> Finding | None:
    """`own_queue`: the worker reads by a queue of its own, whose every source the archive must have too.

    None: bindings could not be seen. With Evolution's own queues its exchange is wanted, if it feeds any.
    """
    if view.bindings is None:
        return None
    heard = {one.source for one in view.bindings if one.queue == name and one.key == "#"}
    wanted = _wanted(view, topology, own_queue=own_queue)
    lacking = sorted(wanted - heard)
    if not wanted:
        what = f"nothing is archived: no exchange {topology.exchange} feeds Evolution's queues"
        fix = "RABBITMQ_EXCHANGE_NAME as in Evolution; Evolution Go's global queues cannot be archived: ARCHIVE=false"
        return Finding("advice", BINDING, what, fix)
    if not lacking:
        return Finding("ok", BINDING, f"{name} to {some(sorted(heard))} with #")
    what = f"{name} is not bound to {some(lacking)} with #: those events are not archived"
    mend = "restart the worker, which binds it" if declares else "RABBITMQ_DECLARE=true"
    example = f"source={lacking[0]} destination={name} routing_key='#'"
    return Finding("warning", BINDING, what, f"{mend}; or in the management UI: {example}", tuple(lacking))


def _wanted(view: BrokerView, topology: Topology, *, own_queue: bool) -> set[str]:
    bindings = view.bindings or ()
    if own_queue:
        return {topology.exchange, *(one.source for one in bindings if one.queue == topology.events)}
    return {topology.exchange} if any(one.source == topology.exchange for one in bindings) else set()


@dataclass(frozen=True, slots=True)
class Around:
    """What else was seen of the broker: `nodes` and feature `flags` None where this user may not see them.

    `permit` is the command that gives the worker's user its rights.
    """

    view: BrokerView
    nodes: Sequence[Node] | None = None
    flags: Mapping[str, str] | None = None
    permit: str = ""


def judged(
    seen: ArchiveSeen, around: Around, settings: Settings, topology: Topology, commands: Commands, now: float
) -> list[Finding]:
    """All of it; of an archive that is not there, or is none, only that."""
    name, view = archive_name(settings.worker_queue_prefix), around.view
    if not settings.archive:
        return [switched_off(seen, name, commands)]
    retries, facts = view.queues.get(topology.retries), view.queues.get(name)
    lacking = None if seen.exists else unavailable(around.flags)
    missing = absent(seen, settings, name, replicas=(retries.consumers or 0) if retries else 0)
    broken = lacking or missing or no_stream(seen, name, commands)
    if broken is not None:
        return [broken]
    own_queue = settings.rabbitmq_source == "exchange"
    in_force = bounds.bounds(seen.arguments or {}, (facts.policy if facts is not None else None) or {})
    found = [
        there(seen, settings, name, around.permit),
        binding(view, topology, name, declares=settings.rabbitmq_declare, own_queue=own_queue),
        bounds.bounded(seen, facts, settings, commands),
        bounds.reach(seen, in_force, settings.archive_hours, now),
        bounds.disk(around.nodes, seen, in_force.most or settings.archive_max_bytes),
    ]
    return [one for one in found if one is not None]
