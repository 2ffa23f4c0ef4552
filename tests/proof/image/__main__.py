"""Builds the image and runs it as a cluster would: `make image-test`, inside a root of .ci/in-debian.

check, a webhook, a delivery of a real event, the health check, and the end after SIGTERM, read-only, without
capabilities, as the image's own user and as any other. Prints the sizes. Exit code 1: something is not as it should be.
"""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.proof.image.tools import ANYBODY, BASE, NAME, NOBODY, Tools
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.local_broker import LocalBroker
from tests.support.local_process import free_port
from tests.support.receiver import Receiver

STOP_SECONDS = 1.0
HEALTHY_SECONDS = 90.0
"""Each question is a container of its own, which takes seconds on a busy machine."""


def main() -> int:
    # A container that was killed leaves mounts in its storage: why it was is told, and the root goes with its mounts.
    temporary = tempfile.TemporaryDirectory(prefix="image-", ignore_cleanup_errors=True)
    with temporary as folder, LocalBroker() as broker:
        tools = Tools(Path(folder))
        print("making a base of Debian's own packages", flush=True)
        tools.leave_cgroups()
        tools.make_base(_mirror())
        print("building deploy/Dockerfile", flush=True)
        tools.build()
        print(f"base {tools.mebibytes(BASE):.0f} MiB, image {tools.mebibytes(NAME):.0f} MiB", flush=True)
        _expect("HEALTHCHECK is in the image (Docker's format)", "/livez" in tools.health_check())
        for user in (NOBODY, ANYBODY):
            asyncio.run(_lives(tools, broker, user, Path(tempfile.mkdtemp(dir=folder))))
    print("the image does what it should")
    return 0


async def _lives(tools: Tools, broker: LocalBroker, user: str, data: Path) -> None:
    data.chmod(0o777)
    tag = f"image-{user.partition(':')[0]}"
    names, port = Names(tag, f"{tag}-exchange"), free_port()
    settings = {
        "RABBITMQ_URI": broker.uri,
        "EGRESS_ALLOW": "127.0.0.0/8",
        "METRICS_HOST": "127.0.0.1",
        "METRICS_PORT": str(port),
        **names.environment(),
    }
    async with Receiver() as receiver, await Amqp.connect(broker.uri) as amqp:
        hook = ("webhook", "set", "acme", "--url", receiver.url("/hook"), "--secret", "generate")
        for arguments in (hook, ("check",)):
            code, said = await _ended(tools.command(*arguments, user=user, data=data, **settings))
            _expect(f"{arguments[0]} as {user}", code == 0, said)
        command = tools.command(user=user, data=data, **settings)
        worker = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        try:
            await _healthy(tools, user, data, settings)
            await amqp.publish_event(names.exchange, "messages.upsert", event(instance="acme"))
            await receiver.wait_for(1, path="/hook")
            began = time.monotonic()
            worker.send_signal(signal.SIGTERM)
            took = await asyncio.wait_for(_stopped(worker, began), 20)
            code = await worker.wait()
        finally:
            if worker.returncode is None:
                worker.kill()
        _expect(f"delivered, and stopped {took:.2f} s after SIGTERM as {user}", code == 0 and took < STOP_SECONDS)


async def _stopped(worker: asyncio.subprocess.Process, began: float) -> float:
    """Seconds until the worker's last line; podman itself takes a second more to clear up."""
    assert worker.stderr is not None
    async for line in worker.stderr:
        if b'"message":"stopped"' in line:
            break
    return time.monotonic() - began


async def _healthy(tools: Tools, user: str, data: Path, settings: dict[str, str]) -> None:
    """The image's own health check, until it says yes."""
    command = tools.command("-c", tools.health_check(), user=user, data=data, **settings)
    command.insert(command.index(NAME), "--entrypoint=python")
    deadline = time.monotonic() + HEALTHY_SECONDS
    while (await _ended(command))[0] != 0:
        _expect(f"healthy as {user}", time.monotonic() < deadline)


async def _ended(command: list[str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode(errors="replace")


def _expect(what: str, holds: bool, said: str = "") -> None:
    if not holds:
        sys.exit(f"NOT: {what}\n{said}")
    print(f"ok: {what}", flush=True)


def _mirror() -> str:
    """The archive of which the root itself was made."""
    found = re.search(r"^(?:deb|URIs:)\s+(\S+)", Path("/etc/apt/sources.list").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


if __name__ == "__main__":
    sys.exit(main())
