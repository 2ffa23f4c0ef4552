"""What history costs a delivery: off, failures alone, all with the writer apart, all with the writer in the process.

Judged by instructions, which repeat within a hundredth where timings of a shared machine differ by a tenth. They become
microseconds at the price that one has without history: its CPU time by its instructions. The writer in the process is
counted by itself, in a new file.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from tests.proof.bench.instructions import CALLGRIND, collected, counted
from tests.proof.bench.ledger import LedgerError
from tests.proof.bench.process import Process, python
from tests.proof.bench.rig import Rig, verdict
from tests.proof.bench.sampling import Posts, event, spread
from tests.proof.bench.writing import TOGETHER, batches
from worker.history.recording import MOST_ROWS

OFF, AGAIN = "off", "off, once more"
NOISE = 0.01
"""Of the instructions of `off`: two runs of it must be so close."""


@dataclass(frozen=True, slots=True)
class Kind:
    """`budget`: microseconds of CPU that it may cost a delivery; None: none may be seen."""

    settings: dict[str, str]
    budget: float | None = None


APART = "all, the writer apart"
BOTH = "all, the writer in the process (SQLite)"
KINDS = {
    OFF: Kind({"HISTORY": "off"}),
    AGAIN: Kind({"HISTORY": "off"}),
    "failures": Kind({"HISTORY": "failures"}),
    APART: Kind({"HISTORY": "all", "HISTORY_WRITER": "false"}, 4),
    BOTH: Kind({"HISTORY": "all"}, 10),
}

WARM_UP = 500
CALM_SECONDS = 1.0
CALM_SHARE = 0.05
"""Of the core: a worker that uses less has imported and made what it needs, its database too (0.4 s of CPU once)."""


def history(rig: Rig, *, rounds: int, count: int, instructions: int) -> Iterator[str]:
    """0.8 KB, all delivered at once: `rounds` of `count` events timed, in turns, and `instructions` events counted."""
    rig.set_instances(10)
    timed: dict[str, list[float]] = {name: [] for name in KINDS}
    for _ in range(rounds):
        for name, kind in KINDS.items():
            timed[name].append(_timed(rig, count, kind.settings))
    yield f"**0.8 KB events**, 10 instances, one core; {rounds} rounds of {count} timed, {instructions} counted\n"
    if shutil.which("valgrind") is None:
        yield "Instructions are not counted: valgrind is not installed.\n"
        found = dict.fromkeys(KINDS, 0.0)
    else:
        found = {name: _counted(rig, instructions, kind.settings) for name, kind in KINDS.items() if name != BOTH}
        found[BOTH] = found[APART] + _written(rig)
    yield from table(timed, found)


def table(timed: dict[str, list[float]], counted: dict[str, float]) -> Iterator[str]:
    """`timed`: CPU microseconds a delivery, of each round; `counted`: instructions a delivery, 0: not counted."""
    yield "| HISTORY | CPU us a delivery (min-max) | instructions | off = 1 | us more, by instructions | may cost | |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | --- |"
    off = counted[OFF]
    for name, kind in KINDS.items():
        cells = [spread(timed[name], 1), "", "", "", "" if kind.budget is None else f"{kind.budget:g}", ""]
        if off:
            more = counted[name] / off - 1
            us = more * median(timed[OFF])
            holds = abs(more) <= NOISE if kind.budget is None else us <= kind.budget
            cells = [cells[0], f"{counted[name]:,.0f}", f"{1 + more:.3f}", f"{us:.1f}", cells[4], verdict(holds)]
        yield f"| {name} | {' | '.join(cells)} |"
    yield "\nThe second row is the noise of this table."


def _timed(rig: Rig, count: int, settings: dict[str, str]) -> float:
    """CPU microseconds a delivery, its history included to its end: sent, or written."""
    with rig.worker(**settings) as worker:
        posts = Posts(rig.nginx)
        rig.queues.publish(rig.events_queue, [event(f"bench-{number % 10}", 800, number) for number in range(WARM_UP)])
        _wait(worker, posts, WARM_UP)
        _calm(worker)
        bodies = [event(f"bench-{number % 10}", 800, WARM_UP + number) for number in range(count)]
        cpu = worker.cpu_seconds
        rig.queues.publish(rig.events_queue, bodies)
        _wait(worker, posts, WARM_UP + count)
        _calm(worker)
        used = worker.cpu_seconds - cpu
    rig.check_left()
    posts.check(WARM_UP + count)
    return used / count * 1e6


def _wait(worker: Process, posts: Posts, count: int, limit: float = 120.0) -> None:
    deadline = time.monotonic() + limit
    while (seen := posts.count()) < count:
        worker.check_running()
        if time.monotonic() > deadline:
            raise LedgerError(f"only {seen} of {count} deliveries within {limit:.0f} s")
        time.sleep(0.05)


def _calm(worker: Process, limit: float = 60.0) -> None:
    """Until nothing is left to do: neither to deliver nor to write."""
    deadline, used = time.monotonic() + limit, 1.0
    while used > CALM_SHARE * CALM_SECONDS:
        if time.monotonic() > deadline:
            raise LedgerError(f"the worker was not idle within {limit:.0f} s")
        before = worker.cpu_seconds
        time.sleep(CALM_SECONDS)
        used = worker.cpu_seconds - before


def _counted(rig: Rig, count: int, settings: dict[str, str]) -> float:
    """Batches are full and sent when the last event is: `count` is as many whole ones as it has."""
    whole = max(1, count // MOST_ROWS) * MOST_ROWS
    return counted(rig, whole, 800, settings, "tests.proof.bench.slowed", warm_up=MOST_ROWS)


def _written(rig: Rig) -> float:
    """Instructions of a row, by the writer: all that it does but for taking the batch from RabbitMQ."""
    bodies, few, many = rig.folder / "batches", TOGETHER, 5 * TOGETHER
    bodies.write_bytes(b"\n".join(batches(many)))

    def run(count: int) -> int:
        log, database = rig.folder / f"valgrind-{count}", rig.folder / f"written-{count}.db"
        program = python("-m", "tests.proof.bench.writing", str(database), str(bodies), str(count))
        subprocess.run([*CALLGRIND, f"--log-file={log}", *program], check=True)
        return collected(log)

    return (run(many) - run(few)) / ((many - few) * MOST_ROWS)
