"""`webhook-worker dead list|show|redrive|purge`, behind the arguments of dead_arguments."""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TextIO

import orjson
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelNotFoundEntity

from worker.basics.address import Address
from worker.basics.clock import Clock
from worker.basics.printable import printable
from worker.broker.address import broker_address
from worker.broker.connection import BROKER_ERRORS, close, connect, in_words, while_open
from worker.broker.topology import Topology, topology
from worker.cli.dead_arguments import filter_of, problem_with
from worker.cli.dead_output import Output, print_listing, reported
from worker.deadletters import shown as output
from worker.deadletters.browse import Browser, Seen, Stalled
from worker.deadletters.direct import Deliver
from worker.deadletters.letter import Letter, read
from worker.deadletters.listing import Choice, Listing
from worker.deadletters.redrive import Redrive
from worker.delivery.ports import PublishFailed

FINE, FAILED, USAGE = 0, 1, 2

Ask = Callable[[str], str | None]
"""A question to the operator; None: nobody is there to answer."""


@dataclass(frozen=True, slots=True)
class Console:
    """Where the commands read and write."""

    out: Output = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)

    def ask(self, question: str) -> str | None:
        if not sys.stdin.isatty():
            return None
        self.err.write(printable(question))
        self.err.flush()
        return sys.stdin.readline()

    def fail(self, problem: str, code: int = FAILED) -> int:
        self.err.write(printable(problem) + "\n")
        return code


@dataclass(frozen=True, slots=True)
class Scene:
    """What each command works with."""

    arguments: argparse.Namespace
    connection: AbstractConnection
    topology: Topology
    console: Console
    now: Clock
    deliver: Deliver | None = None


async def run(
    arguments: argparse.Namespace,
    uri: str | Address,
    prefix: str,
    console: Console | None = None,
    now: Clock = time.time,
    deliver: Deliver | None = None,
) -> int:
    """One command; its exit code: 0 fine, 1 it failed, 2 wrong usage. `prefix` is WORKER_QUEUE_PREFIX.

    `deliver` is what `redrive` does with letters that RabbitMQ does not take for their size; None: it leaves them.
    """
    console, address = console or Console(), broker_address(uri)
    command = arguments.dead_command
    problem = problem_with(arguments) if command in ("redrive", "purge") else None
    if problem:
        return console.fail(problem, USAGE)
    try:
        connection = await connect(address, f"webhook-worker dead {command}")
    except BROKER_ERRORS as error:
        return console.fail(f"no connection to RabbitMQ at {address}: {address.clean(in_words(error))}")
    try:
        scene = Scene(arguments, connection, topology(prefix, "", ()), console, now, deliver)
        return await while_open(connection, COMMANDS[command](scene))
    except ChannelNotFoundEntity:
        return console.fail(
            f"the queue {prefix}.dead does not exist: WORKER_QUEUE_PREFIX is wrong, or no worker ever ran"
        )
    except (PublishFailed, Stalled, *BROKER_ERRORS) as error:
        return console.fail(f"dead {command} stopped: {address.clean(in_words(error))}")
    finally:
        await close(connection)


async def list_letters(scene: Scene) -> int:
    arguments, out = scene.arguments, scene.console.out
    listing = Listing(filter_of(arguments), arguments.limit, with_log=arguments.json)
    async with Browser(scene.connection, scene.topology.dead) as browser:
        await browser.run(listing.look)
    print_listing(listing, out, as_json=arguments.json, groups=arguments.groups)
    return FINE


async def show(scene: Scene) -> int:
    wanted, found = scene.arguments.id, list[tuple[Letter, Seen]]()

    def look(seen: Seen) -> bool:
        letter = read(seen.headers, seen.body, seen.message_id)
        if letter.id == wanted and not found:
            found.append((letter, seen))
            browser.enough()
        return True

    async with Browser(scene.connection, scene.topology.dead) as browser:
        await browser.run(look)
    if not found:
        return scene.console.fail(_not_found([wanted]))
    letter, seen = found[0]
    _print_letter(scene, letter, seen)
    return FINE


