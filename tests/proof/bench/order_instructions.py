"""Instructions a delivery of ordered webhooks, against unordered ones: what order costs, however busy the machine is.

Where there is an order, each event is taken twice. What the active replica does by the clock is slowed down as much as
valgrind slows the rest (slow_motion.py).
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.proof.bench.ledger import LedgerError
from tests.proof.bench.ordering import CHATS, INSTANCES, ORDERS, said, worker_in_order
from tests.proof.bench.process import Process, python
from tests.proof.bench.rig import Rig, verdict
from tests.proof.bench.sampling import Posts

MOST_TIMES = 1.3
"""Of what a delivery costs where nothing is in order; of time and of instructions alike."""

WARM_UP = 400
AT_ONCE = 200
"""Events that are published together. Of more than half of the prefetch those that wait for two seconds move into
sidings, which they do under valgrind alone."""

RESTS_AT = 0.3
"""Of a core: with so little to do, the worker has handled all that it took."""


def order_instructions(rig: Rig, *, count: int) -> Iterator[str]:
    """A Markdown table; where there is no valgrind, a sentence."""
    if shutil.which("valgrind") is None or shutil.which("callgrind_control") is None:
        yield "Not counted: valgrind is not installed."
        return
    yield f"{count} events of 0.8 KB, {CHATS} chats of {INSTANCES} instances; by callgrind, in user space:\n"
    yield "| order | instructions a delivery | no order = 1 |\n| --- | --- | --- |"
    base = 0.0
    for name, kind in ORDERS.items():
        found = counted(rig, kind, count)
        base = base or found
        judged = f" {verdict(found / base <= MOST_TIMES)} ({MOST_TIMES} at most)" if kind == "chat" else ""
        yield f"| {name} | {found:,.0f} | {found / base:.2f}{judged} |"


def counted(rig: Rig, kind: str | None, count: int) -> float:
    """Instructions of each of `count` deliveries."""
    posts = Posts(rig.nginx)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        out = Path(folder, "out")
        under = ("valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}", "-q")
        command = [*under, *python("-m", "tests.proof.bench.slow_motion", "run")]
        uri = f"{rig.broker.uri}?heartbeat=100"
        urls = [rig.nginx.url("/hook")] * INSTANCES
        with worker_in_order(rig, urls, kind, command=command, RABBITMQ_URI=uri, PYTHONHASHSEED="0") as worker:
            _deliver(rig, worker, posts, range(WARM_UP))
            _control(worker, "--instr=on")
            _deliver(rig, worker, posts, range(WARM_UP, WARM_UP + count))
            _control(worker, "--dump")
            worker.kill()  # a drain would take minutes
        posts.check(WARM_UP + count)
        return _total(Path(f"{out}.1")) / count


def _deliver(rig: Rig, worker: Process, posts: Posts, numbers: range, limit: float = 600.0) -> None:
    """Until they are delivered and the worker rests."""
    deadline = time.monotonic() + limit
    for first in range(numbers.start, numbers.stop, AT_ONCE):
        part = range(first, min(first + AT_ONCE, numbers.stop))
        rig.queues.publish_to(rig.exchange, "messages.upsert", (said(number) for number in part))
        while posts.count() < part.stop:
            worker.check_running()
            if time.monotonic() > deadline:
                raise LedgerError(f"not all of {numbers.stop} deliveries within {limit:.0f} s")
            time.sleep(0.05)
    before = 0.0
    while (used := worker.cpu_seconds) - before > RESTS_AT:
        before = used
        time.sleep(1.0)


def _control(worker: Process, what: str) -> None:
    command = ["callgrind_control", what, str(worker.pid)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _total(dump: Path) -> int:
    """Instructions."""
    return next(
        int(line.split()[1]) for line in dump.read_text().splitlines() if line.startswith(("totals:", "summary:"))
    )
