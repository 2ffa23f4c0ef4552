"""Runs the worker's own commands, each in a process of its own, for what would take the deliveries' event loop long.

Looking through 100,000 dead letters, or at every receiver's certificate, is seconds of work. In a process beside, it
takes nothing of the loop, and it is exactly what the command line does. Trade-off: 0.5 s for its start, and 60 MiB
while it runs.
"""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress

from worker.console.ports import Ended, OnLine

MOST_AT_ONCE = 2
POLITENESS = 10
"""On Unix's scale, which ends at 19, below this process: deliveries come first."""

LONGEST_ERROR = 2000
"""Characters of its complaints that are shown."""

END_SECONDS = 10.0
"""From the signal, for a redrive's last confirms."""


class Commands:
    """`program`: an interpreter and its arguments. `options` are added to each command."""

    def __init__(self, program: Sequence[str], options: Sequence[str], environment: Mapping[str, str]) -> None:
        self._program = tuple(program)
        self._options = tuple(options)
        self._environment = dict(environment)
        self._places = asyncio.Semaphore(MOST_AT_ONCE)

    async def run(self, arguments: Sequence[str], on_line: OnLine | None = None) -> Ended:
        """See RunCommand. Cancelled, it ends the command by SIGINT, as Ctrl-C does."""
        async with self._places:
            process = await asyncio.create_subprocess_exec(
                *self._command(arguments),
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
            with suppress(OSError):  # it may have ended
                os.setpriority(os.PRIO_PROCESS, process.pid, os.getpriority(os.PRIO_PROCESS, 0) + POLITENESS)
            try:
                out, err, code = await asyncio.gather(
                    _all(process.stdout), _told(process.stderr, on_line), process.wait()
                )
            except asyncio.CancelledError:
                await _interrupt(process)
                raise
        return Ended(code, out, err)

    def _command(self, arguments: Sequence[str]) -> list[str]:
        """Options stand before `--`, which what may begin with a dash follows."""
        at = arguments.index("--") if "--" in arguments else len(arguments)
        return [*self._program, *arguments[:at], *self._options, *arguments[at:]]


async def _all(stream: asyncio.StreamReader | None) -> bytes:
    assert stream is not None
    return await stream.read()


async def _told(stream: asyncio.StreamReader | None, on_line: OnLine | None) -> str:
    """What it complained of, its end if that is long."""
    assert stream is not None
    kept = ""
    async for raw in stream:
        line = raw.decode(errors="replace")
        if on_line is None or not on_line(line):
            kept = (kept + line)[-LONGEST_ERROR:]
    return kept.strip()


async def _interrupt(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(END_SECONDS):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
