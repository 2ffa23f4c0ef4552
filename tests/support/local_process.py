"""Server programs as children of ours: a free port, a start, and nothing left behind however we end."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import suppress
from itertools import count
from pathlib import Path

FIRST_PORT, PORTS = 10_000, 22_000
"""Below the ports that Linux gives out by itself (32768 and up): no connection takes one that is still to be used."""

# Begins elsewhere in each process, far from its neighbours: several run the tests side by side.
_ports = count(os.getpid() * 7919)


def free_port() -> int:
    """A loopback port that nobody listens on at this moment, and that this process has not been given before."""
    while True:
        port = FIRST_PORT + next(_ports) % PORTS
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def spawn(
    command: list[str], environment: dict[str, str], log: Path, user: str | None = None
) -> subprocess.Popen[bytes]:
    """A server in the folder of its log; in a session of its own: Ctrl-C reaches us alone, and we stop it."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=environment,
            cwd=log.parent,
            user=user,
            group=user,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def watch_over(processes: list[int], folder: Path) -> subprocess.Popen[bytes]:
    """A shell that waits for our end (its input closes) and then clears up: our own SIGKILL leaves nothing.

    End it before the processes that it watches, and close its input after that.
    """
    script = 'read -r _; folder=$1; shift; kill -9 "$@"; rm -rf "$folder"'
    command = ["/bin/sh", "-c", script, "sh", str(folder), *map(str, processes)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True)
