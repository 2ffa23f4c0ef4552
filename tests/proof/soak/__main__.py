"""A worker under steady load whose connections are cut again and again: does it stay flat, and is nothing lost?

    make soak                                            # ten minutes
    .venv/bin/python -m tests.proof.soak --minutes 60 --rate 300 --every 5

RabbitMQ, the worker and the receiver are real. Memory, asyncio tasks and file descriptors are read from /metrics
each second; the medians of the second and the last fifth are compared (verdict.py), and the ledger of `make chaos`
is drawn up at the end. Exit codes: 0 flat and all kept, 1 not, 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Iterator
from statistics import median

from tests.proof.soak.run import Load, Report, run
from tests.proof.soak.verdict import changes
from tests.support.local_broker import LocalBroker

SHORTEST_MINUTES = 0.5
"""Below, a fifth has too few samples to mean anything."""


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.basicConfig(handlers=[logging.NullHandler()])  # what client libraries log of broken connections
    load = _load()
    print(
        f"{load.seconds:g} s, {load.rate} events/s, a disturbance every {load.every:g} s, seed {load.seed}", flush=True
    )
    try:
        with LocalBroker() as broker:
            report = asyncio.run(run(load, broker))
    except KeyboardInterrupt:
        return 130
    print("\n".join(table(report)))
    return int(bool(report.problems) or not all(change.flat for change in changes(report.samples)))


def _load() -> Load:
    parser = argparse.ArgumentParser(
        prog="tests.proof.soak", description="A worker under load and reconnects: is it flat?"
    )
    parser.add_argument("--minutes", type=float, default=10, help=f"how long (10; {SHORTEST_MINUTES} at least)")
    parser.add_argument("--rate", type=int, default=100, help="events a second (100)")
    parser.add_argument("--every", type=float, default=15, help="seconds between two disturbances (15)")
    parser.add_argument("--seed", type=int, default=0, help="of events and disturbances (0)")
    found = parser.parse_args()
    if found.minutes < SHORTEST_MINUTES or found.rate < 1 or found.every <= 0:
        parser.error(f"--minutes must be {SHORTEST_MINUTES} or more, --rate 1 or more, --every above 0")
    return Load(found.minutes * 60, found.rate, found.every, seed=found.seed)


def table(report: Report) -> Iterator[str]:
    """Markdown."""
    yield ""
    yield "| medians | 1st fifth | 2nd | 3rd | 4th | last | 2nd to last, allowed | highest | |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
    for change in changes(report.samples):
        fifths = " | ".join(f"{value:.1f}" for value in change.fifths)
        rise = f"{change.fifths[-1] - change.fifths[1]:+.1f}, +{change.bound.most:g}"
        verdict = "flat" if change.flat else "GROWS"
        yield f"| {change.bound.name} | {fifths} | {rise} | {change.highest:.1f} | {verdict} |"
    yield ""
    connections = [sample.connections for sample in report.samples]
    found = f"{median(connections):g} in median, {max(connections):g} at most"
    yield f"Connections to the receiver, in use or kept for the next POST: {found}."
    figures = report.figures
    yield (
        f"{figures.events} confirmed events, {figures.delivered} delivered, {figures.dead} dead letters, "
        f"{figures.skipped} skipped, {figures.repeats} repeats with the same id; "
        f"{len(report.problems)} violations; {report.reconnects} connections made anew after "
        f"{report.disturbances.total()} disturbances:"
    )
    yield from (f"- {count} x {name}" for name, count in sorted(report.disturbances.items()))
    yield from (f"VIOLATED {problem}" for problem in report.problems)


if __name__ == "__main__":
    sys.exit(main())
