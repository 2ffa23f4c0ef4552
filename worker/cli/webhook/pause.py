"""`webhook-worker webhook pause|resume`: a receiver's rest, and what came meanwhile."""

import argparse
from typing import TYPE_CHECKING

from worker.cli.common import DONE, Subparsers, add_command, complain, say, say_json
from worker.cli.replay import opened_replays
from worker.cli.store import opened_store
from worker.domain.webhook import DEFAULT_ID, Endpoint
from worker.settings.settings import Settings

if TYPE_CHECKING:
    from worker.process.replays import Replays


def add_to(actions: Subparsers) -> None:
    pause = add_command(actions, "pause", "send a webhook nothing until it is resumed", _pause)
    resume = add_command(actions, "resume", "send a paused webhook what came meanwhile, and what comes", _resume)
    for parser in (pause, resume):
        parser.add_argument("instance")
        parser.add_argument("--id", default=DEFAULT_ID, help="this one of the instance's webhooks")
    resume.add_argument("--accept-gap", action="store_true", help="although the archive has lost a part of it")


async def _pause(options: argparse.Namespace, settings: Settings) -> int:
    return await _done(options, settings, resume=False)


async def _resume(options: argparse.Namespace, settings: Settings) -> int:
    return await _done(options, settings, resume=True)


async def _done(options: argparse.Namespace, settings: Settings, *, resume: bool) -> int:
    from worker.replay.jobs import CannotReplay  # noqa: PLC0415 - heavy; see cli/__init__.py
    from worker.webhooks.pausing import AlreadySo, NoSuchWebhook  # noqa: PLC0415

    endpoint = Endpoint(options.instance, options.id)
    try:
        async with opened_store(settings, must_exist=True) as store, opened_replays(settings, store) as replays:
            return await (_resumed if resume else _paused)(options, replays, endpoint)
    except NoSuchWebhook:
        return complain(f"{options.instance!r} has no webhook {options.id!r}; `webhook-worker webhook list` shows all")
    except (AlreadySo, CannotReplay) as error:
        return complain(str(error))


async def _paused(options: argparse.Namespace, replays: "Replays", endpoint: Endpoint) -> int:
    from worker.webhooks.shown import shown  # noqa: PLC0415

    webhook = (await replays.pause(endpoint)).webhook
    say_json(shown(webhook)) if options.json else say(f"{endpoint.webhook_id} of {endpoint.instance} is paused")
    return DONE


async def _resumed(options: argparse.Namespace, replays: "Replays", endpoint: Endpoint) -> int:
    from worker.replay.asking import shown  # noqa: PLC0415

    resumed = await replays.resume(endpoint, accept_gap=options.accept_gap)
    job, which = resumed.job, f"{endpoint.webhook_id} of {endpoint.instance} is resumed"
    if options.json:
        say_json({"lost": resumed.lost} if job is None else shown(job))
    elif job is not None:
        say(f"{which}; {job.id} sends what came meanwhile")
    else:
        say(f"{which}; {resumed.lost or 'what waited meanwhile is sent in order'}")
    return DONE
