"""deploy/rabbitmq/definitions.json: what operators make themselves is what the worker would declare."""

from __future__ import annotations

import json
from pathlib import Path

from worker.broker.topology import archive_queue, topology
from worker.process import wiring
from worker.settings.settings import load

FILE = Path(__file__).parents[2] / "deploy/rabbitmq/definitions.json"


def test_they_are_the_workers_own_queues_exchanges_and_bindings() -> None:
    settings, _ = load({}, None)
    whole = wiring.queue_topology(settings, wiring.retry_schedule(settings)).whole
    archive = archive_queue(settings.worker_queue_prefix, settings.archive_hours, settings.archive_max_bytes)
    given = json.loads(FILE.read_text())
    assert {one["name"]: one["arguments"] for one in given["queues"]} == {
        queue.name: queue.arguments for queue in (*whole.queues, archive)
    }
    kinds = {one["name"]: one["type"] for one in given["exchanges"]}
    assert kinds == {whole.exchange: "topic", whole.config_exchange: "fanout"}
    bound = {(one["source"], one["destination"], one["routing_key"]) for one in given["bindings"]}
    assert bound == {(whole.exchange, whole.events, "#"), (whole.exchange, archive.name, "#")}
    durable = [one["durable"] and not one["auto_delete"] for one in (*given["queues"], *given["exchanges"])]
    assert all(durable)
    assert topology("webhooks", whole.exchange, ()).events == whole.events, "the file's names are the default prefix's"
