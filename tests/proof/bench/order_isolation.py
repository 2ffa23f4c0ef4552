"""Dead receivers of ordered webhooks: what the other ordered ones have of them, and the unordered ones.

Saturated (closed loop) is measured as isolation.py does: the healthy endpoints are nginx, and the worker finds a
backlog, so that it is the bottleneck. It has found them dead before, and was started again. In a flood all is published
at once to a worker that is there: what is full then is the core that RabbitMQ shares with publisher and receivers,
which the events of the dead ones, published once more, take from the rest. That is shown and not judged.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import median

from tests.proof.bench.isolation_table import LEAST_THROUGHPUT, MOST_MORE_MS, Drained, Saturated, in_turns
from tests.proof.bench.ledger import Arrival, Receiver, check, percentile, rate, wait_for
from tests.proof.bench.ordering import active_worker, in_order, ordered_queue, queues_in_order, said, worker_in_order
from tests.proof.bench.process import SERVERS_CORE, CoreUse, Process, busy
from tests.proof.bench.rig import Rig, verdict
from tests.proof.bench.sampling import WARM_SECONDS, Posts, measure, spread
from tests.support.local_process import free_port

ENDPOINTS, BAD = 200, 20
CHATS = 2 * ENDPOINTS
PACE = 0.2
"""Of the throughput of a first turn with none dead: with 0.3 the core of RabbitMQ, publisher and receivers is nine
tenths full, and p99 tells of that."""

EARLIER = 4_000
"""Events that come first, and are not counted: by them the dead ones are known."""

KNOWN_SECONDS = 60.0
"""Until each dead one has its siding."""

IMPATIENT = {"WORKER_DRAIN_SECONDS": "0.1"}
NONE = "none"
HANG, REFUSE, BROKEN = "20 accept and never answer", "20 refuse connections", "20 answer 500"


def order_isolation(rig: Rig, *, rounds: int, few_rounds: int, count: int, seconds: float) -> Iterator[str]:
    """Markdown tables. What is judged by milliseconds gets more rounds."""
    with Receiver() as receiver:
        kinds = _kinds(partial(receiver.url, "ok"), receiver)
        pace = round(PACE * _flood(rig, receiver, kinds[NONE], count))
        yield f"**Ordered, {BAD} of {ENDPOINTS} receivers dead**, {few_rounds} rounds\n"
        yield "| dead | deliveries/s, saturated | times; 0.95 or more | servers' core | times, in a flood |"
        yield "| --- | --- | --- | --- | --- |"
        yield from _throughput(rig, receiver, kinds, few_rounds, count)
        yield f"\nOffered {pace} events a second, {rounds} rounds:\n"
        yield "| dead | p50 ms | p99 ms | at most 10 ms more |\n| --- | --- | --- | --- |"
        yield from _latency(rig, receiver, kinds, rounds, pace, seconds)
        yield f"\n**Unordered ones beside {BAD} ordered ones**, {pace} events a second for all of them:\n"
        yield "| of the ordered ones | p50 ms | p99 ms | |\n| --- | --- | --- | --- |"
        yield from _unordered(rig, receiver, kinds, rounds, pace, seconds)


def _kinds(healthy: Callable[[int], str], receiver: Receiver) -> dict[str, list[str]]:
    """`healthy`: the URL of the n-th of those."""
    urls = [healthy(number) for number in range(ENDPOINTS)]
    dead = {
        HANG: receiver.url("hang", 0),
        REFUSE: f"http://127.0.0.1:{free_port()}/",
        BROKEN: receiver.url("broken", 0),
    }
    return {NONE: urls, **{kind: [url] * BAD + urls[BAD:] for kind, url in dead.items()}}


def _throughput(rig: Rig, receiver: Receiver, kinds: dict[str, list[str]], rounds: int, count: int) -> Iterator[str]:
    """Floods are shown by one round."""
    of_nginx = _kinds(lambda number: rig.nginx.url(f"/ok/{number}"), receiver)
    saturated: dict[str, list[Saturated]] = {kind: [] for kind in kinds}
    flooded: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, turn, before, after in in_turns(kinds, lambda kind: _drained(rig, of_nginx[kind], 2 * count)):
            saturated[kind].append(turn.beside(before, after))
    for kind, own, earlier, later in in_turns(kinds, lambda kind: _flood(rig, receiver, kinds[kind], count)):
        flooded[kind].append(2 * own / (earlier + later))
    for kind, turns in saturated.items():
        times = [turn.times for turn in turns]
        judged = "" if kind == NONE else f" {verdict(median(times) >= LEAST_THROUGHPUT)}"
        yield (
            f"| {kind} | {spread([turn.rate for turn in turns])} | {spread(times, 2)}{judged} "
            f"| {busy(median(turn.servers for turn in turns))} | {spread(flooded[kind], 2)} |"
        )


def _latency(
    rig: Rig, receiver: Receiver, kinds: dict[str, list[str]], rounds: int, pace: int, seconds: float
) -> Iterator[str]:
    late: dict[str, list[list[float]]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, turns in late.items():
            turns.append(_offered(rig, receiver, kinds[kind], pace, seconds))
    yield from _late_rows(late)


def _late_rows(late: dict[str, list[list[float]]], none: str = NONE) -> Iterator[str]:
    base = median(percentile(turn, 99) for turn in late[NONE])
    for kind, turns in late.items():
        p50, p99 = ([percentile(turn, share) for turn in turns] for share in (50, 99))
        more = "" if kind == NONE else _more(median(p99), base)
        yield f"| {none if kind == NONE else kind} | {spread(p50, 1)} | {spread(p99, 1)} | {more} |"


def _more(p99: float, base: float) -> str:
    return f"{p99 - base:+.1f} {verdict(p99 <= base + MOST_MORE_MS)}"


def _unordered(
    rig: Rig, receiver: Receiver, kinds: dict[str, list[str]], rounds: int, pace: int, seconds: float
) -> Iterator[str]:
    """The first BAD are ordered."""
    orders = ["chat"] * BAD + [""] * (ENDPOINTS - BAD)
    found: dict[str, list[list[float]]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, turns in found.items():
            turns.append(_offered(rig, receiver, kinds[kind], pace, seconds, orders))
    yield from _late_rows(found, "none is dead")


def _drained(rig: Rig, urls: Sequence[str], count: int) -> Drained:
    """The worker finds a backlog, and which receivers are dead: in their sidings."""
    known, all_of_it = len(_wanted(urls, EARLIER)), len(_wanted(urls, EARLIER + count))
    with queues_in_order(rig, urls, "chat"):
        posts = Posts(rig.nginx)
        with active_worker(rig, "chat", **IMPATIENT) as worker:
            _publish(rig, range(EARLIER))
            wait_for(posts.count, known, "deliveries arrived", worker, KNOWN_SECONDS)
            _wait_known(rig, worker, urls)
        _publish(rig, range(EARLIER, EARLIER + count))
        rig.queues.wait_depth(ordered_queue(rig), count, more=True)  # a last tick of the worker may lie there, too
        posts, healthy = Posts(rig.nginx), all_of_it - known
        with rig.worker(ORDER="true", **IMPATIENT) as worker:
            wait_for(posts.count, healthy // 10, "deliveries began", worker, KNOWN_SECONDS)
            servers = CoreUse(SERVERS_CORE)
            sample = measure(worker, posts, healthy * 9 // 10, warm_up=healthy // 10)
            share = servers.share
            wait_for(posts.count, healthy, "deliveries arrived", worker, KNOWN_SECONDS)
        posts.check(healthy)
    return Drained(sample.rate * count / healthy, sample.cpu, share)


def _flood(rig: Rig, receiver: Receiver, urls: Sequence[str], count: int) -> float:
    """Deliveries a second to healthy ones over their share, all events published at once."""
    known, all_of_it = _wanted(urls, EARLIER), _wanted(urls, EARLIER + count)
    with worker_in_order(rig, urls, "chat", **IMPATIENT) as worker:
        _publish(rig, range(EARLIER))
        receiver.wait_for(len(known), worker)
        _wait_known(rig, worker, urls)
        _publish(rig, range(EARLIER, EARLIER + count))
        receiver.wait_for(len(all_of_it), worker)
        arrivals = _noted(receiver, all_of_it)
    in_order(arrivals, CHATS)
    return rate(arrivals[len(known) :]) * count / (len(all_of_it) - len(known))


def _offered(
    rig: Rig, receiver: Receiver, urls: Sequence[str], pace: int, seconds: float, orders: Sequence[str] | None = None
) -> list[float]:
    """Latencies in ms of healthy ones, ascending: of the unordered ones alone if there are `orders`."""
    first_counted, total = EARLIER + int(pace * WARM_SECONDS), EARLIER + int(pace * (WARM_SECONDS + seconds))
    known, all_of_it = _wanted(urls, EARLIER), _wanted(urls, total)
    with worker_in_order(rig, urls, "chat", orders, **IMPATIENT) as worker:
        _publish(rig, range(EARLIER))
        receiver.wait_for(len(known), worker)
        _wait_known(rig, worker, urls)
        rig.broker.begin_new_log()
        rig.queues.pace(
            rig.exchange,
            "messages.upsert",
            lambda number, sent: _event(EARLIER + number, sent),
            rate=pace,
            until=lambda number: EARLIER + number >= total,
        )
        receiver.wait_for(len(all_of_it), worker)
        arrivals = _noted(receiver, all_of_it)
    in_order((one for one in arrivals if not orders or orders[one.endpoint]), CHATS)
    first = BAD if orders else 0
    return sorted(one.latency_ms for one in arrivals if one.number >= first_counted and one.endpoint >= first)


def _wait_known(rig: Rig, worker: Process, urls: Sequence[str]) -> None:
    dead = sum(1 for number, url in enumerate(urls) if not url.endswith(f"/ok/{number}"))
    sidings = partial(rig.metric, "webhook_worker_ordered_sidings")
    wait_for(sidings, dead, "dead receivers have their siding", worker, KNOWN_SECONDS)


def _noted(receiver: Receiver, wanted: list[int]) -> list[Arrival]:
    arrivals = receiver.noted()
    check(arrivals, wanted, lambda number: number % ENDPOINTS)
    return arrivals


def _wanted(urls: Sequence[str], total: int) -> list[int]:
    """The numbers of the events that are for healthy ones."""
    return [number for number in range(total) if urls[number % ENDPOINTS].endswith(f"/ok/{number % ENDPOINTS}")]


def _publish(rig: Rig, numbers: range) -> None:
    rig.queues.publish_to(rig.exchange, "messages.upsert", (_event(number, 0.0) for number in numbers))


def _event(number: int, sent: float) -> bytes:
    return said(number, sent, ENDPOINTS, CHATS)
