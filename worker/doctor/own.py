"""The worker's own queues: bound, read, and not cut short by a policy."""

import re
from collections.abc import Sequence

from worker.broker.topology import BROWSE_LIMIT, DELIVERY_LIMIT, Topology
from worker.doctor.asking.management import QueueFacts
from worker.doctor.commands import Commands, Needs
from worker.doctor.finding import Finding, many, some
from worker.doctor.version import FIRST_WITH_A_LIMIT, LIMIT_OF_4, parsed
from worker.doctor.view import BrokerView

LOSING = ("max-length", "max-length-bytes", "message-ttl", "expires", "max-in-memory-length", "overflow")
"""Keys of a policy that change what these queues keep."""


def rights(refusal: str, user: str, needs: Needs, commands: Commands) -> Finding:
    """`refusal`: RabbitMQ's own words."""
    what = (
        f"refused: {refusal}; the fix replaces all rights that {user!r} has in this virtual host, so this user must be "
    )
    what += "the worker's alone: if Evolution or anybody else uses it, make another for RABBITMQ_URI first"
    return Finding("problem", "RabbitMQ rights", what, commands.permit(user, needs))


def binding(view: BrokerView, topology: Topology, *, bound: bool, declares: bool = True) -> Finding | None:
    """`bound`: the worker reads by a queue of its own. `declares`: RABBITMQ_DECLARE. None: there is no queue yet."""
    name = "binding"
    if view.bindings is None or topology.events not in view.queues:
        return None
    keys = {one.key for one in view.bindings if (one.source, one.queue) == (topology.exchange, topology.events)}
    link = f"{topology.events} to {topology.exchange}"
    if not bound:
        if not keys:
            return Finding("ok", name, "none, as RABBITMQ_SOURCE=queues wants it")
        what = f"{link} is bound although RABBITMQ_SOURCE=queues: each event comes twice"
        fix = "restart the worker: it removes the binding"
        if not declares:
            fix = "unbind it in the management UI, or RABBITMQ_DECLARE=true: the worker then removes the binding"
        return Finding("problem", name, what, fix)
    wanted = f"source={topology.exchange} destination={topology.events} routing_key='#'"
    restart = "restart the worker, which declares it" if declares else "RABBITMQ_DECLARE=true"
    fix = f"{restart}; or add a binding in the management UI: {wanted}"
    if "#" in keys:
        return Finding("ok", name, f"{link} with #")
    if keys:
        what = f"{link} only with {some(sorted(keys))}: other events do not come"
        return Finding("advice", name, what, f"if that is not meant: {fix}")
    return Finding("problem", name, f"{link} is missing: events are lost", fix)


def policies(view: BrokerView, topology: Topology, commands: Commands) -> list[Finding]:
    """None of a policy's limits is harmless on these queues. One finding a policy."""
    cut: dict[str | None, dict[str, list[str]]] = {}
    for queue in _ours(view, topology):
        keys = [key for key in LOSING if key in (queue.policy or {})]
        if keys:
            cut.setdefault(queue.policy_name, {})[queue.name] = keys
    found = []
    for name, queues in sorted(cut.items(), key=lambda item: item[0] or ""):
        keys = sorted({key for given in queues.values() for key in given})
        who = f"policy {name!r}" if name else "an operator policy"
        what = f"{who} sets {', '.join(keys)}: messages can be lost or refused in {some(sorted(queues))}"
        fix = "keep its pattern off our queues" + (f", or {commands.ctl('clear_policy', name)}" if name else "")
        found.append(Finding("problem", "policies on our queues", what, fix, tuple(sorted(queues))))
    return found


def limits(view: BrokerView, topology: Topology) -> Finding | None:
    """Takings of a message after which RabbitMQ gives it up. The least of what arguments, policy and default say."""
    wanted = {topology.events: DELIVERY_LIMIT, topology.retries: DELIVERY_LIMIT, topology.dead: BROWSE_LIMIT}
    low = []
    for name, least in wanted.items():
        queue = view.queues.get(name)
        if queue is None or view.bindings is None:
            continue
        limit = _limit(queue, view.version)
        if limit is not None and limit < least:
            low.append(f"{name} {limit} (wants {least})")
    if view.bindings is None or not any(name in view.queues for name in wanted):
        return None
    if not low:
        return Finding("ok", "delivery limits", f"{DELIVERY_LIMIT} takings; dead letters {BROWSE_LIMIT:,}")
    what = f"messages are given up too early: {', '.join(low)}; each restart and each `dead list` counts"
    fix = "take delivery-limit out of the policy, or declare the queue with x-delivery-limit as the worker does"
    return Finding("warning", "delivery limits", what, fix)


def _limit(queue: QueueFacts, version: str) -> int | None:
    given = (queue.arguments.get("x-delivery-limit"), (queue.policy or {}).get("delivery-limit"))
    numbers = [number for number in given if isinstance(number, int) and number >= 0]
    if numbers:
        return min(numbers)
    return LIMIT_OF_4 if parsed(version) >= FIRST_WITH_A_LIMIT else None


def readers(view: BrokerView, topology: Topology) -> Finding | None:
    """Every worker has exactly one consumer on `retries`, whatever it reads events from."""
    retries, events = view.queues.get(topology.retries), view.queues.get(topology.events)
    if retries is None or retries.consumers is None:
        return None
    if retries.consumers:
        return Finding("ok", "workers", f"{many(retries.consumers, 'replica')} consuming")
    waiting = (retries.messages or 0) + (events.messages or 0 if events else 0)
    what = f"none is consuming; {many(waiting, 'message')} waiting"
    return Finding("warning" if waiting else "advice", "workers", what, "webhook-worker run")


def dead_letters(view: BrokerView, topology: Topology) -> Finding | None:
    dead = view.queues.get(topology.dead)
    if dead is None or not dead.messages:
        return None
    fix = "webhook-worker dead list; then dead redrive, or dead purge"
    return Finding("advice", "dead letters", f"{many(dead.messages, 'delivery', 'deliveries')} given up", fix)


def leftovers(view: BrokerView, topology: Topology, commands: Commands) -> Finding | None:
    """Delay queues of an earlier retry schedule."""
    pattern = re.escape(topology.retries.removesuffix("retries")) + r"retry\.\d+s"
    ours = {queue.name for queue in topology.queues}
    old = [queue for name, queue in view.queues.items() if name not in ours and re.fullmatch(pattern, name)]
    empty = tuple(sorted(queue.name for queue in old if queue.messages == 0))
    if empty:
        what = f"{many(len(empty), 'delay queue')} of an earlier retry schedule, empty: {some(empty)}"
        return Finding("advice", "old delay queues", what, commands.delete_queues(empty), empty)
    return Finding("ok", "old delay queues", f"{len(old)} still drain by themselves") if old else None


def _ours(view: BrokerView, topology: Topology) -> Sequence[QueueFacts]:
    return [view.queues[queue.name] for queue in topology.queues if queue.name in view.queues]
