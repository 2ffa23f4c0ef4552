"""What history costs a delivery: off, failures alone, all with the writer apart, all with the writer in the process."""

from collections.abc import Iterator

from tests.proof.bench.rig import Rig
from tests.proof.bench.sampling import Posts, Sample, event, measure, median, spread

OFF = "off"
KINDS: dict[str, dict[str, str]] = {
    OFF: {"HISTORY": "off"},
    "off, once more": {"HISTORY": "off"},
    "failures": {"HISTORY": "failures"},
    "all, the writer apart": {"HISTORY": "all", "HISTORY_WRITER": "false"},
    "all, the writer in the process (SQLite)": {"HISTORY": "all"},
}


def history(rig: Rig, *, rounds: int, count: int) -> Iterator[str]:
    """Each kind in turns; 0.8 KB, all delivered at once."""
    rig.set_instances(10)
    bodies = [event(f"bench-{number % 10}", 800, number) for number in range(count)]
    samples: dict[str, list[Sample]] = {name: [] for name in KINDS}
    for _ in range(rounds):
        for name, settings in KINDS.items():
            samples[name].append(_delivered(rig, bodies, settings))
    yield f"**0.8 KB events**, {rounds} rounds of {count}, 10 instances, one core\n"
    yield "| HISTORY | deliveries/s (min-max) | CPU us a delivery (min-max) | off = 1 |\n| --- | --- | --- | --- |"
    for name, taken in samples.items():
        share = median(taken).cpu / median(samples[OFF]).cpu
        rates, costs = spread([one.rate for one in taken]), spread([one.cpu for one in taken])
        yield f"| {name} | {rates} | {costs} | {share:.2f} |"
    yield "\nThe second row is the noise of this table."


def _delivered(rig: Rig, bodies: list[bytes], settings: dict[str, str]) -> Sample:
    rig.purge()
    rig.fill(rig.events_queue, bodies)
    posts = Posts(rig.nginx)
    with rig.worker(**settings) as worker:
        sample = measure(worker, posts, len(bodies))
    rig.check_left()
    posts.check(len(bodies))
    return sample
