"""`python -m tests.proof.chaos.skewed_clock run`: the worker, with a wall clock that can be made to jump.

The seconds by which `time.time` is wrong stand in the file CHAOS_CLOCK_FILE. libfaketime would need a package,
and skew the monotonic clock too, which no administrator and no NTP can.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path


def skew(file: Path) -> None:
    """Replaces `time.time` in this process, before the worker's modules are imported."""
    right = time.time

    def wrong() -> float:
        try:
            return right() + float(file.read_text())
        except (FileNotFoundError, ValueError):  # not written yet, or being written
            return right()

    time.time = wrong


if __name__ == "__main__":
    skew(Path(os.environ.pop("CHAOS_CLOCK_FILE")))
    from worker.cli import main

    sys.exit(main())
