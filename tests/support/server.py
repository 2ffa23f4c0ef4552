"""What every real server in the tests shares: a free port, a temporary folder, a wait, a clean end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from tests.support.local_process import free_port, spawn, watch_over

ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
READY_SECONDS = 60.0
STOP_SECONDS = 30.0


class ServerError(RuntimeError):
    """The server did not start; the message holds the end of its log."""


class Server(ABC):
    """One program of Debian's. Blocking calls; from asyncio use `asyncio.to_thread`.

    After `stop()` (clean) or `kill()` (SIGKILL) `start()` brings it back with its data on the same port;
    `close()` ends exactly the process started here and removes the folder.
    """

    stop_signal = signal.SIGTERM
    user: str | None = None
    """Whom the program runs as when the tests run as root (some programs refuse root)."""

    def __init__(self) -> None:
        self.port = free_port()
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Called once, before the first start: data and configuration in `self.folder`."""

    @abstractmethod
    def command(self) -> list[str]:
        """The program in the foreground."""

    @abstractmethod
    def ready(self) -> bool:
        """True when it answers as its clients expect."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def folder(self) -> Path:
        assert self._folder is not None, "the server has not been started"
        return self._folder

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        try:
            if self._folder is None:
                self._make_folder()
                self.prepare()
            self._process = spawn(self.command(), self.environment, self.folder / "log", self.run_as)
            self._watch = watch_over([self._process.pid], self.folder)
            self._wait_until_ready()
        except BaseException:  # Ctrl-C included: whatever the reason, nothing of ours may stay behind
            self.close()
            raise

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(self.stop_signal)
            self._process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        for process in (self._watch, self._process):
            if process is not None:
                process.kill()
                process.wait()
                if process.stdin is not None:
                    process.stdin.close()
        self._watch = self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        # Cleanly, where there is time: a database that is killed leaves shared memory behind.
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.kill()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    @property
    def run_as(self) -> str | None:
        return self.user if os.geteuid() == 0 else None

    @property
    def environment(self) -> dict[str, str]:
        """Temporary files of its own: a MariaDB that starts removes what others have in the machine's folder."""
        return {**ENVIRONMENT, "TMPDIR": str(self.folder)}

    def run(self, *command: str | Path) -> None:
        """A preparing command, as the server's user. Raises ServerError with what it printed."""
        done = subprocess.run(
            command,
            env=self.environment,
            cwd=self.folder,
            user=self.run_as,
            group=self.run_as,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ServerError(f"{command[0]}: {done.stdout}{done.stderr}")

    def _make_folder(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="webhooks-server-"))
        if self.run_as:
            shutil.chown(self._folder, self.run_as, self.run_as)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self.ready():
            if not self.running or time.monotonic() > deadline:
                raise ServerError(f"{self.command()[0]} did not start:\n{self.log()[-4000:]}")
            time.sleep(0.05)
