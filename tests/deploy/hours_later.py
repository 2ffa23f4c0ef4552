"""`python -m tests.deploy.hours_later run`: the worker, whose monotonic clock can be put forward.

By how many seconds stands in the file HOURS_LATER_FILE. So an age of hours is reached at once, and thresholds stay
as they are shipped. The event loop and the measure of its lag keep the right clock: hours that pass at once are no lag.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from worker.telemetry import lag


def put_forward(file: Path) -> None:
    """Replaces `time.monotonic` in this process, before the composition root reads it."""
    right = time.monotonic
    lag.time = SimpleNamespace(monotonic=right)

    def later() -> float:
        return right() + float(file.read_text())

    time.monotonic = later


if __name__ == "__main__":
    put_forward(Path(os.environ.pop("HOURS_LATER_FILE")))
    from worker.cli import main

    sys.exit(main())
