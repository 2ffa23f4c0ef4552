"""Dead receivers of ordered webhooks: what the other ordered ones have of them, and the unordered ones."""

from collections.abc import Iterator, Sequence
from functools import partial
from statistics import median

from tests.proof.bench.ledger import Arrival, Receiver, check, percentile, rate, wait_for
from tests.proof.bench.ordering import in_order, said, worker_in_order
from tests.proof.bench.process import Process
from tests.proof.bench.rig import Rig, verdict
from tests.proof.bench.sampling import spread
from tests.support.local_process import free_port

ENDPOINTS, BAD = 200, 20
CHATS = 2 * ENDPOINTS
LEAST_THROUGHPUT, MOST_MORE_MS = 0.95, 10.0
PACE = 0.3
"""Of the throughput of a first turn with none dead."""

EARLIER = 4_000
"""Events that come first, and are not counted: by them the dead ones are known."""

KNOWN_SECONDS = 60.0
"""Until each dead one has its siding."""

IMPATIENT = {"WORKER_DRAIN_SECONDS": "0.1"}
NONE = "none"
HANG, REFUSE, BROKEN = "20 accept and never answer", "20 refuse connections", "20 answer 500"


def order_isolation(rig: Rig, *, rounds: int, count: int, seconds: float) -> Iterator[str]:
    """Each kind of dead ones stands between two turns with none."""
    with Receiver() as receiver:
        kinds = _kinds(receiver)
        pace = round(PACE * _flood(rig, receiver, kinds[NONE], count))
        yield f"**Ordered, {BAD} of {ENDPOINTS} receivers dead**, {rounds} rounds; offered: {pace} events a second\n"
        yield "| dead | deliveries/s, saturated | times; 0.95 or more | p50 ms | p99 ms, offered | at most 10 ms more |"
        yield "| --- | --- | --- | --- | --- | --- |"
        yield from _beside(rig, receiver, kinds, rounds, count, pace, seconds)
        yield f"\n**Unordered ones beside {BAD} ordered ones**, {pace} events a second for all of them:\n"
        yield "| of the ordered ones | p50 ms | p99 ms | |\n| --- | --- | --- | --- |"
        yield from _unordered(rig, receiver, kinds, rounds, pace, seconds)


def _kinds(receiver: Receiver) -> dict[str, list[str]]:
    healthy = [receiver.url("ok", number) for number in range(ENDPOINTS)]
    dead = {
        HANG: receiver.url("hang", 0),
        REFUSE: f"http://127.0.0.1:{free_port()}/",
        BROKEN: receiver.url("broken", 0),
    }
    return {NONE: healthy, **{kind: [url] * BAD + healthy[BAD:] for kind, url in dead.items()}}


def _beside(
    rig: Rig, receiver: Receiver, kinds: dict[str, list[str]], rounds: int, count: int, pace: int, seconds: float
) -> Iterator[str]:
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    late: dict[str, list[list[float]]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        rates[NONE].append(_flood(rig, receiver, kinds[NONE], count))
        late[NONE].append(_offered(rig, receiver, kinds[NONE], pace, seconds))
        for kind in list(kinds)[1:]:
            before = rates[NONE][-1]
            rates[kind].append(_flood(rig, receiver, kinds[kind], count))
            late[kind].append(_offered(rig, receiver, kinds[kind], pace, seconds))
            rates[NONE].append(_flood(rig, receiver, kinds[NONE], count))
            times[kind].append(2 * rates[kind][-1] / (before + rates[NONE][-1]))
            times[NONE].append(rates[NONE][-1] / before)
    base = median(percentile(one, 99) for one in late[NONE])
    for kind in kinds:
        yield _row(kind, rates[kind], times[kind], late[kind], None if kind == NONE else base)


def _row(kind: str, rates: list[float], times: list[float], late: list[list[float]], base: float | None) -> str:
    p50, p99 = ([percentile(one, share) for one in late] for share in (50, 99))
    judged = more = ""
    if base is not None:
        judged, more = f" {verdict(median(times) >= LEAST_THROUGHPUT)}", _more(median(p99), base)
    return f"| {kind} | {spread(rates)} | {spread(times, 2)}{judged} | {spread(p50, 1)} | {spread(p99, 1)} | {more} |"


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
    base = median(percentile(one, 99) for one in found[NONE])
    for kind, turns in found.items():
        p50, p99 = ([percentile(one, share) for one in turns] for share in (50, 99))
        more = "" if kind == NONE else _more(median(p99), base)
        yield f"| {'none is dead' if kind == NONE else kind} | {spread(p50, 1)} | {spread(p99, 1)} | {more} |"


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
    total = EARLIER + int(pace * seconds)
    known, all_of_it = _wanted(urls, EARLIER), _wanted(urls, total)
    with worker_in_order(rig, urls, "chat", orders, **IMPATIENT) as worker:
        _publish(rig, range(EARLIER))
        receiver.wait_for(len(known), worker)
        _wait_known(rig, worker, urls)
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
    return sorted(one.latency_ms for one in arrivals if one.number >= EARLIER and one.endpoint >= first)


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
