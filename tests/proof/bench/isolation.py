"""One bad endpoint hurts nobody: 200 endpoints, some of them bad, against none bad, in turns.

Saturated (closed loop): the worker finds BACKLOG events, and what counts is what the healthy endpoints get, from their
tenth to their ninetieth percent. They are nginx, and so is the one that gets half of all events, so that the worker is
the bottleneck and not the core that RabbitMQ shares with the receivers. Each turn with bad endpoints stands between two
without and is judged by their mean: what else the machine does changes from turn to turn.

Offered (open loop): the worker finds EARLIER events, then others come at a steady pace for SECONDS, while what was
parked for the bad ones comes back. Throughput is what arrives while they come, latency is from publishing to arrival.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf

from tests.proof.bench.endpoints import Endpoints, name, stamped
from tests.proof.bench.isolation_table import Drained, Offered, Saturated, in_turns, memory, table, unacked
from tests.proof.bench.offered import offer, on_servers_core
from tests.proof.bench.process import SERVERS_CORE, CoreUse, pin
from tests.proof.bench.rig import Rig
from tests.proof.bench.sampling import Posts, measure
from tests.support.local_process import free_port
from tests.support.nginx import Nginx

ENDPOINTS, BAD = 200, 20
BACKLOG = 90_000
"""Over five seconds of work: the first that were parked come back while it lasts."""

EARLIER = 3_000
PACE = 0.1
"""Of the throughput that a first turn with none bad has, which is not counted: where queues do not build up yet, on the
servers' core neither, which has the publisher and the receivers besides RabbitMQ. With 0.15 it is 90 % busy."""

SECONDS = 6.0
LONG_SECONDS = 60.0
"""Of the one long look at un-acked messages and memory: twice the time after which hanging attempts time out."""

LATEST = 15.0
"""Seconds after the last publish; what has not arrived by then counts as never."""

IMPATIENT = {"WORKER_DRAIN_SECONDS": "0.1"}
"""At the end nobody waits for those that hang: their events are parked, and then purged."""

NONE, HANG, HALF = "none", "20 accept and never answer", "1 receives half of all events"


@dataclass(frozen=True, slots=True)
class Kind:
    """`bad` endpoints have that URL; the n-th event is for `whose(n)`, and `share` of all for healthy ones."""

    bad: int
    url: str
    whose: Callable[[int], int]
    share: float


def isolation(rig: Rig, *, rounds: int) -> Iterator[str]:
    """Medians over all rounds of one run."""
    with Endpoints() as healthy, Endpoints() as others, Nginx() as busy:
        pin(busy.pid, SERVERS_CORE)
        kinds = _kinds(others, busy)
        pace = round(PACE * _drained(rig, kinds[NONE]).rate)
        saturated: dict[str, list[Saturated]] = {kind: [] for kind in kinds}
        offered: dict[str, list[Offered]] = {kind: [] for kind in kinds}
        for _ in range(rounds):
            for kind, turn in _saturated(rig, kinds, others):
                saturated[kind].append(turn)
            for kind, shown in _offered(rig, kinds, others, healthy, pace):
                offered[kind].append(shown)
        yield (
            f"{ENDPOINTS} endpoints, {rounds} rounds. Saturated: a backlog of {BACKLOG}, closed loop, the healthy "
            f"endpoints are nginx. Offered: {pace} events a second ({PACE:.0%} of what the worker can do), open loop. "
            "Healthy endpoints alone, over their share of the events; medians (min-max). Times, saturated: of each "
            "turn against the mean of the two with none bad around it; those with none bad against each other show "
            "this machine's noise.\n"
        )
        yield from table(saturated, offered, NONE)
        yield from _long(rig, healthy, kinds[HANG], pace)


def _kinds(others: Endpoints, busy: Nginx) -> dict[str, Kind]:
    share = 1 - BAD / ENDPOINTS
    urls = {
        HANG: others.url("/hang"),
        "20 refuse connections": f"http://127.0.0.1:{free_port()}/",
        "20 answer in 10 s": others.url("/slow"),
        "20 answer 500": others.url("/broken"),
    }
    kinds = {kind: Kind(BAD, url, lambda number: number % ENDPOINTS, share) for kind, url in urls.items()}
    return {
        NONE: Kind(0, "", lambda number: number % ENDPOINTS, 1.0),
        **kinds,
        HALF: Kind(1, busy.url("/hook"), _half, 0.5),
    }


