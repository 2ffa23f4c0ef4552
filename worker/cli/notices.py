"""`webhook-worker notices test`: one test notice to the operator or to a webhook's owner, and the address's answer."""

import argparse
import time
from typing import TYPE_CHECKING

from worker.cli.common import DONE, FAILED, Subparsers, add_command, complain, say, say_json
from worker.cli.store import opened_store
from worker.settings.settings import Settings

if TYPE_CHECKING:
    from worker.domain.notices.receivers import NoticeReceiver


def add_to(commands: Subparsers) -> None:
    notices = commands.add_parser("notices", help="what owners and the operator are told: send a test")
    actions = notices.add_subparsers(required=True, metavar="action")
    text = "send a test notice to OPS_WEBHOOK_URL, or to a webhook's alert_url, in one attempt, and show the answer"
    parser = add_command(actions, "test", text, _test)
    parser.add_argument("instance", nargs="?", help="whose webhook's alert_url (default: the operator's address)")
    parser.add_argument("--id", default="default", help="which of the instance's webhooks (default: default)")


async def _test(options: argparse.Namespace, settings: Settings) -> int:
    from worker.domain.notices.notice import notice_of_test  # noqa: PLC0415 - heavy; see cli/__init__.py
    from worker.process import wiring  # noqa: PLC0415
    from worker.webhooks.shown import shown_test  # noqa: PLC0415

    hearing = await _owner(options, settings) if options.instance else wiring.operators_notices(settings)
    if hearing is None:
        setting = (
            f"--alert-url of {options.instance!r}'s webhook {options.id!r}" if options.instance else "OPS_WEBHOOK_URL"
        )
        return complain(f"nobody hears: {setting} is not set")
    notice = notice_of_test(options.instance or "", options.id if options.instance else None, time.time())
    trial = await wiring.webhook_tester(settings).send(hearing, notice.message())
    found = {**shown_test(hearing, notice.kind.value, trial), "format": hearing.format.value}
    if options.json:
        say_json(found)
    else:
        after = f"after {found['milliseconds']} ms"
        say(
            f"{found['url']}: {trial.error}, {after}"
            if trial.error
            else f"{found['url']} answered {trial.status} {after}"
        )
        for line in str(found["body"] or "").splitlines():
            say(line)
    return DONE if found["ok"] else FAILED


async def _owner(options: argparse.Namespace, settings: Settings) -> "NoticeReceiver | None":
    from worker.domain.notices.receivers import owner  # noqa: PLC0415
    from worker.domain.webhook import Endpoint  # noqa: PLC0415
    from worker.webhooks.changing import find  # noqa: PLC0415

    async with opened_store(settings, must_exist=True) as store:
        stored = await find(store, Endpoint(options.instance, options.id))
    return None if stored is None else owner(stored.webhook)
