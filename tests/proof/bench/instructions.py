"""Instructions a delivery, by callgrind: what a change costs, where the timings of a shared machine do not tell.

User space alone: what the kernel does for a delivery is a write and a read of a socket. Repeats within 3 %. valgrind
runs the worker fifty times slower, so that what happens by the clock (acks, heartbeats) happens more often for each
delivery than it really does: compare figures of this table with each other alone. The history's batches are slowed
down with the rest.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.proof.bench.ledger import wait_for
from tests.proof.bench.process import Process, python
from tests.proof.bench.rig import Rig
from tests.proof.bench.sampling import Posts, event
from tests.support.local_process import free_port

SLOWED = "tests.proof.bench.slow_motion"

LONGEST_SECONDS = 600.0
"""valgrind is fifty times slower."""

WARM_UP = 200
"""Deliveries before the counting begins: connections, caches, what is imported late."""

KINDS: dict[str, tuple[int, str, dict[str, str]]] = {
    "0.8 KB": (800, "worker", {}),
    "12 KB": (12_000, "worker", {}),
    "0.8 KB, HISTORY=all, written elsewhere": (800, SLOWED, {"HISTORY": "all", "HISTORY_WRITER": "false"}),
}
"""Name -> size of an event in bytes, module that runs, settings."""

CALLGRIND = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
_COLLECTED = re.compile(r"Collected : (\d+)")


def instructions(rig: Rig, *, count: int) -> Iterator[str]:
    """A Markdown table; where there is no valgrind, a sentence."""
    if shutil.which("valgrind") is None or shutil.which("callgrind_control") is None:
        yield "Not counted: valgrind is not installed."
        return
    rig.set_instances(10)
    yield f"{count} deliveries of 10 instances, everything on\n"
    yield "| events | instructions a delivery, user space |\n| --- | --- |"
    for name, (size, module, settings) in KINDS.items():
        yield f"| {name} | {counted(rig, count, size, settings, module):,.0f} |"


def counted(rig: Rig, count: int, size: int, settings: dict[str, str], module: str, warm_up: int = WARM_UP) -> float:
    """Instructions of each of `count` deliveries after `warm_up`, of `python -m MODULE run`."""
    bodies = [event(f"bench-{number % 10}", size, number) for number in range(warm_up + count)]
    rig.purge()
    rig.fill(rig.events_queue, bodies[:warm_up])
    posts = Posts(rig.nginx)
    rig.metrics_port = free_port()
    with tempfile.NamedTemporaryFile(prefix="bench-") as log:
        command = [*CALLGRIND, "--instr-atstart=no", f"--log-file={log.name}", *python("-m", module, "run")]
        with Process(command, rig.environment(PYTHONHASHSEED="0", **settings)) as worker:
            wait_for(posts.count, warm_up, "deliveries", worker, LONGEST_SECONDS)
            worker.wait_idle()
            _switch(worker, "on")
            rig.queues.publish(rig.events_queue, bodies[warm_up:])
            wait_for(posts.count, warm_up + count, "deliveries", worker, LONGEST_SECONDS)
            _switch(worker, "off")
        rig.check_left()
        posts.check(warm_up + count)
        return collected(Path(log.name)) / count


def collected(log: Path) -> int:
    """Instructions, from what valgrind wrote. Raises RuntimeError."""
    found = _COLLECTED.search(log.read_text())
    if found is None:
        raise RuntimeError("valgrind counted nothing")
    return int(found[1])


def _switch(worker: Process, instrumentation: str) -> None:
    command = ["callgrind_control", f"--instr={instrumentation}", str(worker.pid)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
