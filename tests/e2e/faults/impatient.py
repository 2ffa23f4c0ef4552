"""`python -m tests.e2e.faults.impatient run`: the worker, patient with a nacking queue for three seconds, not thirty.

Everything else is as it is shipped; the patience itself, and how it doubles, is tested in tests/broker.
"""

from __future__ import annotations

import sys

from worker.broker.publishing import rejecting_queues

if __name__ == "__main__":
    rejecting_queues.PATIENCE_SECONDS = 3.0
    from worker.cli import main

    sys.exit(main())
