"""One bad endpoint hurts nobody: 200 endpoints, 20 of them bad, against none bad, in turns."""

import asyncio
import json
import statistics
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import aio_pika

from deploy.local_process import free_port
from tests.bench.rig import SERVERS_CORE, Process, Rig, python
from tests.support.amqp import BareProperties

ENDPOINTS, BAD = 200, 20
SECONDS = 8.0
PACE = 400
"""Events a second where latency is measured: well below what one core can deliver."""

BACKLOG = 20_000
"""Events that wait when throughput is measured."""


@dataclass(frozen=True, slots=True)
class Round:
    """Healthy deliveries a second with a backlog; latencies in ms at a steady pace; resident MiB at the end."""

    throughput: float
    p50: float
    p99: float
    memory: float


def isolation(rig: Rig, *, rounds: int) -> Iterator[str]:
    """Each round: none bad, then each kind of bad. Ratios are of medians over all rounds of one run."""
    port = free_port()
    kinds = {
        "none bad": f"http://127.0.0.1:{port}/ok",
        "20 accept and never answer": f"http://127.0.0.1:{port}/hang",
        "20 refuse connections": f"http://127.0.0.1:{free_port()}/",
        "20 answer in 10 s": f"http://127.0.0.1:{port}/slow",
        "20 answer 500": f"http://127.0.0.1:{port}/broken",
    }
    results: dict[str, list[Round]] = {name: [] for name in kinds}
    with Process(python("-m", "tests.bench.receiver", str(port)), core=SERVERS_CORE):
        for _ in range(rounds):
            for name, bad_url in kinds.items():
                results[name].append(_round(rig, port, bad_url))
    yield from _table(results)


def _round(rig: Rig, port: int, bad_url: str) -> Round:
    good, latencies = f"http://127.0.0.1:{port}/ok", f"http://127.0.0.1:{port}/latencies"
    rig.set_webhooks({f"bench-{number}": bad_url if number < BAD else good for number in range(ENDPOINTS)})
    with rig.worker(WEBHOOK_REQUEST_TIMEOUT_MS="5000") as worker:
        worker.wait_consuming()
        asyncio.run(_publish(rig, PACE, SECONDS))
        late = sorted(_get(latencies))
    rig.purge()
    rig.fill(rig.events_queue, [_event(number) for number in range(BACKLOG)])
    with rig.worker(WEBHOOK_REQUEST_TIMEOUT_MS="5000") as worker:
        throughput = _drained(latencies, BACKLOG * (ENDPOINTS - BAD) // ENDPOINTS)
        memory = worker.rss_mib
    rig.purge()
    return Round(throughput, _percentile(late, 50), _percentile(late, 99), memory)


def _drained(latencies: str, healthy: int) -> float:
    """Deliveries a second to healthy endpoints, between the first tenth and nine tenths of theirs."""
    done, first = 0, None
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        done += len(_get(latencies))
        now = (time.monotonic(), done)
        if first is None and done >= healthy * 0.1:
            first = now
        if first is not None and done >= healthy * 0.9:
            return (now[1] - first[1]) / (now[0] - first[0])
        time.sleep(0.05)
    raise TimeoutError(f"only {done} of {healthy} deliveries to healthy endpoints")


async def _publish(rig: Rig, pace: int, seconds: float) -> None:
    """At a steady pace; events go round the endpoints."""
    connection = await aio_pika.connect(rig.broker.uri)
    channel = await (await connection.channel(publisher_confirms=False)).get_underlay_channel()
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(int(pace * seconds)):
        await asyncio.sleep(max(0.0, began + number / pace - loop.time()))
        properties = BareProperties(delivery_mode=2)
        await channel.basic_publish(_event(number), routing_key=rig.events_queue, properties=properties)
    await connection.close()


def _event(number: int) -> bytes:
    data = {"sent": time.time(), "number": number, "text": "x" * 600}
    event = {"event": "messages.upsert", "instance": f"bench-{number % ENDPOINTS}", "data": data}
    return json.dumps(event, separators=(",", ":")).encode()


def _get(url: str) -> list[float]:
    with urllib.request.urlopen(url, timeout=30) as answer:
        noted: list[float] = json.load(answer)
    return noted


def _percentile(ordered: list[float], percent: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000


def _table(results: dict[str, list[Round]]) -> Iterator[str]:
    base = _median(results["none bad"])
    yield f"{ENDPOINTS} endpoints; throughput of the healthy ones with a backlog, latency at {PACE} events a second\n"
    yield "| bad endpoints | healthy deliveries/s | ratio | p50 ms | p99 ms | ratio | MiB |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, rounds in results.items():
        one = _median(rounds)
        # With none bad, a tenth of the deliveries goes to those that are bad in the other rows.
        share = 1.0 if name == "none bad" else (ENDPOINTS - BAD) / ENDPOINTS
        yield (
            f"| {name} | {one.throughput:.0f} | {one.throughput / (base.throughput * share):.2f} | {one.p50:.1f} "
            f"| {one.p99:.1f} | {one.p99 / base.p99:.2f} | {one.memory:.0f} |"
        )


def _median(rounds: list[Round]) -> Round:
    figures = zip(*((one.throughput, one.p50, one.p99, one.memory) for one in rounds), strict=True)
    return Round(*(statistics.median(figure) for figure in figures))
