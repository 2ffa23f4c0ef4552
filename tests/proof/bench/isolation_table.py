"""What the turns with bad endpoints had, against those with none bad, in a table."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from tests.proof.bench.offered import Trend, Watched
from tests.proof.bench.process import busy
from tests.proof.bench.queues import LATE_SECONDS
from tests.proof.bench.rig import verdict
from tests.proof.bench.sampling import spread

T = TypeVar("T")

LEAST_THROUGHPUT, MOST_TIMES, MOST_MORE_MS = 0.95, 1.2, 10.0


@dataclass(frozen=True, slots=True)
class Saturated:
    """Healthy deliveries a second over their share of the backlog, how many times that is what the turns with none bad
    beside it had, CPU us for each of them, all that the bad ones cost included, and how busy the servers' core was."""

    rate: float
    times: float
    cpu: float
    servers: float


@dataclass(frozen=True, slots=True)
class Drained:
    """One turn by itself, as in Saturated."""

    rate: float
    cpu: float
    servers: float

    def beside(self, before: "Drained", after: "Drained") -> Saturated:
        """Judged by two turns with none bad."""
        return Saturated(self.rate, 2 * self.rate / (before.rate + after.rate), self.cpu, self.servers)


def in_turns(kinds: Iterable[str], take: Callable[[str], T]) -> Iterator[tuple[str, T, T, T]]:
    """Takes a turn of each kind between two of the first, the one with none bad: the kind, its turn, the one before and
    the one after. Those of the first are told as well, beside their neighbours of the same kind: the noise."""
    none, *others = kinds
    without = [take(none)]
    for kind in others:
        own = take(kind)
        without.append(take(none))
        yield kind, own, without[-2], without[-1]
    for before, own, after in zip(without, without[1:], without[2:], strict=False):
        yield none, own, before, after


@dataclass(frozen=True, slots=True)
class Offered:
    """Healthy deliveries a second over their share of what was offered; latencies in ms, `inf` for what never came."""

    rate: float
    p50: float
    p99: float
    watched: Watched


def table(saturated: Mapping[str, list[Saturated]], offered: Mapping[str, list[Offered]], base: str) -> Iterator[str]:
    """Of each kind of bad endpoints; `base` is the one with none bad."""
    yield (
        "| bad endpoints | deliveries/s, saturated | times; 0.95 or more | CPU us | servers' core "
        "| deliveries/s, offered | times; 0.95 or more |"
    )
    yield "| --- " * 7 + "|"
    for kind, closed in saturated.items():
        cells = _throughput(closed, offered[kind], None if kind == base else offered[base])
        yield f"| {kind} | {' | '.join(cells)} |"
    yield "\nLatency and steadiness at the offered pace:\n"
    yield (
        "| bad endpoints | p50 ms | p99 ms | 1.2 times or 10 ms more at most | un-acked, first to last third (most) "
        "| MiB | servers' core |"
    )
    yield "| --- " * 7 + "|"
    for kind, own in offered.items():
        yield f"| {kind} | {' | '.join(_latency(own, None if kind == base else offered[base]))} |"
    late = max(one.watched.late for own in offered.values() for one in own)
    if late > LATE_SECONDS:
        yield f"\nThe publisher was behind its pace by up to {late * 1000:.0f} ms, which is in no latency."


def _throughput(closed: list[Saturated], own: list[Offered], base: list[Offered] | None) -> Iterator[str]:
    """`base` None: it is the base itself, and not judged."""
    times = [turn.times for turn in closed]
    yield spread([turn.rate for turn in closed], 0)
    yield spread(times, 2) + ("" if base is None else f" {verdict(median(times) >= LEAST_THROUGHPUT)}")
    yield spread([turn.cpu for turn in closed], 0)
    yield busy(median([turn.servers for turn in closed]))
    yield spread([turn.rate for turn in own], 0)
    yield "" if base is None else _offered_times(own, base)


def _offered_times(own: list[Offered], base: list[Offered]) -> str:
    times = median([turn.rate for turn in own]) / median([turn.rate for turn in base])
    return f"{times:.2f} {verdict(times >= LEAST_THROUGHPUT)}"


def _latency(own: list[Offered], base: list[Offered] | None) -> Iterator[str]:
    watched = [turn.watched for turn in own]
    yield f"{median([turn.p50 for turn in own]):.1f}"
    yield spread([turn.p99 for turn in own], 1)
    yield "" if base is None else _more(median([turn.p99 for turn in own]), median([turn.p99 for turn in base]))
    yield unacked(_middle([one.unacked for one in watched]))
    yield memory(_middle([one.memory for one in watched]))
    yield busy(median([one.servers for one in watched]))


def _more(p99: float, base: float) -> str:
    within = p99 <= MOST_TIMES * base or p99 <= base + MOST_MORE_MS
    return f"{p99 / base:.2f}, {p99 - base:+.1f} ms {verdict(within)}"


def unacked(trend: Trend) -> str:
    """First to last third (most), and whether that is flat."""
    flat = trend.last <= max(1.2 * trend.first, trend.first + 20)
    return f"{trend.first:.0f} to {trend.last:.0f} ({trend.most:.0f}) {verdict(flat)}"


def memory(trend: Trend) -> str:
    """As `unacked`, in MiB."""
    return f"{trend.first:.0f} to {trend.last:.0f} ({trend.most:.0f}) {verdict(trend.last <= 1.05 * trend.first)}"


def _middle(trends: list[Trend]) -> Trend:
    return Trend(
        median([trend.first for trend in trends]),
        median([trend.last for trend in trends]),
        max(trend.most for trend in trends),
    )
