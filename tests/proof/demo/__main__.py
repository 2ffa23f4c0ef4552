"""See it work, in half a minute; nothing but loopback, a temporary folder and names of its own on the broker.

    make demo                                                 # or, once set up: .venv/bin/python -m tests.proof.demo
    RABBITMQ_URI=amqp://... .venv/bin/python -m tests.proof.demo    # on that broker instead of a private one

Exit codes: 0 all that is promised was seen, and nothing is left behind; 1 it was not; 130 interrupted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from tests.proof.demo.screen import NotSeen, Screen
from tests.proof.demo.story import Story, WatchedReceiver
from tests.support.amqp import RETRY_STEPS, Amqp, Names
from tests.support.local_broker import BrokerError, LocalBroker
from worker.broker.address import broker_address
from worker.broker.connection import BROKER_ERRORS

CONNECT_SECONDS = 5.0


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.basicConfig(handlers=[logging.NullHandler()])  # what libraries log is said once, in our words
    screen = Screen()
    try:
        with _broker(screen) as uri:
            asyncio.run(_play(screen, uri))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads: no complaint at exit either
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        screen.say("", "Interrupted: everything that the demo started is gone.")
        return 130
    except (NotSeen, AssertionError, BrokerError, OSError) as error:
        screen.say("", f"FAILED: {error}")
        return 1
    screen.say("", f"All of it was seen, in {screen.seconds:.0f} s, and nothing is left behind.")
    screen.say("A day of such traffic in a browser: make console")
    return 0


@contextmanager
def _broker(screen: Screen) -> Iterator[str]:
    """The URI of RABBITMQ_URI's broker if it can be reached, else of a private one that lives as long as this."""
    given = os.environ.get("RABBITMQ_URI", "").strip()
    if given and asyncio.run(_reachable(screen, given)):
        screen.say(f"RabbitMQ: {broker_address(given)}, as RABBITMQ_URI says")
        yield given
        return
    screen.say("RabbitMQ: starting a private one on loopback, in a temporary folder")
    with LocalBroker() as broker:
        screen.check(f"it listens on port {broker.port} after {screen.seconds:.0f} s", broker.running)
        yield broker.uri
        folder = broker.folder
    screen.check("the private RabbitMQ and its folder are gone", not broker.running and not folder.exists())


async def _reachable(screen: Screen, uri: str) -> bool:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await (await Amqp.connect(uri)).close()
    except (*BROKER_ERRORS, ValueError) as error:
        screen.say(f"RabbitMQ: RABBITMQ_URI, {broker_address(uri)}, cannot be reached: {error or type(error).__name__}")
        return False
    return True


async def _play(screen: Screen, uri: str) -> None:
    playing = asyncio.current_task()
    assert playing is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, playing.cancel)
    with tempfile.TemporaryDirectory(prefix="webhooks-demo-") as folder:
        async with await Amqp.connect(uri) as amqp, _names(screen, amqp) as names, WatchedReceiver(screen) as receiver:
            await Story(screen, amqp, uri, names, Path(folder), receiver).tell()
    screen.check("the demo's folder is gone", not Path(folder).exists())


@asynccontextmanager
async def _names(screen: Screen, amqp: Amqp) -> AsyncIterator[Names]:
    """Queues and exchanges that are nobody else's; all of them are deleted afterwards."""
    tag = secrets.token_hex(4)
    names = Names(prefix=f"demo-{tag}", exchange=f"demo-{tag}.evolution")
    try:
        yield names
    finally:
        await amqp.delete(names)
    queues = (names.events, names.retries, names.dead, *map(names.retry, RETRY_STEPS))
    left = [queue for queue in queues if await amqp.depth(queue) is not None]
    screen.check(
        f"the demo's queues and exchanges are deleted{': all but ' + ', '.join(left) if left else ''}", not left
    )


if __name__ == "__main__":
    sys.exit(main())
