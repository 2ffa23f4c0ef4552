"""What the outage came to: latency before, while and after, and what became of the history's rows. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from tests.proof.bench.ledger import Arrival, percentile
from tests.proof.bench.rig import verdict
from tests.proof.bench.sampling import spread

SLICE_SECONDS = 10.0
"""A phase's p99 is that of each of its slices, so that its noise can be seen."""

BEFORE, STOPPED, AFTER = "before", "while it is stopped", "after"


@dataclass(frozen=True, slots=True)
class Phases:
    """Seconds of the monotonic clock: from `began` on events count, the database goes, is back, and the load ends."""

    began: float
    gone: float
    back: float
    ended: float

    def of(self, sent: float) -> str | None:
        """None: outside of all of them."""
        if not self.began <= sent < self.ended:
            return None
        return BEFORE if sent < self.gone else STOPPED if sent < self.back else AFTER


@dataclass(frozen=True, slots=True)
class Rows:
    """Of the history: `made` by the worker, `kept` in the database, `counted` as lost."""

    made: int
    kept: int
    counted: int

    @property
    def accounted(self) -> bool:
        return self.made == self.kept + self.counted


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds: of all of a phase, and the p99 of each of its slices."""

    all: list[float]
    slices: list[float]


def latencies(arrivals: Sequence[Arrival], phases: Phases) -> dict[str, Latency]:
    """By phase, in their order; a slice that the phase's end cuts short counts if it has half its length."""
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    starts = {BEFORE: phases.began, STOPPED: phases.gone, AFTER: phases.back}
    ends = {BEFORE: phases.gone, STOPPED: phases.back, AFTER: phases.ended}
    for arrival in arrivals:
        phase = phases.of(arrival.sent)
        if phase is not None:
            found[phase][int((arrival.sent - starts[phase]) / SLICE_SECONDS)].append(arrival.latency_ms)
    return {phase: _latency(found[phase], ends[phase] - starts[phase]) for phase in starts if found[phase]}


def _latency(slices: dict[int, list[float]], seconds: float) -> Latency:
    whole = [each for number, each in slices.items() if seconds - number * SLICE_SECONDS >= SLICE_SECONDS / 2]
    everything = sorted(value for each in slices.values() for value in each)
    return Latency(everything, [percentile(sorted(each), 99) for each in whole or [everything]])


def unchanged(found: dict[str, Latency]) -> bool:
    """While the database is stopped, and afterwards, p99 is within the noise that it had before: the median slice is
    no slower than the slowest one with the database."""
    worst = max(found[BEFORE].slices)
    return all(median(found[phase].slices) <= worst for phase in (STOPPED, AFTER))


def lines(found: dict[str, Latency], rows: Rows, deliveries: int) -> Iterator[str]:
    yield "| the database | events | p50 ms | p99 ms of ten seconds (min-max) | most ms |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for phase, one in found.items():
        p50 = f"{percentile(one.all, 50):.1f}"
        yield f"| {phase} | {len(one.all):,} | {p50} | {spread(one.slices, 1)} | {one.all[-1]:.0f} |"
    yield ""
    yield "| | |\n| --- | --- |"
    yield f"| {deliveries:,} events, each arrived once and where it should | pass |"
    yield f"| the median p99 stays within that of before | {verdict(unchanged(found))} |"
    counts = f"{rows.made:,} rows made, {rows.kept:,} in the database, {rows.counted:,} counted as lost"
    yield f"| {counts} | {verdict(rows.accounted and rows.made == deliveries)} |"
