"""The console on made traffic.

    make console                                              # until Ctrl-C; says the address and the key
    .venv/bin/python -m tests.proof.console --pictures DIR    # a picture of each screen in each size and scheme
    .venv/bin/python -m tests.proof.console --for-docs        # those of docs/console.md, as `make picture` does

Exit codes: 0 done, 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path

from tests.proof.console.cast import CAST
from tests.proof.console.pictures import take_all, take_for_docs
from tests.proof.console.scene import KEY, TOKEN, Scene, scene
from worker.basics.tasks import end

PORT = 8085


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.proof.console", description="The console on made traffic.")
    parser.add_argument("--pictures", type=Path, help="take pictures into this folder, and end")
    parser.add_argument("--for-docs", action="store_true", help="take the pictures of docs/console.md, and end")
    parser.add_argument("--port", type=int, default=None, help=f"where to listen (default: {PORT})")
    parser.add_argument("--only", default="", help="pictures of the screens whose name has this in it")
    arguments = parser.parse_args()
    try:
        asyncio.run(_run(arguments))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    return 0


async def _run(arguments: argparse.Namespace) -> None:
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)  # as Ctrl-C does
    port = arguments.port if arguments.pictures or arguments.for_docs else arguments.port or PORT
    async with scene(port) as running:
        playing = asyncio.create_task(running.play())
        try:
            await _shown(running, arguments)
        finally:
            await end(playing)


async def _shown(running: Scene, arguments: argparse.Namespace) -> None:
    if arguments.for_docs:
        print(*await take_for_docs(running), sep="\n")
        return
    if arguments.pictures:
        print(*await take_all(running, arguments.pictures, arguments.only), sep="\n")
        return
    print(f"{running.url}   key: {KEY}", flush=True)
    print(f"An owner's key: {TOKEN.format(CAST[0].instance)} (and so for each instance). Ctrl-C ends it.", flush=True)
    print(f"For commands in another terminal:\n{running.commands}", flush=True)
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
