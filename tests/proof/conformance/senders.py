"""Senders that the kit can judge: a command that it starts and stops, and one that runs already."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.proof.conformance import webhook_file
from tests.proof.conformance.probe import NoStart, Probe
from tests.proof.conformance.stage import Broken, Hook
from tests.support.worker import Worker

STOP_SECONDS = 45.0
LAST_LINES = 5


class Command:
    """A program in a process group of its own. It is told everything by its environment, see docs/conformance.md."""

    restarts = True

    def __init__(self, command: str, environment: Mapping[str, str], folder: Path, probe: Probe) -> None:
        self._program = shlex.split(command)
        self._file = folder / "webhooks.toml"
        self._environment = {
            **os.environ,
            **environment,
            "WEBHOOK_SOURCE": "file",
            "WEBHOOK_FILE": str(self._file),
        }
        self._probe = probe
        self._settings: Mapping[str, str] = {}
        self._process: Worker | None = None

    async def tell(self, hooks: Sequence[Hook]) -> None:
        webhook_file.write(self._file, (*hooks, self._probe.hook))

    async def start(self, settings: Mapping[str, str]) -> None:
        self._settings = settings or self._settings
        self._process = Worker({**self._environment, **self._settings}, (), self._program)
        try:
            await self._process.start(ready=False)
        except OSError as error:
            self._process = None
            raise NoStart(f"{self._program[0]}: {error.strerror}") from None
        await self._probe.delivered(self._ended)

    async def stop(self) -> None:
        self._signal(signal.SIGTERM)
        try:
            await self._wait(STOP_SECONDS)
        except TimeoutError:
            raise Broken(f"SIGTERM did not end it within {STOP_SECONDS:g} s") from None

    async def kill(self) -> None:
        if self._process is not None:
            self._signal(signal.SIGKILL)
            await self._wait(STOP_SECONDS)

    async def _ended(self) -> str | None:
        assert self._process is not None
        if self._process.running:
            return None
        await self._wait(STOP_SECONDS)  # its last lines may still be on their way
        last = " / ".join(self._process.lines[-LAST_LINES:])
        return f"it ended with {self._process.process.returncode}: {last}"

    def _signal(self, number: signal.Signals) -> None:
        """To all of the group: the program may be a shell's child."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    async def _wait(self, seconds: float) -> None:
        assert self._process is not None
        await self._process.wait(seconds)


class Running:
    """One that runs already and takes events from this broker: nothing is started, stopped or set but its webhooks.

    `tell`: a command that is given the file of webhooks as its last argument.
    """

    restarts = False

    def __init__(self, tell: str, folder: Path, probe: Probe) -> None:
        self._tell = shlex.split(tell)
        self._file = folder / "webhooks.toml"
        self._probe = probe

    async def tell(self, hooks: Sequence[Hook]) -> None:
        webhook_file.write(self._file, (*hooks, self._probe.hook))
        process = await asyncio.create_subprocess_exec(
            *self._tell, str(self._file), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        if process.returncode != 0:
            raise NoStart(f"{shlex.join(self._tell)}: {output.decode(errors='replace').strip()[-300:]}")

    async def start(self, settings: Mapping[str, str]) -> None:
        await self._probe.delivered(_runs)

    async def stop(self) -> None:
        raise NotImplementedError("a sender that runs already is not stopped: see Sender.restarts")

    kill = stop


async def _runs() -> None:
    """Whether it ends is seen by whoever started it."""
