"""`webhook-worker history list|show|resend`: what became of deliveries, and one of them sent again."""

import argparse
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from worker.cli.common import DONE, FAILED, WRONG, Subparsers, add_command, complain, count, output, say, say_json
from worker.history.filters import FILTERS
from worker.settings.settings import Settings

if TYPE_CHECKING:
    from worker.history.asking import Asking
    from worker.history.store import Cursor, Health, Kept, Question

SHOWN = 50
"""Rows of `history list` without --limit: a screen or two."""


def add_to(commands: Subparsers) -> None:
    history = commands.add_parser("history", help="what became of deliveries: list them, show one, resend a dead one")
    actions = history.add_subparsers(required=True, metavar="action")
    listed = add_command(actions, "list", "rows, newest first; all that is given must hold", _list)
    for name, (placeholder, text) in FILTERS.items():
        listed.add_argument(f"--{name}", metavar=placeholder, help=text)
    listed.add_argument("--limit", type=count, default=SHOWN, metavar="N", help=f"at most so many (default: {SHOWN})")
    show = add_command(actions, "show", "one delivery's attempts, oldest first", _show)
    show.add_argument("id", metavar="ID", help="as `history list` shows it, or the `webhook-id` header")

    show.add_argument("--body", action="store_true", help="the event itself, its credentials masked")
    again = add_command(actions, "resend", "send a delivery once more, in one attempt", _resend)
    again.add_argument("id", metavar="ID", help="as `history list` or `dead list` shows it")


@asynccontextmanager
async def _asking(settings: Settings) -> AsyncIterator["Asking | None"]:
    from worker.process.history_store import asking  # noqa: PLC0415 - heavy; see cli/__init__.py

    found = asking(settings)
    try:
        yield found
    finally:
        if found is not None:
            await found.close()


async def health_of(settings: Settings, instance: str) -> "Mapping[str, Health] | None":
    """By webhook id; None: not known now. Never raises, and takes two seconds at most."""
    from worker.webhooks.store import StoreUnavailable  # noqa: PLC0415

    try:
        async with _asking(settings) as asking:
            return None if asking is None else await asking.health(instance)
    except StoreUnavailable:  # its driver is not installed
        return None


async def _list(options: argparse.Namespace, settings: Settings) -> int:
    from worker.history import asked, shown  # noqa: PLC0415
    from worker.process.history_store import now  # noqa: PLC0415

    given = {name: text for name in FILTERS if (text := getattr(options, name)) is not None}
    try:
        question = asked.question(given, None, now())
    except asked.BadFilter as error:
        for name, problem in error.problems.items():
            complain(f"--{name} {problem}")
        return WRONG
    async with _asking(settings) as asking:
        if asking is None:
            return _off()
        rows, more = await _rows(asking, question, options.limit)
    if options.json:
        say_json([shown.row(kept) for kept in rows])
    elif rows:
        for line in shown.table(rows):
            say(line)
        if more:
            say(f"{len(rows)} shown: more by --limit N, older ones by --until TIME")
    else:
        say("no rows: wider filters, or `webhook-worker webhook explain` for an event that nobody wanted")
    return DONE


async def _rows(asking: "Asking", question: "Question", most: int) -> tuple[list["Kept"], bool]:
    """And whether there may be older ones."""
    from worker.history.store import LARGEST_PAGE  # noqa: PLC0415

    rows: list[Kept] = []
    after: Cursor | None = None
    while len(rows) < most:
        page = await asking.page(question, after, min(LARGEST_PAGE, most - len(rows)))
        rows += page.items
        after = page.following
        if after is None:
            break
    return rows, after is not None


async def _show(options: argparse.Namespace, settings: Settings) -> int:
    from worker.history import shown  # noqa: PLC0415

    if options.body:
        return await _show_body(options, settings)
    async with _asking(settings) as asking:
        if asking is None:
            return _off()
        rows = await asking.timeline(options.id, None)
    if not rows:
        complain(f"the history has no delivery {options.id!r}; `webhook-worker history list` shows what it has")
        return FAILED
    if options.json:
        say_json({"id": options.id, "items": [shown.row(kept) for kept in rows]})
    else:
        for line in shown.timeline(rows):
            say(line)
    return DONE


async def _show_body(options: argparse.Namespace, settings: Settings) -> int:
    from worker.deadletters.resend import NotThere  # noqa: PLC0415
    from worker.deadletters.shown import compact, masked_body, pretty  # noqa: PLC0415
    from worker.process.resend import BrokerUnavailable, body_of  # noqa: PLC0415

    try:
        body = await body_of(settings, options.id, None)
    except (NotThere, BrokerUnavailable) as error:
        return complain(str(error))
    output.write((compact if options.json else pretty)(masked_body(body)) + "\n")
    return DONE


async def _resend(options: argparse.Namespace, settings: Settings) -> int:
    from worker.deadletters.resend import NotResendable, NotThere  # noqa: PLC0415
    from worker.history.shown import resent  # noqa: PLC0415
    from worker.process.resend import BrokerUnavailable, resend  # noqa: PLC0415

    try:
        row = await resend(settings, options.id, None)
    except (NotThere, NotResendable, BrokerUnavailable) as error:
        return complain(str(error))
    found = resent(row)
    if options.json:
        say_json(found)
    else:
        say(f"{row.host} answered {row.status} after {row.ms} ms" if row.status is not None else str(row.error))
        if row.answer:
            say(f"answer: {row.answer[:200]}")
        if not found["ok"]:
            say("all is as before: a dead letter stays, what waits for its retry goes on waiting")
    return DONE if found["ok"] else FAILED


def _off() -> int:
    complain("no history is kept: HISTORY is off")
    return FAILED
