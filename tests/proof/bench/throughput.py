"""Throughput and CPU: the worker with everything on, against what people would use instead, in turns."""

from collections.abc import Iterator

from tests.proof.bench.peers import BARE_LOOP, NODE_SIGNING, peers
from tests.proof.bench.rig import PEERS, Rig
from tests.proof.bench.sampling import Posts, Sample, event, measure, median, spread

WORKER = "webhook-worker, all features on"


def throughput(rig: Rig, *, rounds: int, count: int, size: int) -> Iterator[str]:
    """`rounds` rounds of `count` events of `size` bytes from ten instances; a Markdown table."""
    rig.set_instances(10)
    commands = peers(rig.broker.uri, rig.nginx.url("/hook"))
    bodies = [event(f"bench-{number % 10}", size, number) for number in range(count)]
    samples: dict[str, list[Sample]] = {WORKER: [], **{name: [] for name in commands}}
    for _ in range(rounds):
        samples[WORKER].append(_worker(rig, bodies))
        for name, command in commands.items():
            samples[name].append(_peer(rig, command, bodies))
    yield f"**{size / 1000:g} KB events**, {rounds} rounds of {count}, 10 instances, one core\n"
    yield from _table(samples)


def _worker(rig: Rig, bodies: list[bytes]) -> Sample:
    rig.fill(rig.events_queue, bodies)
    posts = Posts(rig.nginx)
    with rig.worker() as worker:
        sample = measure(worker, posts, len(bodies))
    rig.check_left()
    posts.check(len(bodies))
    return sample


def _peer(rig: Rig, command: list[str], bodies: list[bytes]) -> Sample:
    """They are ended when the last POST has come, whether they have acked it or not: hence the purge."""
    rig.purge()
    rig.fill(PEERS, bodies)
    posts = Posts(rig.nginx)
    with rig.peer(command) as peer:
        sample = measure(peer, posts, len(bodies))
    posts.check(len(bodies))
    return sample


def _table(samples: dict[str, list[Sample]]) -> Iterator[str]:
    bases = [name for name in (BARE_LOOP, NODE_SIGNING) if name in samples]
    headings = "".join(f" | CPU: {base} = 1" for base in bases)
    yield f"| program | deliveries/s (min-max) | CPU us a delivery (min-max) | peak MiB{headings} |"
    yield f"| --- | --- | --- | ---{' | ---' * len(bases)} |"
    for name, rounds in samples.items():
        middle = median(rounds)
        yield (
            f"| {name} | {spread([one.rate for one in rounds])} | {spread([one.cpu for one in rounds])} "
            f"| {middle.memory:.0f}{''.join(f' | {middle.cpu / median(samples[base]).cpu:.2f}' for base in bases)} |"
        )
