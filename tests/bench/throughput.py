"""Throughput and CPU: the worker with everything on, against what people would use instead, in turns."""

from collections.abc import Iterator

from tests.bench.peers import BARE_LOOP, peers
from tests.bench.rig import Rig, Sample, event, measure, median

WORKER = "webhook-worker, all features on"


def throughput(rig: Rig, *, rounds: int, count: int, size: int) -> Iterator[str]:
    """`rounds` rounds of `count` events of `size` bytes from ten instances; a Markdown table."""
    rig.set_instances(10)
    commands = peers(rig.broker.uri, rig.nginx.url("/hook"))
    bodies = [event(f"bench-{number % 10}", size, number) for number in range(count)]
    samples: dict[str, list[Sample]] = {WORKER: [], **{name: [] for name in commands}}
    for _ in range(rounds):
        rig.fill(rig.events_queue, bodies)
        with rig.worker() as worker:
            samples[WORKER].append(measure(worker, rig.nginx, count))
        for name, command in commands.items():
            rig.fill("peers", bodies)
            with rig.peer(command) as peer:
                samples[name].append(measure(peer, rig.nginx, count))
    yield f"**{size / 1000:g} KB events**, {rounds} rounds of {count}, 10 instances, one core\n"
    yield from _table(samples)


def _table(samples: dict[str, list[Sample]]) -> Iterator[str]:
    base = median(samples[BARE_LOOP])
    yield "| program | deliveries/s (min-max) | CPU us a delivery (min-max) | peak MiB | CPU: bare loop = 1 |"
    yield "| --- | --- | --- | --- | --- |"
    for name, rounds in samples.items():
        middle = median(rounds)
        yield (
            f"| {name} | {middle.rate:.0f} ({_spread(rounds, 'rate')}) | {middle.cpu:.0f} ({_spread(rounds, 'cpu')}) "
            f"| {middle.memory:.0f} | {middle.cpu / base.cpu:.2f} |"
        )


def _spread(rounds: list[Sample], figure: str) -> str:
    values = [getattr(sample, figure) for sample in rounds]
    return f"{min(values):.0f}-{max(values):.0f}"
