"""`python -m tests.support.quick_replays ARGUMENTS`: the worker, whose replays wait a fraction as long.

For a job to be there, for the history to show what became of an event, for the lease of a process that died. How long
those are in earnest is for worker/replay to say and for tests/proof/replay to try.
"""

from __future__ import annotations

import sys

from worker.cli import main
from worker.process import replaying
from worker.replay import leased, reader, runner

QUICK_REPLAYS = (sys.executable, "-m", "tests.support.quick_replays")

WAITS = {
    "LEASE_SECONDS": 4.0,
    "MARGIN_SECONDS": 2.0,
    "RENEW_SECONDS": 1.0,
    "SETTLE_SECONDS": 0.5,
    "LOOK_SECONDS": 0.1,
}
MODULES = (leased, reader, runner, replaying)


def shorten() -> None:
    """Raises AssertionError where the worker has no such wait."""
    for name, seconds in WAITS.items():
        waiting = [module for module in MODULES if hasattr(module, name)]
        assert waiting, f"no replay waits for {name}"
        for module in waiting:
            setattr(module, name, seconds)


if __name__ == "__main__":
    shorten()
    sys.exit(main())
