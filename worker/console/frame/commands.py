"""Runs the worker's own commands, each in a process of its own, for what would take the deliveries' event loop long.

Looking through 100,000 dead letters, or at every receiver's certificate, is seconds of work. In a process beside, it
takes nothing of the loop, and it is exactly what the command line does. Trade-off: 0.5 s for its start, and 60 MiB
while it runs.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import IO, TypeVar

from worker.console.ports import Ended, OnLine

T = TypeVar("T")

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
            process = self._started(arguments)
            try:
                async with _read(process.stdout) as out, _read(process.stderr) as err:
                    written, complaints = await _or_interrupt(process, asyncio.gather(out.read(), _told(err, on_line)))
            finally:
                code = await _code(process)
        return Ended(code, written, complaints)

    def _started(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        """Not by the event loop: uvloop forks, which copies the page tables of 100 MiB while no delivery goes on (10 ms
        and more); the standard library needs 1 ms (vfork)."""
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, and no shell
            self._command(arguments),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        with suppress(OSError):  # it may have ended
            os.setpriority(os.PRIO_PROCESS, process.pid, os.getpriority(os.PRIO_PROCESS, 0) + POLITENESS)
        return process

    def _command(self, arguments: Sequence[str]) -> list[str]:
        """Options stand before `--`, which what may begin with a dash follows."""
        at = arguments.index("--") if "--" in arguments else len(arguments)
        return [*self._program, *arguments[:at], *self._options, *arguments[at:]]


@asynccontextmanager
async def _read(pipe: IO[bytes] | None) -> AsyncIterator[asyncio.StreamReader]:
    assert pipe is not None
    stream = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
    try:
        yield stream
    finally:
        transport.close()


async def _told(stream: asyncio.StreamReader, on_line: OnLine | None) -> str:
    """What it complained of, its end if that is long."""
    kept = ""
    async for raw in stream:
        line = raw.decode(errors="replace")
        if on_line is None or not on_line(line):
            kept = (kept + line)[-LONGEST_ERROR:]
    return kept.strip()


async def _or_interrupt(process: subprocess.Popen[bytes], reading: Awaitable[T]) -> T:
    """Cut short, the process can still write its last: its pipes are open, and take what is in a few lines."""
    try:
        return await reading
    except asyncio.CancelledError:
        process.send_signal(signal.SIGINT)
        await _code(process)
        raise


async def _code(process: subprocess.Popen[bytes]) -> int:
    """Of its exit. One that goes on though it was interrupted, or has closed its pipes, is killed."""
    try:
        return await asyncio.to_thread(process.wait, END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return await asyncio.to_thread(process.wait)
