"""What the turns with bad endpoints had, against those with none bad, in a table."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from tests.bench.offered import Trend, Watched
from tests.bench.rig import verdict
from tests.bench.sampling import spread

LEAST_THROUGHPUT, MOST_TIMES, MOST_MORE_MS = 0.95, 1.2, 10.0


@dataclass(frozen=True, slots=True)
class Saturated:
    """Healthy deliveries a second over their share of the backlog, how many times that is what the turns with none bad
    beside it had, and CPU us for each of them, all that the bad ones cost included."""

    rate: float
    times: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Offered:
    """Healthy deliveries a second over their share of what was offered; latencies in ms, `inf` for what never came."""

    rate: float
    p50: float
    p99: float
    watched: Watched


def table(saturated: Mapping[str, list[Saturated]], offered: Mapping[str, list[Offered]], base: str) -> Iterator[str]:
    """Of each kind of bad endpoints; `base` is the one with none bad."""
    yield "| bad endpoints | deliveries/s, saturated | times; 0.95 or more | CPU us | deliveries/s, offered | times |"
    yield "| --- " * 6 + "|"
    for kind, closed in saturated.items():
        yield f"| {kind} | {' | '.join(_throughput(closed, offered[kind], offered[base]))} |"
    yield "\nLatency and steadiness at the offered pace:\n"
    yield (
        "| bad endpoints | p50 ms | p99 ms | 1.2 times or 10 ms more at most | un-acked, first to last third (most) "
        "| MiB | servers' core |"
    )
    yield "| --- " * 7 + "|"
    for kind, own in offered.items():
        yield f"| {kind} | {' | '.join(_latency(own, offered[base]))} |"


def _throughput(closed: list[Saturated], own: list[Offered], base: list[Offered]) -> Iterator[str]:
    times = [turn.times for turn in closed]
    yield spread([turn.rate for turn in closed], 0)
    yield f"{spread(times, 2)} {verdict(median(times) >= LEAST_THROUGHPUT)}"
    yield spread([turn.cpu for turn in closed], 0)
    ratio = median([turn.rate for turn in own]) / median([turn.rate for turn in base])
    yield spread([turn.rate for turn in own], 0)
    yield f"{ratio:.2f} {verdict(ratio >= LEAST_THROUGHPUT)}"


def _latency(own: list[Offered], base: list[Offered]) -> Iterator[str]:
    p99, base_p99 = median([turn.p99 for turn in own]), median([turn.p99 for turn in base])
    within = p99 <= MOST_TIMES * base_p99 or p99 <= base_p99 + MOST_MORE_MS
    watched = [turn.watched for turn in own]
    yield f"{median([turn.p50 for turn in own]):.1f}"
    yield spread([turn.p99 for turn in own], 1)
    yield f"{p99 / base_p99:.2f}, {p99 - base_p99:+.1f} ms {verdict(within)}"
    yield unacked(_middle([one.unacked for one in watched]))
    yield memory(_middle([one.memory for one in watched]))
    yield f"{median([one.servers for one in watched]):.0%}"


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
