"""The worker as a process of its own: started, watched and ended as an operator's machine would."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.support.local_process import free_port
from tests.support.waiting import Facts, eventually

ROOT = Path(__file__).parent.parent.parent
PROGRAM = (sys.executable, "-m", "worker")
ANSWER_SECONDS = 20.0
"""Of a busy machine; whoever waits for a fact has a deadline of their own."""


class Worker:
    """`webhook-worker <arguments>` with the settings given: nothing of the tests' environment leaks in.

    `lines` holds what it has written so far, standard output and error together.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        arguments: Sequence[str] = ("run",),
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self.metrics_port = int(environment.get("METRICS_PORT") or free_port())
        self.lines: list[str] = []
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "PYTHONPATH": str(ROOT),
            "METRICS_HOST": "127.0.0.1",
            "TZ": "UTC",
            **environment,
            "METRICS_PORT": str(self.metrics_port),
        }
        self._command = [*program, *arguments]
        self._facts = Facts()
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "the worker has not been started"
        return self._process

    @property
    def environment(self) -> Mapping[str, str]:
        """All that it gets."""
        return self._environment

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def records(self) -> list[dict[str, Any]]:
        """Its JSON log lines, decoded; other lines are left out."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    async def start(self, *, ready: bool = True, timeout: float = 30.0) -> None:
        """Starts it, with `ready` until /readyz says 200. A worker that has ended can start again."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 24,
            start_new_session=True,
        )
        self._reading = asyncio.create_task(self._read_lines(self._process))
        if ready:
            await self.wait_ready(timeout)

    async def wait_ready(self, timeout: float = 30.0) -> None:
        await self.wait_status("/readyz", 200, timeout)

    async def wait_status(self, path: str, status: int, timeout: float = 15.0) -> None:
        """Until `path` on METRICS_PORT answers `status`; AssertionError with the output, or when it ends."""

        async def ask() -> int | None:
            assert self.running, f"the worker ended with {self.process.returncode}:\n{self.output()}"
            return await self.status(path)

        await eventually(ask, lambda got: got == status, timeout, f"{path} to be {status}\n{self.output()}")

    async def status(self, path: str) -> int | None:
        """The status that `path` on METRICS_PORT answers; None while nobody listens."""
        try:
            async with self._client() as client, client.get(self._url(path)) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def metrics(self) -> dict[str, float]:
        """Every sample by name and sorted labels, as in `name{a="1",b="2"}`, or by the bare name."""
        text = await self.metrics_text()
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return {_key(sample.name, sample.labels): sample.value for sample in samples}

    async def metrics_text(self) -> str:
        """What Prometheus would get."""
        async with self._client() as client, client.get(self._url("/metrics")) as answer:
            return await answer.text()

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of `name` (without the prefix) that carry these labels; 0 without any."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(
            value
            for key, value in (await self.metrics()).items()
            if key.partition("{")[0] == f"webhook_worker_{name}" and all(label in key for label in wanted)
        )

    async def wait_metric(self, name: str, value: float, timeout: float = 15.0, **labels: str) -> None:
        """Until `metric(name, **labels)` is at least `value`."""
        await eventually(
            lambda: self.metric(name, **labels),
            lambda got: got >= value,
            timeout,
            f"{name}{labels} to be {value}",
        )

    async def wait_for_line(self, *parts: str, timeout: float = 15.0) -> str:
        """The first line that contains all `parts`."""

        def found() -> list[str]:
            return [line for line in self.lines if all(part in line for part in parts)]

        await self._facts.wait_for(lambda: bool(found()), timeout, lambda: f"no {parts} in\n{self.output()}")
        return found()[0]

    def output(self) -> str:
        return "\n".join(self.lines[-200:])

    def send_signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def wait(self, timeout: float = 30.0) -> int:
        """Its exit code, negative for the signal that ended it; all its lines have been read by then."""
        async with asyncio.timeout(timeout):
            code = await self.process.wait()
            if self._reading is not None:
                await self._reading
        return code

    async def stop(self, timeout: float = 45.0) -> int:
        """SIGTERM, and its exit code."""
        self.send_signal(signal.SIGTERM)
        return await self.wait(timeout)

    async def kill(self) -> None:
        """SIGKILL; no error when it has ended already."""
        if self.running:
            self.process.kill()
        if self._process is not None:
            await self.wait()

    async def _read_lines(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self.lines.append(line.decode(errors="replace").rstrip("\n"))
            await self._facts.changed()

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.metrics_port}{path}"

    def _client(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS))


def _key(name: str, labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{pairs}}}" if pairs else name