def _half(number: int) -> int:
    return 0 if number % 2 else 1 + number // 2 % (ENDPOINTS - 1)


def _saturated(rig: Rig, kinds: dict[str, Kind], others: Endpoints) -> Iterator[tuple[str, Saturated]]:
    def take(kind: str) -> Drained:
        drained = _drained(rig, kinds[kind])
        others.noted()
        return drained

    for kind, own, before, after in in_turns(kinds, take):
        yield kind, own.beside(before, after)


def _drained(rig: Rig, kind: Kind) -> Drained:
    _set(rig, kind, rig.nginx.url("/hook"))
    rig.fill(rig.events_queue, [stamped(kind.whose(number)) for number in range(BACKLOG)])
    posts, count = Posts(rig.nginx), _healthy(kind, BACKLOG)
    with rig.worker(**IMPATIENT) as worker, on_servers_core():
        servers = CoreUse(SERVERS_CORE)
        sample = measure(worker, posts, count * 9 // 10, warm_up=count // 10)
        busy = servers.share
    rig.purge()
    return Drained(sample.rate / kind.share, sample.cpu, busy)


def _offered(
    rig: Rig, kinds: dict[str, Kind], others: Endpoints, healthy: Endpoints, pace: int
) -> Iterator[tuple[str, Offered]]:
    """One turn with none bad for two with bad ones."""
    for number, kind in enumerate(list(kinds)[1:]):
        for each in (NONE, kind) if number % 2 == 0 else (kind,):
            yield each, _offer_once(rig, healthy, kinds[each], pace)
        others.noted()


def _offer_once(rig: Rig, healthy: Endpoints, kind: Kind, pace: int) -> Offered:
    healthy.noted()
    _set(rig, kind, healthy.url("/ok"))
    rig.fill(rig.events_queue, [stamped(kind.whose(number)) for number in range(EARLIER)])
    with rig.worker(**IMPATIENT) as worker:
        worker.wait_consuming()
        _await_all(healthy, _healthy(kind, EARLIER))
        watched = offer(rig, worker, pace, SECONDS, kind.whose)
        late, rate = _arrived(healthy, _healthy(kind, int(pace * SECONDS)))
    rig.purge()
    return Offered(rate / kind.share, _percentile(late, 50), _percentile(late, 99), watched)


def _set(rig: Rig, kind: Kind, healthy: str) -> None:
    rig.set_webhooks({name(number): kind.url if number < kind.bad else healthy for number in range(ENDPOINTS)})


def _healthy(kind: Kind, count: int) -> int:
    """How many of the first `count` events are for healthy endpoints."""
    return sum(kind.whose(number) >= kind.bad for number in range(count))


def _await_all(healthy: Endpoints, count: int) -> None:
    with on_servers_core():
        if not healthy.wait(count, 120):
            raise TimeoutError(f"only {healthy.count()} of {count} deliveries to healthy endpoints")
    healthy.noted()


def _arrived(healthy: Endpoints, count: int) -> tuple[list[float], float]:
    """Latencies in ms, sorted, and deliveries a second that arrived from the first to the last publish."""
    with on_servers_core():
        healthy.wait(count, LATEST)
    noted = healthy.noted()
    late = sorted((arrived - sent) * 1000 for sent, arrived in noted)
    first, last = min(sent for sent, _ in noted), max(sent for sent, _ in noted)
    in_time = sum(arrived <= last for _, arrived in noted)
    return late + [inf] * (count - len(late)), in_time / (last - first)


def _percentile(ordered: list[float], percent: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _long(rig: Rig, healthy: Endpoints, kind: Kind, pace: int) -> Iterator[str]:
    """Un-acked messages and memory over a time in which attempts time out, circuits open and parked ones return."""
    healthy.noted()
    _set(rig, kind, healthy.url("/ok"))
    with rig.worker(**IMPATIENT) as worker:
        worker.wait_consuming()
        watched = offer(rig, worker, pace, LONG_SECONDS, kind.whose)
        late, _ = _arrived(healthy, _healthy(kind, int(pace * LONG_SECONDS)))
    rig.purge()
    yield (
        f"\n{LONG_SECONDS:.0f} s of {pace} events a second, {HANG}: first and last third (most): "
        f"un-acked {unacked(watched.unacked)}, {memory(watched.memory)} MiB; p99 {_percentile(late, 99):.1f} ms."
    )
