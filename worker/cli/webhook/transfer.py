"""`webhook-worker webhook import|export`: from Evolution or a file into the worker's own table, and out again."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from worker.cli.common import DONE, FAILED, Subparsers, add_command, complain, output, say, say_json
from worker.cli.replay import heard_when_enabled
from worker.cli.store import announce, opened_store
from worker.settings.settings import Settings

if TYPE_CHECKING:
    from worker.webhooks.transfer import Candidate, Plan


def add_to(actions: Subparsers) -> None:
    text = "bring webhooks into the worker's own table; without --apply only say what would change"
    parser = add_command(actions, "import", text, _import)
    parser.add_argument("--from", dest="kind", required=True, choices=("evolution-db", "evolution-http", "file"))
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="postgresql:// or mysql:// URI, Evolution's base URL, or a TOML file; - reads a URI from standard input",
    )
    parser.add_argument(
        "--api-key-file",
        type=Path,
        help="file with Evolution's global API key, for evolution-http (default: AUTHENTICATION_API_KEY)",
    )
    parser.add_argument("--apply", action="store_true", help="write what was planned")
    export = add_command(actions, "export", "write all webhooks as TOML, as WEBHOOK_FILE has them", _export)
    export.add_argument("--with-secrets", action="store_true", help="with signing secrets and headers, as they are")


async def _import(options: argparse.Namespace, settings: Settings) -> int:
    from worker.process.sources import source_kind  # noqa: PLC0415 - heavy; see cli/__init__.py
    from worker.webhooks import transfer  # noqa: PLC0415

    if not source_kind(settings).own_table:
        return complain(f"import writes the worker's own table, and WEBHOOK_SOURCE is {settings.webhook_source}")
    try:
        candidates, unreadable = await _candidates(options, settings)
    except ValueError as error:
        return complain(f"{options.kind}: {error}")
    async with opened_store(settings) as store, heard_when_enabled(settings, store) as enabling:
        plan = await transfer.plan(store, candidates, orders=settings.order)
        written = (
            await transfer.carry_out(store, plan, enabling=enabling, orders=settings.order) if options.apply else []
        )
    _report(options, plan)
    if written:
        await announce(settings, *written)
    return FAILED if plan.refused or unreadable else DONE


async def _candidates(options: argparse.Namespace, settings: Settings) -> "tuple[list[Candidate], tuple[str, ...]]":
    """And the rows of the source that cannot be read; the log has named them.

    Raises ValueError, OSError, StoreUnavailable.
    """
    from worker.webhooks.transfer import whole  # noqa: PLC0415

    source = sys.stdin.readline().strip() if options.source == "-" else options.source
    match options.kind:
        case "file" if "://" in source:
            raise ValueError("SOURCE must be a TOML file, and is a URI: see --from")
        case "file":
            from worker.stores.file.format import parse  # noqa: PLC0415

            content = await asyncio.to_thread(Path(source).read_bytes)
            return [whole(webhook) for webhook in parse(content)], ()
        case "evolution-http":
            from worker.stores.evolution.http import fetch  # noqa: PLC0415

            return await fetch(source, _api_key(options, settings)), ()
    from worker.process.sources import evolution_candidates  # noqa: PLC0415

    return await evolution_candidates(source)


def _api_key(options: argparse.Namespace, settings: Settings) -> str:
    """Raises ValueError. What was typed is not quoted: people put the key itself there."""
    key = settings.authentication_api_key
    if options.api_key_file:
        try:
            key = options.api_key_file.read_text().strip()
        except OSError as error:
            raise ValueError(f"--api-key-file: the file cannot be read: {error.strerror}") from None
    if not key or not key.isprintable():
        raise ValueError("needs Evolution's global API key, one line: --api-key-file or AUTHENTICATION_API_KEY")
    return str(key)


def _report(options: argparse.Namespace, plan: "Plan") -> None:
    counts = {"same": plan.same, "others": plan.others, "applied": options.apply}
    rows = [("create", change.webhook.endpoint, "") for change in plan.create]
    rows += [("change", change.webhook.endpoint, ", ".join(change.fields)) for change in plan.change]
    rows += [("refused", endpoint, problem) for endpoint, problem in plan.refused]
    if options.json:
        keys = ("what", "instance", "id", "detail")
        shown = [dict(zip(keys, (what, at.instance, at.webhook_id, text), strict=True)) for what, at, text in rows]
        say_json({"webhooks": shown, **counts})
        return
    for what, at, text in rows:
        say(f"{what:8}{at.instance!r} {at.webhook_id}{': ' if text else ''}{text}")
    done = f"{len(plan.create)} to create, {len(plan.change)} to change, {len(plan.refused)} refused"
    say(f"{done}, {plan.same} the same; {plan.others} here are not in the source and stay")
    say("written" if options.apply else "nothing was written: repeat with --apply")


async def _export(options: argparse.Namespace, settings: Settings) -> int:
    from worker.stores.file.format import exported, written  # noqa: PLC0415
    from worker.webhooks.transfer import everything  # noqa: PLC0415

    async with opened_store(settings) as store:
        webhooks = [item.webhook for item in await everything(store)]
    if options.json:
        say_json([exported(webhook, with_secrets=options.with_secrets) for webhook in webhooks])
    else:
        output.write_utf8(written(webhooks, with_secrets=options.with_secrets))
    return DONE
