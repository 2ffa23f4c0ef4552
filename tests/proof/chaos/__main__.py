"""The ledger under faults: is anything lost, misdirected or repeated under another id, whatever goes wrong?

    make chaos                                           # 50 seeds, about 25 minutes
    .venv/bin/python -m tests.proof.chaos --seed 7             # that seed alone
    .venv/bin/python -m tests.proof.chaos --seeds 10 --seconds 300

Two workers deliver to a receiver that writes the ledger, while faults happen that the seed decides (plan.py,
faults/). One line a seed, its violations below it; at the end a table in Markdown. Exit codes: 0 all kept, 1 a
violation, 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import time
from contextlib import ExitStack

from tests.proof.chaos import report as tables
from tests.proof.chaos.plan import plan
from tests.proof.chaos.run import Report, run
from tests.support.local_broker import LocalBroker
from tests.support.postgres import Postgres


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.basicConfig(handlers=[logging.NullHandler()])  # what client libraries log of broken connections
    try:
        reports = _run_all(_arguments())
    except KeyboardInterrupt:
        return 130
    print("\n".join(tables.summary(reports)))
    return int(any(report.problems for report in reports))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.proof.chaos", description="The ledger under faults.")
    parser.add_argument("--seeds", type=int, help="how many, from --seed on (50; with --seed alone: 1)")
    parser.add_argument("--seed", type=int, help="the first one (0)")
    parser.add_argument("--seconds", type=float, default=5400, help="begin no seed after so long (5400)")
    found = parser.parse_args()
    found.seeds = found.seeds or (50 if found.seed is None else 1)
    return found


def _run_all(arguments: argparse.Namespace) -> list[Report]:
    began, reports = time.monotonic(), []
    first = arguments.seed or 0
    print(tables.heading(), flush=True)
    with ExitStack() as stack:
        broker = stack.enter_context(LocalBroker())
        postgres: Postgres | None = None
        for seed in range(first, first + arguments.seeds):
            chosen = plan(seed)
            if chosen.postgresql and postgres is None:
                postgres = stack.enter_context(Postgres())
            report = asyncio.run(run(chosen, broker, postgres if chosen.postgresql else None))
            reports.append(report)
            print("\n".join([tables.line(report), *tables.details(report)]), flush=True)
            if time.monotonic() - began > arguments.seconds:
                print(f"--seconds {arguments.seconds:g} are over after {len(reports)} of {arguments.seeds} seeds")
                break
    return reports


if __name__ == "__main__":
    sys.exit(main())
