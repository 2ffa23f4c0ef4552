"""Ordered delivery: its queue is bound and served, by whom, and what waits in sidings."""

import re

from worker.basics.moments import iso
from worker.broker.topology import Topology, ordered_queue
from worker.doctor.asking.management import QueueFacts
from worker.doctor.commands import Commands
from worker.doctor.finding import Finding, many, some
from worker.doctor.view import BrokerView

_NAME = "order"


def order(view: BrokerView, topology: Topology, commands: Commands, prefix: str) -> Finding | None:
    """None: no ordered queue is there, and none is wanted; or it cannot be judged yet."""
    name = ordered_queue(prefix).name
    queue = view.queues.get(name)
    if topology.ordered is None:
        return None if queue is None else _left_over(queue, view, commands)
    if queue is None or view.bindings is None:
        return None
    if not any((one.source, one.queue) == (topology.exchange, name) for one in view.bindings):
        what = f"{name} to {topology.exchange} is missing: webhooks with `order` get nothing"
        return Finding("problem", _NAME, what, "restart the worker, which declares it (RABBITMQ_DECLARE=true)")
    if not queue.consumers:
        what = f"nobody consumes {name}: {many(queue.messages or 0, 'event')} wait there"
        return Finding("problem", _NAME, what, "start a worker with ORDER=true")
    if not view.complete:
        what = "the ordered queue is not complete yet: webhooks with an `order` get events from both sides"
        return Finding("advice", _NAME, what, "leave workers with ORDER=true running: a marker passes the backlog")
    who = "one of them active" if view.active is None else f"the one at {view.active} is active"
    waiting = [siding for siding in _sidings(view, name) if siding.messages]
    if not waiting:
        return Finding("ok", _NAME, f"{many(queue.consumers, 'replica')} on {name}, {who}")
    events, since = sum(siding.messages or 0 for siding in waiting), ""
    if view.oldest is not None:
        since = f", the oldest in {view.oldest[0]} since {iso(view.oldest[1], 'seconds')}"
    where = f"about {many(events, 'event')} wait in {some(_names(waiting))}{since}"
    what = f"{many(len(waiting), 'receiver')} down: {where}; {who}"
    return Finding("ok", _NAME, what)


def _left_over(queue: QueueFacts, view: BrokerView, commands: Commands) -> Finding:
    """ORDER is false again."""
    queues = (queue, *_sidings(view, queue.name))
    events = sum(one.messages or 0 for one in queues)
    if events:
        what = f"ORDER is false: {many(events, 'event')} wait in {some(_names(queues))} and are still served in order"
        return Finding("advice", _NAME, what, "leave the workers running until they are empty")
    what = f"ORDER is false, and {some(_names(queues))} are empty"
    return Finding("advice", _NAME, what, commands.delete_queues(_names(queues)), _names(queues))


def _sidings(view: BrokerView, name: str) -> list[QueueFacts]:
    pattern = re.compile(re.escape(name) + r"\.\d+")
    return [queue for other, queue in sorted(view.queues.items()) if pattern.fullmatch(other)]


def _names(queues: tuple[QueueFacts, ...] | list[QueueFacts]) -> tuple[str, ...]:
    return tuple(queue.name for queue in queues)
