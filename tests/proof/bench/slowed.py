"""`python -m tests.proof.bench.slowed run`: the worker under valgrind, where everything takes much longer.

The history's periods are longer, too, so that its batches are full, as they are in a busy worker; what it needs is
imported and made before the first delivery. All else that happens by the clock stays as it is.
"""

import sys

from worker.broker import history
from worker.history import pulses, recording, teller

SLOWER = 200


def slow_down() -> None:
    recording.PERIOD_SECONDS *= SLOWER
    teller.TICK_SECONDS *= SLOWER
    pulses.PERIOD_SECONDS *= SLOWER
    history.DEPTH_SECONDS *= SLOWER


if __name__ == "__main__":
    from worker.cli import main

    slow_down()
    sys.exit(main())
