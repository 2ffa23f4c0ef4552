"""`webhook-worker webhook set|get|list|delete|...`: webhooks without the API."""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from worker.cli.common import DONE, WRONG, Subparsers, add_command, complain, count, say, say_json
from worker.cli.history import health_of
from worker.cli.replay import heard_when_enabled
from worker.cli.store import announce, opened_store
from worker.cli.webhook import explain, pause, secrets, test, transfer
from worker.domain.webhook import DEFAULT_ID
from worker.settings.settings import Settings
from worker.webhooks.declaration import BY_NAME, CONTENT, Field
from worker.webhooks.scalars import Flag

LOOKUP_SECONDS = 3.0

if TYPE_CHECKING:
    from worker.webhooks.commands import SetResult
    from worker.webhooks.shown import Shown


def add_to(commands: Subparsers) -> None:
    webhook = commands.add_parser("webhook", help="set, list, import, ... webhooks; rotate their secrets")
    actions = webhook.add_subparsers(required=True, metavar="action")
    _add_set(actions)
    get = add_command(actions, "get", "show an instance's webhooks, secrets masked", _get)
    get.add_argument("instance")
    get.add_argument("--id", help="only this one of the instance's webhooks")
    every = add_command(actions, "list", "list all webhooks, secrets masked", _list)
    every.add_argument("--limit", type=count, help="at most so many")
    delete = add_command(actions, "delete", "delete an instance's webhooks", _delete)
    delete.add_argument("instance")
    delete.add_argument("--id", help="only this one of the instance's webhooks")
    pause.add_to(actions)
    test.add_to(actions)
    explain.add_to(actions)
    secrets.add_to(actions)
    transfer.add_to(actions)


def _add_set(actions: Subparsers) -> None:
    parser = add_command(actions, "set", "create or change a webhook; what is not given stays as it is", _set)
    parser.add_argument("instance", help=BY_NAME["instance"].help)
    parser.add_argument("--id", default=DEFAULT_ID, help=BY_NAME["id"].help)
    for field in CONTENT:
        _add_option(parser, field)


def _add_option(parser: argparse.ArgumentParser, field: Field) -> None:
    name, kind = f"--{field.option or field.requested}".replace("_", "-"), field.kind
    if isinstance(kind, Flag):
        parser.add_argument(name, dest=field.requested, action=argparse.BooleanOptionalAction, help=field.help)
    elif kind.repeats:
        parser.add_argument(name, dest=field.requested, action="append", metavar=kind.placeholder(), help=field.help)
    else:
        parser.add_argument(name, dest=field.requested, metavar=kind.placeholder(), help=field.help)
    option, text = field.clear
    if option:
        parser.add_argument(f"--{option}", dest=field.requested, action="store_const", const=(), help=text)


async def _set(options: argparse.Namespace, settings: Settings) -> int:
    from worker.webhooks.commands import SetArguments, set_webhook  # noqa: PLC0415 - heavy; see cli/__init__.py
    from worker.webhooks.fields import InvalidWebhook  # noqa: PLC0415

    try:
        typed = {field.requested: _typed(field, getattr(options, field.requested)) for field in CONTENT}
    except ValueError as error:
        complain(str(error))
        return WRONG
    arguments = SetArguments(options.instance, options.id, **typed)
    try:
        async with opened_store(settings) as store, heard_when_enabled(settings, store) as enabling:
            result = await set_webhook(store, arguments, enabling=enabling, orders=settings.order)
    except InvalidWebhook as error:
        for problem in error.problems:
            complain(str(problem))
        return WRONG
    refused = await _refused(options.url, "deliveries", settings)
    unheard = await _refused(options.alert_url or None, "notices", settings)
    _show(options, replace(result, warnings=(*result.warnings, *refused, *unheard)))
    await announce(settings, (options.instance, result.revision))
    return DONE


def _typed(field: Field, given: object) -> object:
    """Of an option that names a file, its content; "" for none. Raises ValueError.

    What was typed is not quoted: people put the key itself there.
    """
    if not field.kind.from_file or not given:
        return given
    name = f"--{field.option.replace('_', '-')}"
    try:
        return Path(str(given)).read_text()
    except OSError as error:
        raise ValueError(f"{name}: the file cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{name}: the file is no text: it must be PEM, not DER") from None


async def _refused(url: str | None, what: str, settings: Settings) -> tuple[str, ...]:
    """A warning, where the API refuses: the workers may have other egress rules than this shell. `what` goes there."""
    from worker.domain.target import plain_url  # noqa: PLC0415
    from worker.http.egress import refuse_url  # noqa: PLC0415
    from worker.process import wiring  # noqa: PLC0415

    if url is None:
        return ()
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            proxy = wiring.egress_proxy(settings)
            reason = await refuse_url(plain_url(url), wiring.egress_policy(settings), proxy=proxy)
    except TimeoutError:
        return ()
    return () if reason is None else (f"{what} to it are refused: {reason}",)


def _show(options: argparse.Namespace, result: "SetResult") -> None:
    if options.json:
        say_json(asdict(result))
        return
    say_table([result.webhook])
    say_choices([result.webhook])
    for warning in result.warnings:
        say(f"warning: {warning}")
    if result.new_secret:
        say(f"signing secret, shown only now: {result.new_secret}")


async def _get(options: argparse.Namespace, settings: Settings) -> int:
    from worker.history.shown import UNKNOWN_HEALTH, by_webhook, health_line  # noqa: PLC0415
    from worker.webhooks.commands import get_webhooks  # noqa: PLC0415

    async with opened_store(settings, must_exist=True) as store:
        found = await get_webhooks(store, options.instance, options.id)
    if not found:
        say_json(found) if options.json else say_table(found)
        return _none_such(options.instance)
    health = await health_of(settings, options.instance)
    if options.json:
        say_json([{**webhook, "health": by_webhook(health, str(webhook["id"]))} for webhook in found])
        return DONE
    say_table(found)
    say_choices(found)
    for name in (str(webhook["id"]) for webhook in found):
        if health is not None:
            say(health_line(name, health.get(name, UNKNOWN_HEALTH)))
    return DONE


async def _list(options: argparse.Namespace, settings: Settings) -> int:
    from worker.webhooks.commands import list_webhooks  # noqa: PLC0415

    async with opened_store(settings, must_exist=True) as store:
        found = await list_webhooks(store, options.limit)
    say_json(found) if options.json else say_table(found)
    return DONE


async def _delete(options: argparse.Namespace, settings: Settings) -> int:
    from worker.webhooks.commands import delete_webhooks  # noqa: PLC0415

    async with opened_store(settings, must_exist=True) as store:
        deleted = await delete_webhooks(store, options.instance, options.id)
    count = deleted.count if deleted else 0
    say_json({"deleted": count}) if options.json else say(f"deleted: {count}")
    if deleted is None:
        return _none_such(options.instance)
    await announce(settings, (options.instance, deleted.revision))
    return DONE


def _none_such(instance: str) -> int:
    return complain(f"{instance!r} has no such webhook; `webhook-worker webhook list` shows all")


def say_table(webhooks: Sequence["Shown"]) -> None:
    from worker.webhooks.shown import table  # noqa: PLC0415

    for line in table(webhooks).split("\n"):
        say(line)


def say_choices(webhooks: Sequence["Shown"]) -> None:
    from worker.webhooks.shown import choices_line  # noqa: PLC0415

    for line in filter(None, map(choices_line, webhooks)):
        say(line)
