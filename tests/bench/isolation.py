"""One bad endpoint hurts nobody: 200 endpoints, some of them bad, against none bad, in turns.

Each turn starts the worker twice. First it finds BACKLOG events (closed loop, saturated): what counts is what the
healthy endpoints get, from their tenth to their ninetieth percent. They are nginx, so that the worker is the bottleneck
and not the core that RabbitMQ shares with the receivers. Then it finds EARLIER events, and others come at a steady pace
for SECONDS (open loop), while what was parked for the bad ones comes back: throughput is what arrives while they come,
latency is from publishing to arrival.
"""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import inf

from deploy.local_process import free_port
from tests.bench.endpoints import Endpoints, name, stamped
from tests.bench.offered import Trend, Watched, offer, on_servers_core
from tests.bench.rig import Rig, verdict
from tests.bench.sampling import Posts, Sample, measure

ENDPOINTS, BAD = 200, 20
BACKLOG = 24_000
EARLIER = 3_000
PACE = 0.4
"""Of the throughput that a first turn with none bad has, which is not counted: where queues do not build up yet."""

SECONDS = 6.0
LONG_SECONDS = 60.0
"""Of the one long look at un-acked messages and memory: twice the time after which hanging attempts time out."""

LEAST_THROUGHPUT, MOST_TIMES, MOST_MORE_MS = 0.95, 1.2, 10.0

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


@dataclass(frozen=True, slots=True)
class Turn:
    """Healthy deliveries a second over their share of all events (offered, and of the backlog), and CPU us for each of
    the backlog's, all that the bad ones cost included; latencies in ms, `inf` for what never came. `times`: `saturated`
    over that of the turn with none bad beside it."""

    throughput: float
    saturated: float
    times: float
    cpu: float
    p50: float
    p99: float
    watched: Watched


def isolation(rig: Rig, *, rounds: int) -> Iterator[str]:
    """Every turn with bad endpoints has one without beside it; medians over all rounds of one run."""
    with Endpoints() as healthy, Endpoints() as others:
        kinds = _kinds(others)
        pace = round(PACE * _saturated(rig, kinds[NONE]).rate)
        turns: dict[str, list[Turn]] = {kind: [] for kind in kinds}
        for _ in range(rounds):
            for number, kind in enumerate(list(kinds)[1:]):
                if number % 2 == 0:
                    turns[NONE].append(_turn(rig, healthy, kinds[NONE], pace, None))
                turns[kind].append(_turn(rig, healthy, kinds[kind], pace, turns[NONE][-1]))
                others.noted()
        yield from _table(turns, pace)
        yield from _long(rig, healthy, kinds[HANG], pace)


def _kinds(others: Endpoints) -> dict[str, Kind]:
    share = 1 - BAD / ENDPOINTS
    urls = {
        NONE: others.url("/ok"),
        HANG: others.url("/hang"),
        "20 refuse connections": f"http://127.0.0.1:{free_port()}/",
        "20 answer in 10 s": others.url("/slow"),
        "20 answer 500": others.url("/broken"),
    }
    kinds = {kind: Kind(BAD, url, lambda number: number % ENDPOINTS, share) for kind, url in urls.items()}
    return {**kinds, HALF: Kind(1, others.url("/ok"), _half, 0.5)}


def _half(number: int) -> int:
    return 0 if number % 2 else 1 + number // 2 % (ENDPOINTS - 1)


def _turn(rig: Rig, healthy: Endpoints, kind: Kind, pace: int, beside: Turn | None) -> Turn:
    saturated = _saturated(rig, kind)
    healthy.noted()
    _set(rig, kind, healthy.url("/ok"))
    rig.fill(rig.events_queue, [stamped(kind.whose(number)) for number in range(EARLIER)])
    with rig.worker(**IMPATIENT) as worker:
        worker.wait_consuming()
        _await_all(healthy, _healthy(kind, EARLIER))
        watched = offer(rig, worker, pace, SECONDS, kind.whose)
        late, throughput = _offered(healthy, _healthy(kind, int(pace * SECONDS)))
    rig.purge()
    return Turn(
        throughput=throughput / kind.share,
        saturated=saturated.rate,
        times=1.0 if beside is None else saturated.rate / beside.saturated,
        cpu=saturated.cpu,
        p50=_percentile(late, 50),
        p99=_percentile(late, 99),
        watched=watched,
    )


