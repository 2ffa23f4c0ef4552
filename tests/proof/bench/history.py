"""What history costs a delivery: off, failures alone, all with the writer apart, and with the writer in the process.

The whole worker is timed with each, side by side; that says what an operator gets, within the noise of the machine. The
verdict is on history's own part, which is measured by itself: recording.py settles deliveries with and without it,
writing.py writes its rows. That repeats on a machine that others use, and is what the budgets are about.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from tests.proof.bench.instructions import collected
from tests.proof.bench.ledger import wait_for
from tests.proof.bench.process import python
from tests.proof.bench.rig import Rig, verdict
from tests.proof.bench.sampling import Posts, event, spread
from tests.proof.bench.writing import batches
from tests.support.postgres import Postgres
from worker.history.recording import MOST_ROWS

OFF = "off"
AGAIN = "off, once more"
APART = "all, the writer apart"
BOTH = "all, the writer in the process (PostgreSQL)"
BOTH_IN_A_FILE = "all, the writer in the process (SQLite)"
LONGEST_SECONDS = 120.0
UNSEEN = 0.01
"""Of a delivery's price without history: what `failures` may cost a delivery that succeeds."""


_POSTGRESQL = "a new database"
"""Stands for its URI."""


@dataclass(frozen=True, slots=True)
class Kind:
    """`recorded`: recording.py's name of it. `budget`: microseconds a delivery; None: UNSEEN."""

    settings: dict[str, str]
    recorded: str
    budget: float | None = None


KINDS = {
    OFF: Kind({"HISTORY": "off"}, "off"),
    AGAIN: Kind({"HISTORY": "off"}, "off"),
    "failures": Kind({"HISTORY": "failures"}, "failures"),
    APART: Kind({"HISTORY": "all", "HISTORY_WRITER": "false"}, "all", 4),
    BOTH: Kind({"HISTORY": "all", "HISTORY_DATABASE_URI": _POSTGRESQL}, "all", 10),
    BOTH_IN_A_FILE: Kind({"HISTORY": "all"}, "all", 10),
}


@dataclass(frozen=True, slots=True)
class Price:
    """Of a delivery, or a row: microseconds of CPU, the least of some runs, and instructions (0: not counted)."""

    us: float
    instructions: float = 0.0

    def __add__(self, other: "Price") -> "Price":
        return Price(self.us + other.us, self.instructions + other.instructions)

    def __sub__(self, other: "Price") -> "Price":
        return Price(self.us - other.us, self.instructions - other.instructions)


WARM_UP = 500


def history(rig: Rig, *, rounds: int, count: int) -> Iterator[str]:
    """0.8 KB, all delivered at once: `rounds` of `count` events timed, in turns."""
    rig.set_instances(10)
    timed: dict[str, list[float]] = {name: [] for name in KINDS}
    with Postgres() as server:
        for turn in range(rounds):
            for name, kind in KINDS.items():
                settings = dict(kind.settings)
                if settings.get("HISTORY_DATABASE_URI") == _POSTGRESQL:
                    settings["HISTORY_DATABASE_URI"] = server.create_database(f"timed_{turn}")
                timed[name].append(_timed(rig, count, settings))
        prices = own_prices(rig.folder, server, rounds)
    yield f"**0.8 KB events**, 10 instances, one core; {rounds} rounds of {count}\n"
    yield from table(timed, prices)


def table(timed: dict[str, list[float]], prices: dict[str, Price]) -> Iterator[str]:
    """`timed`: CPU microseconds a delivery of the whole worker, of each round; `prices`: of history alone."""
    yield "| HISTORY | CPU us a delivery (min-max) | off = 1 | history's own, us | instructions | may cost, us | |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | --- |"
    off = median(timed[OFF])
    for name, kind in KINDS.items():
        price, budget = prices[name], off * UNSEEN if kind.budget is None else kind.budget
        figures = [f"{median(timed[name]) / off:.2f}", f"{price.us:.1f}", f"{price.instructions:,.0f}", f"{budget:.1f}"]
        yield f"| {name} | {' | '.join([spread(timed[name], 1), *figures, verdict(price.us <= budget)])} |"
    yield "\nThe second row is the noise of the first column."


def own_prices(folder: Path, server: Postgres, rounds: int) -> dict[str, Price]:
    """Of each kind, above that of `off`; the writer's by writing.py, in a new database or file."""
    recorded = {
        kind: _least(rounds, lambda count, kind=kind: _recording(kind, count), 4 * MOST_ROWS, 40 * MOST_ROWS)
        for kind in sorted({each.recorded for each in KINDS.values()})
    }
    prices = {name: recorded[kind.recorded] - recorded["off"] for name, kind in KINDS.items()}
    (folder / "batches").write_bytes(b"\n".join(batches(40)))
    for name, new in ((BOTH, lambda number: server.create_database(f"written_{number}")),
                      (BOTH_IN_A_FILE, lambda number: f"sqlite:///{folder}/written-{number}.db")):  # fmt: skip
        prices[name] += _least(rounds, partial(_writing, folder, new), 10 * MOST_ROWS, 40 * MOST_ROWS)
    return prices


def _recording(kind: str, count: int) -> Sequence[str]:
    return python("-m", "tests.proof.bench.recording", kind, str(count))


def _writing(folder: Path, new: Callable[[int], str], count: int) -> Sequence[str]:
    uri = new(time.monotonic_ns())
    return python("-m", "tests.proof.bench.writing", uri, str(folder / "batches"), str(count // MOST_ROWS))


def _least(rounds: int, program: Callable[[int], Sequence[str]], few: int, many: int) -> Price:
    """By how much a run of `many` costs more than one of `few`, each."""
    times = [min(_cpu(program(count)) for _ in range(rounds)) for count in (few, many)]
    counted = [_instructions(program(count)) for count in (few, 2 * few)]
    return Price((times[1] - times[0]) / (many - few), (counted[1] - counted[0]) / few)


def _cpu(program: Sequence[str]) -> float:
    return float(subprocess.run(program, check=True, capture_output=True, text=True).stdout)


def _instructions(program: Sequence[str]) -> int:
    """0: valgrind is not installed."""
    if shutil.which("valgrind") is None:
        return 0
    with tempfile.NamedTemporaryFile(prefix="bench-") as log:
        valgrind = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log.name}")
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        subprocess.run([*valgrind, *program], check=True, capture_output=True, env=environment)
        return collected(Path(log.name))


def _timed(rig: Rig, count: int, settings: dict[str, str]) -> float:
    """CPU microseconds a delivery, its history included to its end: sent, or written."""
    with rig.worker(**settings) as worker:
        posts = Posts(rig.nginx)
        rig.queues.publish(rig.events_queue, [event(f"bench-{number % 10}", 800, number) for number in range(WARM_UP)])
        wait_for(posts.count, WARM_UP, "deliveries", worker, LONGEST_SECONDS)
        worker.wait_idle()
        bodies = [event(f"bench-{number % 10}", 800, WARM_UP + number) for number in range(count)]
        cpu = worker.cpu_seconds
        rig.queues.publish(rig.events_queue, bodies)
        wait_for(posts.count, WARM_UP + count, "deliveries", worker, LONGEST_SECONDS)
        worker.wait_idle()
        used = worker.cpu_seconds - cpu
    rig.check_left()
    posts.check(WARM_UP + count)
    return used / count * 1e6
