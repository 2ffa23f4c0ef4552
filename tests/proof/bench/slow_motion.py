"""The worker with ticks, a lease and a patience fifty times as long: as long under valgrind as without it.

python -m tests.proof.bench.slow_motion run
"""

import sys

from worker.ordered.deciding import rules

TIMES = 50

for name in ("BEAT_SECONDS", "TICK_SECONDS", "LEASE_SECONDS", "LEASE_PATIENCE_SECONDS", "HEAD_SECONDS", "SLOW_SECONDS"):
    setattr(rules, name, getattr(rules, name) * TIMES)

if __name__ == "__main__":
    from worker.cli import main  # after the rules are changed, which it imports by name

    sys.exit(main())
