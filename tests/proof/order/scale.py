"""`python -m tests.proof.order.scale`: where one active replica ends, and what comes then: the tables of docs/scale.md.

    make partitions                                      # two minutes
    .venv/bin/python -m tests.proof.order.scale --deliver 200 --answer 100     # with your own costs, in us and ms

Three tables, from the queueing model of partitions.py: latency of one active replica as the load grows; what bounds
several, and whether the simulation agrees; what a takeover holds up. Exit code 1 if an order was turned round, an event
was left behind, or the simulation and the law do not agree.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from math import inf

from tests.proof.order.partitions import ROUTER, Costs, Design, Outage, Run, Simulation, Traffic, bounds

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
    costs = _costs(Costs())
    deliver, route, answer = costs.deliver * 1e6, costs.route * 1e6, costs.answer * 1000
    print(f"Costs: a delivery {deliver:.0f} us, an event routed {route:.0f} us, an answer {answer:.0f} ms\n")
    try:
        for table in (one_replica, several, takeovers):
            for line in table(costs):
                print(line, flush=True)
            print()
    except Disagreement as error:
        print(f"FAILED: {error}")
        return 1
    return 0


def _costs(usual: Costs) -> Costs:
    options = argparse.ArgumentParser(prog="tests.proof.order.scale", description="Several active replicas, simulated.")
    options.add_argument("--deliver", type=float, default=usual.deliver * 1e6, help="us of a core for a delivery")
    options.add_argument("--skip", type=float, default=usual.skip * 1e6, help="us for an event that nobody wants")
    options.add_argument("--route", type=float, default=usual.route * 1e6, help="us for an event that is routed")
    options.add_argument("--answer", type=float, default=usual.answer * 1e3, help="ms until a receiver's answer")
    given = options.parse_args()
    times = given.deliver / (usual.deliver * 1e6)
    return Costs(
        take=usual.take * times,
        post=usual.post * times,
        settle=usual.settle * times,
        skip=given.skip / 1e6,
        route=given.route / 1e6,
        answer=given.answer / 1e3,
    )


def one_replica(costs: Costs) -> Lines:
    least = min(bounds(ONE, ALIKE, costs).values())
    yield "| events/s | of the bound | p50 ms | p99 ms | the core is busy |"
    yield "| ---: | ---: | ---: | ---: | ---: |"
    for share in (0.25, 0.5, 0.75, 0.9, 0.97, OVERLOAD):
        run = simulated(ONE, ALIKE, costs, share * least)
        late = run.latencies(WARM * run.seconds)
        waits = grows(run)
        p99 = f"{percentile(late, 99):.1f}" if share < 1 else f"{waits:,.0f} more wait each second"
        busy = min(1.0, run.busy[0])
        yield f"| {share * least:,.0f} | {share:.0%} | {percentile(late, 50):.1f} | {p99} | {busy:.0%} |"
        if (waits > 0.02 * least) != (share > 1):
            raise Disagreement(f"{share:.0%} of the bound: {waits:,.0f} more wait each second")


def several(costs: Costs) -> Lines:
    loads = ", ".join(f"{load:.0%}" for load in LOADS)
    yield f"| events | active replicas | events/s at most | because of | p99 ms at {loads} of it |"
    yield "| --- | --- | ---: | --- | ---: |"
    for kind, traffic in TRAFFICS.items():
        for name, design in DESIGNS.items():
            who, least = min(bounds(design, traffic, costs).items(), key=lambda item: item[1])
            runs = [simulated(design, traffic, costs, load * least) for load in LOADS]
            if any(grows(run) > 0.05 * least for run in runs):
                raise Disagreement(f"{kind}, {name}: more and more wait below the bound of {least:,.0f}/s")
            p99 = ", ".join(f"{percentile(run.latencies(WARM * run.seconds), 99):.0f}" for run in runs)
            yield f"| {kind} | {name} | {least:,.0f} | {who} | {p99} |"


def takeovers(costs: Costs) -> Lines:
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
        least = min(bounds(design, ALIKE, costs).values())
        for load in (0.5, 0.8):
            outage, seconds = Outage(core, 1.0), TAKEOVER_RUN * (1 if load < 0.6 else 2)
            made = Simulation(design, replace(ALIKE, rate=load * least), costs, outages=(outage,))
            yield f"| {name} | {who} | {load:.0%} | {_felt(made.run(seconds, to_the_end=True), outage)} |"


def _felt(run: Run, outage: Outage) -> str:
    if run.inverted or run.ended < len(run.events):
        raise Disagreement(f"{run.inverted} inverted, {len(run.events) - run.ended} left behind")
    late = [(event, event.posted_at) for event in run.events if event.posted_at and event.posted_at > event.at + 1]
    longest = max(posted_at - event.at for event, posted_at in late)
    after = max(posted_at for _, posted_at in late) - outage.at
    meanwhile = sum(outage.at <= event.at < outage.at + after for event in run.events)
    return f"{len(late) / meanwhile:.0%} | {longest:.1f} s | {after:.1f} s"


def simulated(design: Design, traffic: Traffic, costs: Costs, rate: float) -> Run:
    """Raises Disagreement when an order is turned round."""
    run = Simulation(design, replace(traffic, rate=rate), costs).run(min(SECONDS, MOST_EVENTS / rate))
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
