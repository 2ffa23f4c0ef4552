"""`python -m tests.proof.order [WALKS]`: thousands of random walks of the ordered side, and of sabotaged ones.

`python -m tests.proof.order mutants`: the state machine, broken on purpose, under its own tests.
`python -m tests.proof.order crashes [WHICH]`: real replicas that are killed, stopped and cut off.
`python -m tests.proof.order broker [WHICH]`: RabbitMQ restarts, takes channels away, gives a replay back.
`python -m tests.proof.order dead [WHICH]`: one receiver is dead for minutes, or a thousand are, beside fifty others.
`python -m tests.proof.order cluster [WHICH]`: three nodes of RabbitMQ whose links break under them.

Last result: 8,000 walks of two replicas, 1,000 of three and 500 with twenty faults each: no inversion, and no event
left behind. With a count in place of the marker, or with a cancel in place of the closed channel, one walk in a hundred
or so finds an inversion; without the lease one in twelve, where the queue goes to another replica and comes back.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tests.ordered.model_world import World
from tests.proof.order import mutants
from worker.ordered.deciding.lease import Lease


def walks(name: str, seeds: range, **world: Any) -> tuple[int, int]:
    """How many inverted, and how many left events behind."""
    began, inverted, stranded = time.monotonic(), [], []
    for seed in seeds:
        verdict = World(seed, **world).walk()
        inverted += [seed] * bool(verdict.inversions)
        stranded += [seed] * bool(verdict.stranded)
    seconds = time.monotonic() - began
    print(
        f"{name:28} {len(seeds):6} walks {seconds:6.0f} s  inverted {inverted[:5]}  left behind {stranded[:5]}",
        flush=True,
    )
    return len(inverted), len(stranded)


@contextmanager
def without_lease() -> Iterator[None]:
    with patch.object(Lease, "valid", lambda lease, now: True):
        yield


def main(count: int) -> int:
    sound = [
        walks("two replicas", range(count)),
        walks("three replicas", range(count // 4), replicas=3),
        walks("two replicas, twenty faults", range(count // 8), faults=20),
        walks("there and back", range(count // 4), there_and_back=True),
    ]
    few = range(max(400, count // 10))
    caught = [
        walks("a count for the marker", few, counts=True)[0],
        walks("a cancel for the close", few, cancels=True)[0],
    ]
    with without_lease():
        caught.append(walks("no lease", few, there_and_back=True)[0])
    return 0 if not any(map(any, sound)) and all(caught) else 1


def real(file: str, which: Sequence[str]) -> int:
    chosen = ["-k", which[0]] if which else []
    return int(pytest.main(["-q", "--durations=0", *chosen, str(Path(__file__).with_name(file))]))


if __name__ == "__main__":
    if sys.argv[1:] == ["mutants"]:
        sys.exit(mutants.main())
    if sys.argv[1:2] in (["crashes"], ["broker"], ["dead"], ["cluster"]):
        sys.exit(real(f"{sys.argv[1]}.py", sys.argv[2:]))
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000))
