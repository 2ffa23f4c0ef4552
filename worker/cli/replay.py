"""`webhook-worker replay INSTANCE` and `replays list|show|stop`: archived events sent again to one webhook."""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from worker.cli.common import DONE, FAILED, WRONG, Subparsers, add_command, complain, count, output, say, say_json
from worker.cli.store import announce, opened_store
from worker.settings.settings import Settings

if TYPE_CHECKING:
    from worker.process.replaying import Replayer
    from worker.process.replays import Replays
    from worker.replay.jobs import Asked, Job
    from worker.webhooks.changing import Enabling
    from worker.webhooks.store import WritableStore

LOOK_SECONDS = 0.5

SHOWN = 20
"""Jobs of `replays list` without --limit."""

_ABOUT = (
    "Send a webhook again what the archive has of a range of time. Without --all only what the history does not show "
    "as delivered, or on its way. The `webhook-id` stays. Interrupted, it goes on by itself in a worker."
)


def add_to(commands: Subparsers) -> None:
    parser = add_command(commands, "replay", "send a webhook again what it missed", _replay)
    parser.description = _ABOUT
    parser.add_argument("instance", metavar="INSTANCE")
    parser.add_argument("--webhook", metavar="ID", help="to the webhook of this id (default: `default`)")
    parser.add_argument("--event", action="append", metavar="NAME", help="only this event; can be repeated")
    parser.add_argument("--chat", metavar="CHAT", help="only of this chat: its address, or a phone number in digits")
    when = "an ISO time, a time of day (both UTC unless they say) or an age: 90s 30m 2h 3d"
    parser.add_argument("--since", metavar="WHEN", required=True, help=f"from {when}")
    parser.add_argument("--until", metavar="WHEN", help="before that; default: now")
    parser.add_argument("--all", action="store_true", help="also what was delivered: for a receiver that lost it")
    parser.add_argument("--rate", type=float, metavar="N", help="at most so many a second; default: as they are taken")
    parser.add_argument("--accept-gap", action="store_true", help="go on although the archive has lost a part")
    parser.add_argument("--dry-run", action="store_true", help="only count")
    replays = commands.add_parser("replays", help="list, show or stop replays")
    actions = replays.add_subparsers(required=True, metavar="action")
    listed = add_command(actions, "list", "replays, newest first", _list)
    listed.add_argument("--limit", type=count, default=SHOWN, metavar="N", help=f"at most so many (default: {SHOWN})")
    for name, text, command in (("show", "one replay", _show), ("stop", "stop one: what was sent stays sent", _stop)):
        add_command(actions, name, text, command).add_argument("id", metavar="ID")


async def _replay(options: argparse.Namespace, settings: Settings) -> int:
    from worker.history.asked import BadFilter  # noqa: PLC0415 - heavy; see cli/__init__.py
    from worker.replay.asking import asked  # noqa: PLC0415

    given = {name: getattr(options, name) for name in ("instance", "webhook", "chat", "since", "until", "rate", "all")}
    given |= {"events": options.event, "accept_gap": options.accept_gap, "dry_run": options.dry_run}
    try:
        wanted = asked(given, time.time())
    except BadFilter as error:
        for name, problem in error.problems.items():
            complain(f"{_OPTIONS.get(name, f'--{name}')} {problem}")
        return WRONG
    return await _with_replays(settings, lambda replays, store: _carried_out(options, settings, replays, store, wanted))


_OPTIONS = {"instance": "INSTANCE", "events": "--event"}


async def _carried_out(
    options: argparse.Namespace, settings: Settings, replays: "Replays", store: "WritableStore", wanted: "Asked"
) -> int:
    """Here, or by a worker that took it first; until it has ended."""
    from worker.process.replaying import Replayer, opened_history  # noqa: PLC0415

    job = await replays.ask(wanted, None)
    async with opened_history(settings) as history:
        replayer = Replayer(settings, history, store.load)
        working = asyncio.ensure_future(_until_ended(replayer, replays, job.id))
        try:
            ended = await _watched(replays, job.id, working, quiet=options.json)
        finally:
            working.cancel()
    return _ended(options, ended)


