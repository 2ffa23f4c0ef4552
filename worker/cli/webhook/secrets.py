"""`webhook-worker webhook rotate-secret|reencrypt`: signing secrets, on the wire and at rest."""

import argparse
import re
import time
from dataclasses import asdict

from worker.cli.common import DONE, FAILED, Subparsers, add_command, complain, say, say_json
from worker.cli.store import announce, opened_store
from worker.settings.settings import Settings

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def add_to(actions: Subparsers) -> None:
    rotate = add_command(actions, "rotate-secret", "make a new signing secret and show it once", _rotate)
    rotate.add_argument("instance")
    rotate.add_argument("--id", default="default", help="which of the instance's webhooks (default: default)")
    rotate.add_argument(
        "--expire-old",
        type=duration,
        default="24h",
        metavar="AGE",
        help="how long the old secret signs beside it: 90s 30m 24h 7d; 0: not at all (default: 24h)",
    )
    text = "encrypt all stored secrets and headers with the first key of WEBHOOK_SECRET_KEY; safe to repeat"
    add_command(actions, "reencrypt", text, _reencrypt)


def duration(text: str) -> int:
    """Seconds of `90s`, `30m`, `24h`, `7d` or `0`, at most a year."""
    found = re.fullmatch(r"(\d{1,9})([smhd])|0", text)
    seconds = int(found[1]) * _UNITS[found[2]] if found and found[1] else 0
    if found is None or seconds > 366 * 86_400:
        raise argparse.ArgumentTypeError("must be 0 or a time of at most a year: 90s 30m 24h 7d")
    return seconds


async def _rotate(options: argparse.Namespace, settings: Settings) -> int:
    from worker.webhooks.rotation import rotate_secret  # noqa: PLC0415 - heavy; see cli/__init__.py

    async with opened_store(settings) as store:
        rotated = await rotate_secret(store, options.instance, options.id, options.expire_old, time.time())
    if rotated is None:
        return complain(f"{options.instance!r} has no webhook {options.id!r}; `webhook-worker webhook list` shows all")
    if options.json:
        say_json(asdict(rotated))
    else:
        say(f"signing secret, shown only now: {rotated.new_secret}")
        until = rotated.old_until
        say(f"the old one signs beside it until {until}" if until else "it alone signs from now on")
    await announce(settings, (options.instance, rotated.revision))
    return DONE


async def _reencrypt(options: argparse.Namespace, settings: Settings) -> int:
    from worker.process.sources import own_store  # noqa: PLC0415

    if not settings.webhook_secret_key:
        return complain("WEBHOOK_SECRET_KEY is empty: there is no key to encrypt with")
    store = own_store(settings)
    try:
        await store.migrate()
        renewed = await store.reencrypt()
    finally:
        await store.close()
    say_json(asdict(renewed)) if options.json else say(f"encrypted anew: {renewed.count}")
    for problem in renewed.problems:
        complain(problem)
    return FAILED if renewed.problems else DONE
