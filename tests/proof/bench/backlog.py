"""A backlog that built up while nobody consumed: how long until it is delivered."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from tests.proof.bench.ledger import Receiver, check, rate
from tests.proof.bench.peers import BARE_LOOP, bare_loop
from tests.proof.bench.process import SERVERS_CORE, CoreUse, Process
from tests.proof.bench.rig import PEERS, Rig
from tests.proof.bench.sampling import event, spread
from tests.proof.bench.throughput import WORKER

INSTANCES = 10


@dataclass(frozen=True, slots=True)
class Drain:
    """Seconds from the process's start to the last delivery; deliveries a second in the middle of it; CPU
    microseconds a delivery, start included; peak memory in MiB; how busy the servers' core was."""

    seconds: float
    rate: float
    cpu: float
    memory: float
    servers: float


def backlog(rig: Rig, *, rounds: int, count: int) -> Iterator[str]:
    """The worker and the bare loop in turns, each with `count` events that wait before it starts."""
    drains: dict[str, list[Drain]] = {WORKER: [], BARE_LOOP: []}
    with Receiver() as receiver:
        for _ in range(rounds):
            drains[WORKER].append(_worker(rig, receiver, count))
            drains[BARE_LOOP].append(_bare_loop(rig, receiver, count))
    yield f"{count:,} events of 0.8 KB, {INSTANCES} instances, {rounds} rounds, median (min-max)\n"
    yield "| program | drained after s | bare loop = 1 | deliveries/s | CPU us a delivery | peak MiB | servers' core |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    base = median(one.seconds for one in drains[BARE_LOOP])
    for name, found in drains.items():
        seconds = [one.seconds for one in found]
        yield (
            f"| {name} | {spread(seconds, 1)} | {median(seconds) / base:.2f} | {spread([one.rate for one in found])} "
            f"| {spread([one.cpu for one in found])} | {max(one.memory for one in found):.0f} "
            f"| {max(one.servers for one in found):.0%} |"
        )


def _worker(rig: Rig, receiver: Receiver, count: int) -> Drain:
    rig.set_webhooks({f"bench-{number}": receiver.url("ok", number) for number in range(INSTANCES)})
    rig.fill(rig.events_queue, map(_event, range(count)))
    with rig.worker() as worker:
        drain = _drained(receiver, worker, count, INSTANCES)
    rig.check_left()
    return drain


def _bare_loop(rig: Rig, receiver: Receiver, count: int) -> Drain:
    rig.purge()
    rig.fill(PEERS, map(_event, range(count)))
    with rig.peer(bare_loop(rig.broker.uri, receiver.url("ok", 0))) as peer:
        return _drained(receiver, peer, count, 1)


def _drained(receiver: Receiver, process: Process, count: int, endpoints: int) -> Drain:
    servers = CoreUse(SERVERS_CORE)
    receiver.wait_for(count, process, limit=600)
    share, cpu, memory = servers.share, process.cpu_seconds, process.peak_mib
    arrivals = receiver.noted()
    check(arrivals, range(count), lambda number: number % endpoints)
    return Drain(arrivals[-1].arrived - process.started, rate(arrivals), cpu / count * 1e6, memory, share)


def _event(number: int) -> bytes:
    return event(f"bench-{number % INSTANCES}", 800, number)
