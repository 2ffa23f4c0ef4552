"""The worker with beats, ticks, a lease, a patience and the history's pauses fifty times as long: as long under
valgrind as without it.

python -m tests.proof.bench.slow_motion run
"""

import sys

from worker.broker import cutter
from worker.broker.ordered import bound
from worker.history import recording
from worker.ordered.deciding import rules

TIMES = 50

SLOWED = {
    rules: ("BEAT_SECONDS", "TICK_SECONDS", "LEASE_SECONDS", "LEASE_PATIENCE_SECONDS", "HEAD_SECONDS", "SLOW_SECONDS"),
    bound: ("LOOK_SECONDS",),
    cutter: ("ALIVE_SECONDS",),
    recording: ("PERIOD_SECONDS",),
}
"""What happens by the clock, of a connection or of the ordered side: else it would count fifty times as much."""

for module, names in SLOWED.items():
    for name in names:
        setattr(module, name, getattr(module, name) * TIMES)

if __name__ == "__main__":
    from worker.cli import main  # after the rules are changed, which it imports by name

    sys.exit(main())