async def _until_ended(replayer: "Replayer", replays: "Replays", job_id: str) -> None:
    while True:
        await replayer.one(job_id)
        job = await replays.job(job_id, None)
        if job is None or job.ended:
            return
        await asyncio.sleep(LOOK_SECONDS)


async def _watched(replays: "Replays", job_id: str, working: "asyncio.Future[None]", *, quiet: bool) -> "Job | None":
    """Says how far it is, whenever that has changed."""
    from worker.replay.asking import in_words  # noqa: PLC0415

    said = ""
    while True:
        done, _ = await asyncio.wait({working}, timeout=LOOK_SECONDS)
        job = await replays.job(job_id, None)
        line = "" if job is None else in_words(job)
        if not quiet and line != said:
            say(said := line)
            output.flush()  # whoever reads it through a pipe wants to see how far it is
        if done:
            working.result()
            return job


def _ended(options: argparse.Namespace, job: "Job | None") -> int:
    from worker.replay.asking import shown  # noqa: PLC0415
    from worker.replay.jobs import State  # noqa: PLC0415

    if job is None:
        return complain("the replay is gone: somebody deleted it")
    if options.json:
        say_json(shown(job))
    return DONE if job.state is State.DONE else FAILED


async def _list(options: argparse.Namespace, settings: Settings) -> int:
    from worker.replay.asking import in_words_among_others, shown  # noqa: PLC0415

    async def listed(replays: "Replays", _: "WritableStore") -> int:
        jobs = await replays.jobs(None, options.limit)
        if options.json:
            say_json([shown(job) for job in jobs])
        for line in () if options.json else [in_words_among_others(job) for job in jobs] or ["no replays"]:
            say(line)
        return DONE

    return await _with_replays(settings, listed)


async def _show(options: argparse.Namespace, settings: Settings) -> int:
    from worker.replay.asking import in_words_among_others, shown  # noqa: PLC0415

    async def one(replays: "Replays", _: "WritableStore") -> int:
        job = await replays.job(options.id, None)
        if job is None:
            return complain(f"there is no replay {options.id!r}")
        say_json(shown(job)) if options.json else say(in_words_among_others(job))
        return DONE

    return await _with_replays(settings, one)


async def _stop(options: argparse.Namespace, settings: Settings) -> int:
    async def stop(replays: "Replays", _: "WritableStore") -> int:
        if not await replays.stop(options.id, None):
            known = await replays.job(options.id, None) is not None
            return complain(f"the replay {options.id} has ended" if known else f"there is no replay {options.id!r}")
        say_json({"id": options.id, "stopping": True}) if options.json else say(f"{options.id} is being stopped")
        return DONE

    return await _with_replays(settings, stop)


async def _with_replays(settings: Settings, work: "Callable[[Replays, WritableStore], Awaitable[int]]") -> int:
    from worker.replay.jobs import CannotReplay  # noqa: PLC0415

    try:
        async with opened_store(settings, must_exist=True) as store, opened_replays(settings, store) as replays:
            return await work(replays, store)
    except CannotReplay as error:
        return complain(str(error))


@asynccontextmanager
async def opened_replays(settings: Settings, store: "WritableStore") -> "AsyncIterator[Replays]":
    """For commands that change what waits to be replayed."""
    from worker.process.replays import Replays  # noqa: PLC0415

    async def changed(instance: str, revision: int) -> None:
        await announce(settings, (instance, revision))

    replays = Replays(settings, store, changed)
    try:
        yield replays
    finally:
        await replays.close()


@asynccontextmanager
async def heard_when_enabled(settings: Settings, store: "WritableStore") -> "AsyncIterator[Enabling]":
    """For commands that may enable a webhook. Without DISABLED_WEBHOOK=replay no history is opened for that."""
    from worker.webhooks.changing import leave  # noqa: PLC0415

    if settings.disabled_webhook != "replay":
        yield leave
        return
    async with opened_replays(settings, store) as replays:
        yield replays.enabling
