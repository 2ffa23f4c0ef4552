"""`make bench`: every figure of docs/benchmark.md, from one run on this machine, as one page of tables.

Usage: python -m tests.proof.bench [--only NAME ...] [--quick] [--out FILE] (make bench ARGS="--only latency --quick").
What is measured runs on core 0, all else on core 1; BENCH_CORE and BENCH_SERVERS_CORE name others. Every scenario
keeps a ledger: a figure appears only if each event arrived exactly once and where it should; otherwise the page says
what did not, and the exit code is 1. The page goes to stdout, progress to stderr. About two hours.
"""

import argparse
import dataclasses
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TextIO

from tests.proof.bench.backlog import backlog
from tests.proof.bench.burst import burst
from tests.proof.bench.choose import choose
from tests.proof.bench.filtered import filtered
from tests.proof.bench.history import history
from tests.proof.bench.history_query import history_query
from tests.proof.bench.instructions import instructions
from tests.proof.bench.isolation import isolation
from tests.proof.bench.latency import latency
from tests.proof.bench.ledger import LedgerError
from tests.proof.bench.machine import machine
from tests.proof.bench.memory import memory
from tests.proof.bench.order import order
from tests.proof.bench.order_instructions import order_instructions
from tests.proof.bench.order_isolation import order_isolation
from tests.proof.bench.pages import pages
from tests.proof.bench.replay import replay
from tests.proof.bench.retry_storm import retry_storm
from tests.proof.bench.rig import Rig, rig
from tests.proof.bench.scale import instances, start
from tests.proof.bench.sizes import QUICK, Sizes
from tests.proof.bench.throughput import throughput
from tests.proof.bench.visited import visited

SCENARIOS: dict[str, Callable[[Rig, Sizes], Iterator[str]]] = {
    "throughput": lambda rig, sizes: throughput(rig, rounds=sizes.rounds, count=sizes.count, size=800),
    "throughput-12k": lambda rig, sizes: throughput(rig, rounds=sizes.rounds, count=sizes.count // 2, size=12_000),
    "throughput-1m": lambda rig, sizes: throughput(rig, rounds=sizes.rounds, count=sizes.count // 40, size=1_000_000),
    "instructions": lambda rig, sizes: instructions(rig, count=sizes.count // 10),
    "filtered": lambda rig, sizes: filtered(rig, rounds=sizes.rounds, count=sizes.count * 2),
    "history": lambda rig, sizes: history(rig, rounds=sizes.rounds, count=sizes.count // 2),
    "choose": lambda rig, sizes: choose(rig, rounds=sizes.rounds, count=sizes.count),
    "replay": lambda rig, sizes: replay(rig, rounds=sizes.few_rounds, events=sizes.storm, seconds=sizes.seconds),
    "order": lambda rig, sizes: order(
        rig, rounds=sizes.rounds, few_rounds=sizes.few_rounds, count=sizes.count, seconds=sizes.seconds
    ),
    "order-isolation": lambda rig, sizes: order_isolation(
        rig, rounds=sizes.rounds, few_rounds=sizes.few_rounds, count=sizes.count, seconds=sizes.seconds
    ),
    "order-instructions": lambda rig, sizes: order_instructions(rig, count=sizes.count // 10),
    "latency": lambda rig, sizes: latency(
        rig,
        rounds=sizes.few_rounds,
        count=sizes.count,
        seconds=sizes.seconds,
        most_instances=sizes.instances,
    ),
    "visitors": lambda rig, sizes: visited(
        rig, rounds=sizes.rounds, count=sizes.count, seconds=2 * sizes.seconds, rows=sizes.history // 10
    ),
    "instances": lambda rig, sizes: instances(rig, rounds=sizes.rounds, count=sizes.count, most=sizes.instances),
    "isolation": lambda rig, sizes: isolation(rig, rounds=sizes.rounds),
    "burst": lambda rig, sizes: burst(rig, rounds=sizes.rounds),
    "backlog": lambda rig, sizes: backlog(rig, rounds=sizes.few_rounds, count=sizes.backlog),
    "retry-storm": lambda rig, sizes: retry_storm(rig, rounds=sizes.few_rounds, count=sizes.storm),
    "start": lambda rig, sizes: start(rig, rounds=sizes.rounds),
    "memory": lambda rig, sizes: memory(rig, rounds=sizes.few_rounds, held=sizes.held, instances=sizes.instances),
    "pages": lambda rig, sizes: pages(rig, rows=sizes.history, webhooks=sizes.instances),
    "history-query": lambda rig, sizes: history_query(rig, rows=sizes.history),
}


def main() -> int:
    chosen = _arguments()
    with chosen.out.open("w") if chosen.out else nullcontext(sys.stdout) as page:
        print(f"{machine()}\n", file=page)
        with rig() as ready:
            failed = [name for name in chosen.only if not _section(page, ready, name, _sizes(chosen))]
    if failed:
        print(f"not as it should be: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _section(page: TextIO, ready: Rig, name: str, sizes: Sizes) -> bool:
    """One scenario's tables; False, and the reason on the page, if its ledger does not add up or the bench failed."""
    began = time.monotonic()
    print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
    print(f"### {name}\n", file=page)
    failure: Exception | None = None
    try:
        ready.purge()
        for line in SCENARIOS[name](ready, sizes):
            print(line, file=page)
    except (LedgerError, TimeoutError, RuntimeError) as error:
        failure = error
        print(f"**Failed:** {error}", file=page)
    except Exception as fault:  # noqa: BLE001 - of the bench: an hour of other scenarios is not to be lost with it
        failure = fault
        traceback.print_exc()
        print(f"**Failed:** {fault!r}", file=page)
    print(file=page, flush=True)
    print(f"{'FAILED, ' if failure else ''}{time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return failure is None


def _arguments() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS), help="these scenarios alone")
    options.add_argument("--quick", action="store_true", help="one round of everything, small: shows that it works")
    options.add_argument("--out", type=Path, metavar="FILE", help="where the page goes, instead of stdout")
    for size in dataclasses.fields(Sizes):
        name, kind = size.name.replace("_", "-"), float if size.name == "seconds" else int
        text = f"default {size.default}, with --quick {getattr(QUICK, size.name)}"
        options.add_argument(f"--{name}", type=kind, metavar="N", help=text)
    return options.parse_args()


def _sizes(chosen: argparse.Namespace) -> Sizes:
    given = {size.name: getattr(chosen, size.name) for size in dataclasses.fields(Sizes)}
    base = QUICK if chosen.quick else Sizes()
    return dataclasses.replace(base, **{name: value for name, value in given.items() if value is not None})


if __name__ == "__main__":
    sys.exit(main())
