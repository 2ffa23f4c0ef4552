"""A burst for one slow endpoint: how long do the others' events behind it in the queue wait?

Measured from the start of consuming to the last of the events behind the burst: its arrival at the receiver for
the worker, its taking for a bare loop that parks the burst and does nothing else.
"""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.proof.bench.endpoints import Endpoints, name, stamped
from tests.proof.bench.offered import on_servers_core
from tests.proof.bench.rig import PREFETCH, Process, Rig, python, verdict

BURST, BEHIND = 50_000, 995
OTHERS = 199
DELAY_SECONDS = 405
"""Of the delay queue that the bare loop parks in: nothing comes back while it runs."""

MOST_TIMES = 1.5
LIMIT = 180.0


@dataclass(frozen=True, slots=True)
class Passage:
    """Seconds until the last event behind the burst came, CPU seconds by then, the burst's own deliveries a second."""

    seconds: float
    cpu: float
    pace: float
    memory: float


def burst(rig: Rig, *, rounds: int) -> Iterator[str]:
    """The worker and the bare loop in turns, half of `rounds` (a round takes a minute); the ratio is of medians."""
    numbers = [0] * BURST + [1 + number % OTHERS for number in range(BEHIND)]
    workers: list[Passage] = []
    bare: list[Passage] = []
    with Endpoints() as healthy, Endpoints() as slow:
        urls = {name(0): slow.url("/tenth"), **{name(number): healthy.url("/ok") for number in range(1, OTHERS + 1)}}
        rig.set_webhooks(urls)
        for _ in range((rounds + 1) // 2):
            rig.fill(rig.events_queue, [stamped(number) for number in numbers])
            workers.append(_worker(rig, healthy, slow))
            rig.purge()
            rig.fill(rig.events_queue, [stamped(number) for number in numbers])
            bare.append(_bare_loop(rig))
            rig.purge()
    yield f"{BURST} events for one endpoint that answers in 100 ms, {BEHIND} events of {OTHERS} others behind it\n"
    yield "| program | seconds to the last one behind the burst (min-max) | times the bare loop's | CPU s (min-max) |"
    yield "| --- | --- | --- | --- |"
    times = _median(workers, "seconds") / _median(bare, "seconds")
    yield f"| bare consume-and-park loop | {_spread(bare, 'seconds')} | 1.00 | {_spread(bare, 'cpu')} |"
    yield (
        f"| webhook-worker | {_spread(workers, 'seconds')} | {times:.2f}, {MOST_TIMES} at most: "
        f"{verdict(times <= MOST_TIMES)} | {_spread(workers, 'cpu')} |"
    )
    pace = _median(workers, "pace")
    yield (
        f"\nMeanwhile the endpoint itself got {pace:.0f} a second, at which the burst takes {BURST / pace:.0f} s; "
        f"peak memory {_median(workers, 'memory'):.0f} MiB."
    )


def _worker(rig: Rig, healthy: Endpoints, slow: Endpoints) -> Passage:
    """The burst's first POST tells when consuming began."""
    healthy.noted()
    slow.noted()
    with rig.worker(WORKER_DRAIN_SECONDS="0.1") as worker, on_servers_core():
        worker.wait_consuming()
        began = worker.cpu_seconds
        if not healthy.wait(BEHIND, LIMIT):
            raise TimeoutError(f"only {healthy.count()} of {BEHIND} events behind the burst came")
        cpu, memory = worker.cpu_seconds - began, worker.peak_mib
        last = healthy.noted()[-1][1]
        arrivals = [arrived for _, arrived in slow.noted()]
    middle = len(arrivals) // 2
    pace = (len(arrivals) - 1 - middle) / (arrivals[-1] - arrivals[middle])
    return Passage(last - arrivals[0], cpu, pace, memory)


def _bare_loop(rig: Rig) -> Passage:
    delay_queue = f"{rig.prefix}.retry.{DELAY_SECONDS}s"
    arguments = (rig.broker.uri, rig.events_queue, delay_queue, str(PREFETCH), name(0), str(BEHIND))
    with rig.peer(python("-m", "tests.proof.bench.peers.bare_park", *arguments)) as peer, on_servers_core():
        began = _said(peer, "began")
        cpu = peer.cpu_seconds
        return Passage(_said(peer, "reached") - began, peer.cpu_seconds - cpu, 0.0, peer.peak_mib)


def _said(peer: Process, word: str) -> float:
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        for line in peer.output().splitlines():
            if line.startswith(f"{word} "):
                return float(line.split()[1])
        peer.check_running()
        time.sleep(0.1)
    raise TimeoutError(f"the bare loop has not {word} within {LIMIT} s:\n{peer.output()}")


def _median(passages: list[Passage], figure: str) -> float:
    return float(statistics.median(getattr(passage, figure) for passage in passages))


def _spread(passages: list[Passage], figure: str) -> str:
    values = [getattr(passage, figure) for passage in passages]
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"