def _saturated(rig: Rig, kind: Kind) -> Sample:
    """`rate` is over the healthy endpoints' share."""
    _set(rig, kind, rig.nginx.url("/hook"))
    rig.fill(rig.events_queue, [stamped(kind.whose(number)) for number in range(BACKLOG)])
    posts, count = Posts(rig.nginx), _healthy(kind, BACKLOG)
    with rig.worker(**IMPATIENT) as worker, on_servers_core():
        sample = measure(worker, posts, count * 9 // 10, warm_up=count // 10)
    rig.purge()
    return replace(sample, rate=sample.rate / kind.share)


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


def _offered(healthy: Endpoints, count: int) -> tuple[list[float], float]:
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
        late, _ = _offered(healthy, _healthy(kind, int(pace * LONG_SECONDS)))
    rig.purge()
    yield (
        f"\n{LONG_SECONDS:.0f} s of {pace} events a second, {HANG}: first and last third (most): "
        f"un-acked {_unacked(watched)}, {_memory(watched)} MiB; p99 {_percentile(late, 99):.1f} ms."
    )


def _table(turns: dict[str, list[Turn]], pace: int) -> Iterator[str]:
    base = turns[NONE]
    yield (
        f"{ENDPOINTS} endpoints, {len(base)} turns with none bad, {len(turns[HANG])} of each other kind in between. "
        f"{pace} events a second are offered, open loop ({PACE:.0%} of what the worker can do); saturated: a backlog "
        f"of {BACKLOG}, closed loop, the healthy endpoints are nginx. Healthy endpoints alone, over their share of the "
        "events; medians (min-max); times: median over the pairs with the turn with none bad beside it.\n"
    )
    yield (
        "| bad endpoints | deliveries/s, offered | 0.95 times or more | p50 ms | p99 ms | 1.2 times or 10 ms more "
        "at most | un-acked, first to last third (most) | MiB | deliveries/s, saturated | 0.95 times or more | CPU us |"
    )
    yield "| --- " * 11 + "|"
    for kind, own in turns.items():
        yield f"| {kind} | {' | '.join(_cells(own, base))} |"


def _cells(own: list[Turn], base: list[Turn]) -> Iterator[str]:
    throughput = _median([turn.throughput for turn in own]) / _median([turn.throughput for turn in base])
    p99, base_p99 = _median([turn.p99 for turn in own]), _median([turn.p99 for turn in base])
    watched = Watched(_middle([turn.watched.unacked for turn in own]), _middle([turn.watched.memory for turn in own]))
    yield _spread([turn.throughput for turn in own], 0)
    yield f"{throughput:.2f} {verdict(throughput >= LEAST_THROUGHPUT)}"
    yield f"{_median([turn.p50 for turn in own]):.1f}"
    yield _spread([turn.p99 for turn in own], 1)
    late = p99 <= MOST_TIMES * base_p99 or p99 <= base_p99 + MOST_MORE_MS
    yield f"{p99 / base_p99:.2f}, {p99 - base_p99:+.1f} ms {verdict(late)}"
    yield _unacked(watched)
    yield _memory(watched)
    yield _spread([turn.saturated for turn in own], 0)
    times = [turn.times for turn in own]
    yield f"{_spread(times, 2)} {verdict(_median(times) >= LEAST_THROUGHPUT)}"
    yield _spread([turn.cpu for turn in own], 0)


def _unacked(watched: Watched) -> str:
    trend = watched.unacked
    flat = trend.last <= max(1.2 * trend.first, trend.first + 20)
    return f"{trend.first:.0f} to {trend.last:.0f} ({trend.most:.0f}) {verdict(flat)}"


def _memory(watched: Watched) -> str:
    trend = watched.memory
    return f"{trend.first:.0f} to {trend.last:.0f} ({trend.most:.0f}) {verdict(trend.last <= 1.05 * trend.first)}"


def _middle(trends: list[Trend]) -> Trend:
    return Trend(
        _median([trend.first for trend in trends]),
        _median([trend.last for trend in trends]),
        max(trend.most for trend in trends),
    )


def _median(values: list[float]) -> float:
    return statistics.median(values)


def _spread(values: list[float], digits: int) -> str:
    return f"{_median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"
