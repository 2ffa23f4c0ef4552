"""Programs that are pinned to a core and watched from outside."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

MEASURED_CORE = int(os.environ.get("BENCH_CORE", "0"))
SERVERS_CORE = int(os.environ.get("BENCH_SERVERS_CORE", "1"))
"""For everything that is not measured: broker, receivers, and the bench itself."""

FULL = 0.95
"""A servers' core that is busier than this is what a row measures."""

IDLE_SECONDS, IDLE_SHARE = 1.0, 0.05
"""A worker that uses less of its core for so long has nothing to do."""

STEADY_SECONDS, STEADY_SHARE = 5, 0.2
"""Nor has one that uses no more than this in each of so many seconds: on a busy host a timer that fires in an idle
process takes 3 to 4 ms, as all that it reads has to be found again, and with ORDER=true thirty fire a second."""

TICKS = os.sysconf("SC_CLK_TCK")


class Process:
    """A program on one core; ended by SIGTERM."""

    def __init__(
        self, command: Sequence[str], environment: dict[str, str] | None = None, core: int = MEASURED_CORE
    ) -> None:
        self.started = time.monotonic()
        self._output = tempfile.NamedTemporaryFile(prefix="bench-")  # noqa: SIM115 - as long as the process
        self._process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            env={**os.environ, **(environment or {})},
            stdout=self._output,
            stderr=self._output,
        )

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self.go_on()
        self._process.wait(60)
        self._output.close()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    def stand_still(self) -> None:
        """SIGSTOP: what is sent to it meanwhile waits."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT, also where it does not stand still."""
        self._process.send_signal(signal.SIGCONT)

    def wait_consuming(self) -> None:
        """Until the worker has said that both its connections are up."""
        while self.output().count("connected to RabbitMQ") < 2:
            self.check_running()
            time.sleep(0.01)

    def wait_idle(self, limit: float = 60.0) -> None:
        """Until nothing is left to do: neither to deliver nor to write, and what is imported late is there (for the
        history's database 0.4 s of CPU once). TimeoutError after `limit` seconds."""
        deadline, steady = time.monotonic() + limit, 0
        while steady < STEADY_SECONDS:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the worker was not idle within {limit:.0f} s")
            before = self.cpu_seconds
            time.sleep(IDLE_SECONDS)
            share = (self.cpu_seconds - before) / IDLE_SECONDS
            if share <= IDLE_SHARE:
                return
            steady = steady + 1 if share <= STEADY_SHARE else 0

    def check_running(self) -> None:
        """Raises RuntimeError with what it printed if it has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(self.output())

    def output(self) -> str:
        return Path(self._output.name).read_text()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def peak_mib(self) -> float:
        return self._status("VmHWM") / 1024

    @property
    def rss_mib(self) -> float:
        return self._status("VmRSS") / 1024

    def _status(self, name: str) -> int:
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.split(f"{name}:")[1].split()[0])


class CoreUse:
    """How busy a core has been since this was made, by whomever: a full servers' core spoils the figures."""

    def __init__(self, core: int) -> None:
        self._core = core
        self._busy, self._all = self._read()

    @property
    def share(self) -> float:
        """0 to 1."""
        busy, total = self._read()
        return (busy - self._busy) / max(1, total - self._all)

    def _read(self) -> tuple[int, int]:
        lines = Path("/proc/stat").read_text().splitlines()
        ticks = [
            int(field) for field in next(line for line in lines if line.startswith(f"cpu{self._core} ")).split()[1:9]
        ]
        return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def busy(share: float) -> str:
    """The servers' core in a table, marked when it is FULL."""
    return f"{share:.0%}{' (full: it limits this row)' if share > FULL else ''}"


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def pin(pid: int, core: int) -> None:
    """All threads of a process on one core."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})
