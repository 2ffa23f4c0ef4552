"""Getting events back at full size: exits with 1 unless what docs/replay.md promises holds.

.venv/bin/python -m tests.proof.replay killed                    # 100,000 events, killed twice, ten minutes
.venv/bin/python -m tests.proof.replay killed --events 5000 --kills 1
.venv/bin/python -m tests.proof.replay paused                    # an hour at 20 events a second, two replicas
.venv/bin/python -m tests.proof.replay paused --seconds 60 --rate 200
"""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path

from tests.proof.replay.killed import killed
from tests.proof.replay.paused import paused


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    trials = parser.add_subparsers(dest="trial", required=True)
    one = trials.add_parser("killed")
    one.add_argument("--events", type=int, default=100_000)
    one.add_argument("--kills", type=int, default=2)
    other = trials.add_parser("paused")
    other.add_argument("--seconds", type=float, default=3600.0)
    other.add_argument("--rate", type=int, default=20)
    return parser.parse_args()


def main(given: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="webhooks-replay-") as name:
        folder = Path(name)
        if given.trial == "killed":
            found = asyncio.run(killed(folder, given.events, given.kills))
        else:
            found = asyncio.run(paused(folder, given.seconds, given.rate))
    print(json.dumps(found))
    return 0 if found["holds"] else 1


if __name__ == "__main__":
    raise SystemExit(main(options()))