def _print_letter(scene: Scene, letter: Letter, seen: Seen) -> None:
    out = scene.console.out
    if scene.arguments.raw:
        out.flush()
        with suppress(BrokenPipeError):  # whoever reads (`| head`) may leave early
            out.buffer.write(seen.body)
            out.buffer.flush()
        return
    full = output.in_full(letter, seen.headers, seen.body)
    out.write(output.compact(full) if scene.arguments.json else output.pretty(full))
    out.write("\n")


async def redrive(scene: Scene) -> int:
    chosen = filter_of(scene.arguments)
    if scene.arguments.dry_run:
        async with Browser(scene.connection, scene.topology.dead) as browser:
            choice = Choice(browser, chosen, scene.arguments.limit)
            await browser.run(choice.look)
        return _counted(scene, "would redrive", choice.counts, choice.found)
    limit = scene.arguments.limit
    moving = Redrive(scene.connection, scene.topology, chosen.matches, limit, scene.now, scene.deliver)
    try:
        async with reported(moving.result, scene.console.err if scene.arguments.progress else None):
            await moving.run()
    except BaseException:
        # Interrupted or not, the operator reads what has been done.
        _counted(scene, "redrove", moving.result.moved, None)
        raise
    code = _counted(scene, "redrove", moving.result.moved, moving.result.found)
    if moving.result.left:
        names = [f"{name} ({why})" for name, why in sorted(moving.result.left.items())[:10]]
        code = scene.console.fail(f"left {len(moving.result.left)} letters too large for RabbitMQ: {', '.join(names)}")
    if moving.result.damaged:
        ids = ", ".join(sorted(moving.result.damaged)[:10])
        return scene.console.fail(f"left {len(moving.result.damaged)} letters whose headers are damaged: {ids}")
    return code


async def purge(scene: Scene) -> int:
    # The letters stay in our hands while the operator thinks: what is deleted is exactly what was counted.
    async with Browser(scene.connection, scene.topology.dead) as browser:
        choice = Choice(browser, filter_of(scene.arguments), scene.arguments.limit)
        await browser.run(choice.look)
        if scene.arguments.dry_run:
            return _counted(scene, "would delete", choice.counts, choice.found)
        refused = _changed(scene, choice) or await _refused(scene, choice.counts)
        if refused:
            return scene.console.fail(refused)
        await browser.ack_all(choice.tags)
        await browser.settled()
    return _counted(scene, "deleted", choice.counts, choice.found)


def _changed(scene: Scene, choice: Choice) -> str | None:
    if scene.arguments.mark in (None, choice.mark.text):
        return None
    return f"nothing was deleted: the letters are others than those that were counted, {choice.counts.total()} by now"


async def _refused(scene: Scene, counts: Counter[str]) -> str | None:
    if scene.arguments.yes or not counts:
        return None
    question = f"Delete {counts.total()} letters for good ({output.by_reason(counts)})? [y/N] "
    answer = await asyncio.to_thread(scene.console.ask, question)
    if answer is None:
        return "dead purge: nobody can answer here; --yes deletes without asking"
    return None if answer.strip().lower() in ("y", "yes") else "nothing was deleted"


def _counted(scene: Scene, verb: str, counts: Counter[str], found: set[str] | None) -> int:
    console, total = scene.console, counts.total()
    if scene.arguments.json:
        console.out.write(orjson.dumps({"count": total, "by_reason": dict(counts)}).decode() + "\n")
    else:
        details = f": {output.by_reason(counts)}" if counts else ""
        console.out.write(f"{verb} {total} {'letter' if total == 1 else 'letters'}{details}\n")
    missing = sorted(set(scene.arguments.id or ()) - found) if found is not None else []
    complete = scene.arguments.limit is None or total < scene.arguments.limit
    return console.fail(_not_found(missing)) if missing and complete else FINE


def _not_found(ids: list[str]) -> str:
    return f"no letter with the id {', '.join(ids)} (another `dead` command may hold it at this moment)"


COMMANDS: Mapping[str, Callable[[Scene], Coroutine[Any, Any, int]]] = {
    "list": list_letters,
    "show": show,
    "redrive": redrive,
    "purge": purge,
}
