"""The dashboard's queries on a real and lively run, and its main panels drawn for docs/operating.md.

    make picture                                                       # about three minutes
    .venv/bin/python -m tests.proof.picture --keep answers.json              # keeps what Prometheus answered
    .venv/bin/python -m tests.proof.picture --drawn-from answers.json        # draws that again

Every query of deploy/grafana/dashboard.json is put to a Prometheus that has scraped the run, as Grafana would. Exit
codes: 0 drawn, 1 a query was empty or wrong (nothing is drawn), 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import msgspec

from tests.proof.picture.drawing import draw
from tests.proof.picture.grafana import FILE
from tests.proof.picture.scene import LAST, scene
from tests.proof.picture.take import Take, take

PICTURE = FILE.with_suffix(".png")


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    arguments = _arguments()
    try:
        taken = _drawn_before(arguments.drawn_from) if arguments.drawn_from else asyncio.run(_run())
    except KeyboardInterrupt:
        return 130
    if arguments.keep:
        arguments.keep.write_bytes(msgspec.json.encode(taken))
    problems = list(taken.problems())
    print("\n".join([f"{taken.queries} queries, {len(problems)} empty or wrong", *problems]))
    if problems:
        return 1
    draw(taken, arguments.output)
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1024:.0f} KiB")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.proof.picture", description="The dashboard of a real run.")
    parser.add_argument("--output", type=Path, default=PICTURE, help="the picture to write (deploy/grafana)")
    parser.add_argument("--keep", type=Path, help="also write the answers to this file")
    parser.add_argument("--drawn-from", type=Path, help="no run: the answers that --keep has written")
    return parser.parse_args()


async def _run() -> Take:
    async with scene() as running:
        print(f"everything runs; the picture is taken in {LAST:g} s", flush=True)
        await running.play()
        return await take(running)


def _drawn_before(file: Path) -> Take:
    return msgspec.json.decode(file.read_bytes(), type=Take)


if __name__ == "__main__":
    sys.exit(main())
