"""`python -m tests.proof.order.scale`: where one active replica ends, and what comes then: the tables of docs/scale.md.

    make partitions                                      # about a minute

Three tables, from the queueing model of partitions.py and the costs below: latency of one active replica as the load
grows; what bounds several, and whether the simulation agrees; what a takeover holds up. Exit code 1 if an order was
turned round, an event was left behind, or the simulation and the law do not agree.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from math import inf

from tests.proof.order.partitions import ROUTER, Costs, Design, Outage, Run, Simulation, Traffic, bounds

COSTS = Costs()
SECONDS, WARM, MOST_EVENTS = 4.0, 0.25, 40_000
"""A run lasts for so long, or until so many events have come; the first quarter of it is not counted."""

LOADS = (0.5, 0.8, 0.95)
"""Of the least bound."""

OVERLOAD = 1.1
TAKEOVER_RUN = 12.0

ONE = Design()
DESIGNS = {
    "one": ONE,
    "2 behind a router": Design(2, routed=True),
    "4 behind a router": Design(4, routed=True),
    "2, bound directly": Design(2),
    "4, bound directly": Design(4),
    "8, bound directly": Design(8),
}
ALIKE = Traffic(1.0)
TRAFFICS = {
    "1,000 instances alike": ALIKE,
    "the same, 1 event of 10 for an ordered webhook": replace(ALIKE, wanted=0.1),
    "the n-th instance sends 1/n as much": replace(ALIKE, skew=1.0),
}
Lines = Iterator[str]


class Disagreement(Exception):
    """The simulation did what it may not do."""


def main() -> int:
    deliver, route = COSTS.deliver * 1e6, COSTS.route * 1e6
    answer = COSTS.answer * 1000
    print(f"Costs: a delivery {deliver:.0f} us, an event routed {route:.0f} us, an answer {answer:.0f} ms\n")
    try:
        for table in (one_replica, several, takeovers):
            for line in table():
                print(line, flush=True)
            print()
    except Disagreement as error:
        print(f"FAILED: {error}")
        return 1
    return 0


def one_replica() -> Lines:
    least = min(bounds(ONE, ALIKE, COSTS).values())
    yield "| events/s | of the bound | p50 ms | p99 ms | the core is busy |"
    yield "| ---: | ---: | ---: | ---: | ---: |"
    for share in (0.25, 0.5, 0.75, 0.9, 0.97, OVERLOAD):
        run = simulated(ONE, ALIKE, share * least)
        late = run.latencies(WARM * run.seconds)
        waits = grows(run)
        p99 = f"{percentile(late, 99):.1f}" if share < 1 else f"{waits:,.0f} more wait each second"
        busy = min(1.0, run.busy[0])
        yield f"| {share * least:,.0f} | {share:.0%} | {percentile(late, 50):.1f} | {p99} | {busy:.0%} |"
        if (waits > 0.02 * least) != (share > 1):
            raise Disagreement(f"{share:.0%} of the bound: {waits:,.0f} more wait each second")


def several() -> Lines:
    loads = ", ".join(f"{load:.0%}" for load in LOADS)
    yield f"| events | active replicas | events/s at most | because of | p99 ms at {loads} of it |"
    yield "| --- | --- | ---: | --- | ---: |"
    for kind, traffic in TRAFFICS.items():
        for name, design in DESIGNS.items():
            who, least = min(bounds(design, traffic, COSTS).items(), key=lambda item: item[1])
            runs = [simulated(design, traffic, load * least) for load in LOADS]
            if any(grows(run) > 0.05 * least for run in runs):
                raise Disagreement(f"{kind}, {name}: more and more wait below the bound of {least:,.0f}/s")
            p99 = ", ".join(f"{percentile(run.latencies(WARM * run.seconds), 99):.0f}" for run in runs)
            yield f"| {kind} | {name} | {least:,.0f} | {who} | {p99} |"


def takeovers() -> Lines:
    yield "| active replicas | dies | load | of the events meanwhile, later than 1 s | longest wait | caught up after |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    cases: list[tuple[str, str, int | str]] = [
        ("one", "it", 0),
        ("4 behind a router", "one of them", 0),
        ("4 behind a router", "the router", ROUTER),
        ("4, bound directly", "one of them", 0),
    ]
    for name, who, core in cases:
        design = DESIGNS[name]
        least = min(bounds(design, ALIKE, COSTS).values())
        for load in (0.5, 0.8):
            outage = Outage(core, 1.0)
            run = Simulation(design, replace(ALIKE, rate=load * least), COSTS, outages=(outage,)).run(
                TAKEOVER_RUN * (1 if load < 0.6 else 2), to_the_end=True
            )
            yield f"| {name} | {who} | {load:.0%} | {_felt(run, outage)} |"


def _felt(run: Run, outage: Outage) -> str:
    if run.inverted or run.ended < len(run.events):
        raise Disagreement(f"{run.inverted} inverted, {len(run.events) - run.ended} left behind")
    late = [(event, event.posted_at) for event in run.events if event.posted_at and event.posted_at > event.at + 1]
    longest = max(posted_at - event.at for event, posted_at in late)
    after = max(posted_at for _, posted_at in late) - outage.at
    meanwhile = sum(outage.at <= event.at < outage.at + after for event in run.events)
    return f"{len(late) / meanwhile:.0%} | {longest:.1f} s | {after:.1f} s"


def simulated(design: Design, traffic: Traffic, rate: float) -> Run:
    """Raises Disagreement when an order is turned round."""
    run = Simulation(design, replace(traffic, rate=rate), COSTS).run(min(SECONDS, MOST_EVENTS / rate))
    if run.inverted:
        raise Disagreement(f"{run.inverted} events came before the one before them had ended")
    return run


def percentile(ordered: list[float], percent: float) -> float:
    """In ms; `inf` when nothing came."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000 if ordered else inf


def grows(run: Run) -> float:
    """Events a second by which what waits grows: of what came after the first quarter, what was not posted."""
    late = [event for event in run.events if event.at >= WARM * run.seconds and event.wanted]
    return sum(event.posted_at is None for event in late) / (run.seconds * (1 - WARM))


if __name__ == "__main__":
    sys.exit(main())
