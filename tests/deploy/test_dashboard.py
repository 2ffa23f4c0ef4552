"""The dashboard: well-formed for Grafana, and every query of it answered by a Prometheus that scraped a worker."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Iterator
from itertools import combinations
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.conftest import StartWorker
from tests.deploy.alerts import RULES, alerts, metrics_in
from tests.deploy.planned import PLANNED
from tests.e2e.conftest import PublishEvents, PutWebhooks
from tests.proof.picture.grafana import dashboard, filled, panels
from tests.support.events import event
from tests.support.prometheus import Prometheus
from tests.support.receiver import Answer, Receiver
from tests.support.waiting import eventually
from tests.support.worker import Worker
from worker.domain.webhook import Webhook

KINDS = {"row", "timeseries", "stat", "bargauge"}
VARIABLES = {"job": ".*", "__rate_interval": "30s", "__range": "5m"}


def queries() -> Iterator[tuple[str, str]]:
    """(panel and series, PromQL with the variables filled in)."""
    for panel in panels():
        for target in panel["targets"]:
            yield f"{panel['title']}: {target['legendFormat'] or target['refId']}", filled(target["expr"], VARIABLES)


QUERIES = dict(queries())


# The file


def test_it_answers_the_five_questions() -> None:
    rows = [panel["title"] for panel in dashboard()["panels"] if panel["type"] == "row"]
    assert rows == ["Is it healthy?", "Who is slow?", "What is waiting?", "What was lost?", "What is kept of it?"]


def test_panels_are_what_grafana_expects() -> None:
    found = dashboard()["panels"]
    assert {panel["type"] for panel in found} <= KINDS
    assert len({panel["id"] for panel in found}) == len(found)
    for panel in panels():
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert [target["refId"] for target in panel["targets"]] == list("ABCD"[: len(panel["targets"])])
        assert {"defaults", "overrides"} == panel["fieldConfig"].keys()


def unknown(written: Any, read: Any, path: str = "") -> Iterator[str]:
    """The fields of `written` that are not in `read`."""
    if isinstance(written, dict):
        for name, value in written.items():
            if name in read:
                yield from unknown(value, read[name], f"{path}/{name}")
            else:
                yield f"{path}/{name}"
    elif isinstance(written, list):
        for number, (one, other) in enumerate(zip(written, read, strict=True)):
            yield from unknown(one, other, f"{path}/{number}")
    elif written != read:
        yield path


def test_grafanas_own_schema_knows_every_field() -> None:
    """Its published types drop what they do not know: what comes back must be what went in."""
    register_default_plugins()
    written = dashboard()
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(written)))
    assert list(unknown(written, read)) == []
    written["panels"][1]["fieldConfig"]["defaults"]["tresholds"] = {}
    assert list(unknown(written, read)) == ["/panels/1/fieldConfig/defaults/tresholds"]


def test_panels_lie_side_by_side_on_the_grid() -> None:
    places = [panel["gridPos"] for panel in dashboard()["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for a, b in combinations(places, 2):
        apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert apart or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"], (a, b)


def test_variables_are_defined_and_every_query_keeps_to_the_chosen_deployment() -> None:
    names = {variable["name"] for variable in dashboard()["templating"]["list"]}
    assert names == {"datasource", "job"}
    for panel in panels():
        for target in panel["targets"]:
            assert target["expr"].count("{") == target["expr"].count('job=~"$job"')


# Its queries


async def some_traffic(worker: Worker, receiver: Receiver, publish: PublishEvents) -> None:
    """Deliveries, some of which wait in their lane, a retry, a rejection and an event that nobody wants."""
    release = asyncio.Event()
    receiver.answer("/acme", *[Answer(release=release)] * 4)
    receiver.answer("/flaky", 500)
    receiver.always("/refuses", 404)
    await publish(*(event(data=number) for number in range(20)), event(instance="flaky"), event(instance="refuses"))
    await publish(event(instance="nobody"))
    await worker.wait_metric("waiting", 1)
    release.set()
    await worker.wait_metric("deliveries_total", 21, outcome="Delivered")
    await worker.wait_metric("deliveries_total", 1, outcome="DeadLettered")
    await worker.wait_metric("deliveries_total", 1, outcome="Skipped")


async def wait_scraped(prometheus: Prometheus, *expressions: str) -> None:
    """Until each of these has an answer that is a number."""

    async def answers() -> list[list[str]]:
        found = [await asyncio.to_thread(prometheus.query, expression) for expression in expressions]
        return [[row["value"][1] for row in rows] for rows in found]

    def numbers(rows: list[list[str]]) -> bool:
        return all(row and not any(math.isnan(float(value)) for value in row) for row in rows)

    await eventually(answers, numbers, 30, f"{expressions} to be scraped")


@pytest.fixture
async def scraped(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver
) -> AsyncIterator[tuple[Worker, Prometheus]]:
    for name in ("acme", "flaky", "refuses"):
        await webhooks(Webhook(name, receiver.url(f"/{name}")))
    daemon = await worker(
        ORDER="true", METRICS_INSTANCES="acme", WEBHOOK_RETRY_INITIAL_DELAY_SECONDS="1", ARCHIVE="true"
    )
    prometheus = Prometheus([f"127.0.0.1:{daemon.metrics_port}"], rules=[RULES])
    try:
        await asyncio.to_thread(prometheus.start)
        await wait_scraped(prometheus, "webhook_worker_build_info")
        await some_traffic(daemon, receiver, publish)
        delivered = 'increase(webhook_worker_deliveries_total{outcome="Delivered"}[30s]) > 0'
        await wait_scraped(prometheus, delivered, "webhook_worker:slo_errors:ratio_1h")
        yield daemon, prometheus
    finally:
        await asyncio.to_thread(prometheus.close)


async def test_no_query_is_wrong_and_none_is_empty(scraped: tuple[Worker, Prometheus]) -> None:
    _, prometheus = scraped
    empty = []
    for name, expression in QUERIES.items():
        rows = await asyncio.to_thread(prometheus.query, expression)  # raises when Prometheus finds it wrong
        if metrics_in(expression) & PLANNED:
            continue
        if not rows or any(math.isnan(float(row["value"][1])) for row in rows):
            empty.append(name)
    assert empty == []


async def test_the_worker_has_every_metric_that_alerts_and_dashboard_read(scraped: tuple[Worker, Prometheus]) -> None:
    worker, prometheus = scraped
    read = set().union(*(metrics_in(text) for text in [*QUERIES.values(), *(rule["expr"] for rule in alerts())]))
    there = {key.partition("{")[0] for key in await worker.metrics()}
    assert read - there == PLANNED, "either a name is wrong, or tests/deploy/planned.py is out of date"
    firing = await asyncio.to_thread(prometheus.query, 'ALERTS{alertstate="firing"}')
    assert firing == []
