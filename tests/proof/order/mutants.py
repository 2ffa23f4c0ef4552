"""The state machine, broken on purpose: each of these faults must be seen by its tests.

`python -m tests.proof.order mutants`. Each is made in a copy of the worker, over which tests/ordered run.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]
TESTS = ("machine", "walks", "sidings", "line", "role", "room")


class Mutant(NamedTuple):
    """`line` of worker/ordered/`file` reads `instead`."""

    what: str
    file: str
    line: str
    instead: str


MUTANTS = (
    Mutant("two attempts of one key", "key.py", "not self.busy and now", "now"),
    Mutant("no backoff", "key.py", "self.not_before = now + min(", "self.not_before = 0 * min("),
    Mutant("a failing event is given up whatever others do", "line.py", "or other is None:", "or True:"),
    Mutant("a failing event is never given up", "key.py", "return now - self.answered_since >=", "return now < 0 <="),
    Mutant(
        "forgets an attempt that is under way when its endpoint moves",
        "key.py",
        "            self.detached = self.head\n",
        "            self.busy = False\n            self.detached = self.head\n",
    ),
    Mutant(
        "attempts the copy of what ended while its endpoint moved",
        "moving.py",
        "                siding.again.add(stamp.serial)\n",
        "                pass\n",
    ),
    Mutant("sides the newest first", "moving.py", "item = line.appending.popleft()", "item = line.appending.pop()"),
    Mutant(
        "acks what is in the siding before all that came before it is",
        "siding.py",
        "while self.unconfirmed and self.unconfirmed[0][0] in self.confirmed:",
        "while self.unconfirmed:",
    ),
    Mutant(
        "repeats no failed publish",
        "moving.py",
        "                self._side_again(line, now)\n\n    def close",
        "                pass\n\n    def close",
    ),
    Mutant(
        "closes a siding that is not empty",
        "moving.py",
        "return siding.read_through and siding.stage is Stage.USED and not outstanding",
        "return siding.stage is Stage.USED",
    ),
    Mutant(
        "reads a siding that was not read through as empty",
        "reading.py",
        "        if siding.stage is Stage.ASKED:\n",
        "        if siding.stage in (Stage.ASKED, Stage.LABELLED):\n",
    ),
    Mutant("takes what was published too late", "reading.py", "or stamp.use != siding.use or", "or"),
    Mutant("acts without a lease", "lease.py", "return now < self.until", "return True"),
    Mutant("does not wait for the lease before", "role.py", ">= TAKEOVER_SECONDS", ">= 0"),
    Mutant(
        "acts before all sidings have answered", "core.py", "State.ASKING and self._reading.answered:", "State.ASKING:"
    ),
    Mutant(
        "attempts the queue's events beside those of a siding",
        "reading.py",
        "            line.empty_keys()\n            line.appending = deque(line.fresh)\n",
        "            line.appending = deque(line.fresh)\n",
    ),
    Mutant(
        "stays active when another one is",
        "role.py",
        "elif announcement.taking_over or self.state is ACTIVE:",
        "elif False:",
    ),
    Mutant(
        "leaves what waited while a siding closed",
        "moving.py",
        "        for item in line.fresh:\n            line.feed(item)\n",
        "",
    ),
    Mutant(
        "one that fails holds all other chats",
        "line.py",
        "key is not self.suspect and key.ready(now)",
        "self.suspect is None and not self.under_way and key.ready(now)",
    ),
)


def caught(mutant: Mutant, folder: Path) -> bool:
    """Raises ValueError if the source has changed, so that this is a fault no more."""
    found = next((folder / "worker" / "ordered").rglob(mutant.file))
    source = found.read_text()
    if source.count(mutant.line) != 1:
        raise ValueError(f"{mutant.file} has {source.count(mutant.line)} times {mutant.line!r}")
    found.write_text(source.replace(mutant.line, mutant.instead))
    try:
        tests = [f"tests/ordered/test_{name}.py" for name in TESTS]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 1
    finally:
        found.write_text(source)


def main() -> int:
    missed = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name)
        for part in ("worker", "tests"):
            shutil.copytree(ROOT / part, folder / part)
        shutil.copy(ROOT / "pyproject.toml", folder)
        for mutant in MUTANTS:
            began = time.monotonic()
            seen = caught(mutant, folder)
            missed += [] if seen else [mutant]
            print(f"{mutant.what:62} {'caught' if seen else 'MISSED'} {time.monotonic() - began:5.0f} s", flush=True)
    return 1 if missed else 0
