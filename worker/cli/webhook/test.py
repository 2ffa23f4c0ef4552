"""`webhook-worker webhook test`: one signed test event to a webhook, and what its receiver says."""

import argparse
import time

from worker.cli.common import DONE, FAILED, WRONG, Subparsers, add_command, complain, say, say_json
from worker.cli.store import opened_store
from worker.cli.webhook.explain import add_event_file, event_in
from worker.settings.settings import Settings


def add_to(actions: Subparsers) -> None:
    text = "send a signed test event to a webhook, enabled or not, in one attempt, and show the answer"
    parser = add_command(actions, "test", text, _test)
    parser.add_argument("instance")
    parser.add_argument("--id", default="default", help="which of the instance's webhooks (default: default)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--event", help="the event that it is to look like (default: APPLICATION_STARTUP)")
    add_event_file(which)


async def _test(options: argparse.Namespace, settings: Settings) -> int:
    from worker.domain.event import InvalidEvent, parse  # noqa: PLC0415
    from worker.domain.names import COUNTED, canonical  # noqa: PLC0415
    from worker.domain.webhook import Endpoint  # noqa: PLC0415
    from worker.domain.webhook_test import KIND, event_of_test  # noqa: PLC0415
    from worker.process import wiring  # noqa: PLC0415 - heavy; see cli/__init__.py
    from worker.webhooks.changing import find  # noqa: PLC0415
    from worker.webhooks.shown import shown_test  # noqa: PLC0415

    kind = canonical(options.event or KIND)
    if kind not in COUNTED:
        complain(f"--event: {options.event!r:.100} is none of {', '.join(sorted(COUNTED))}")
        return WRONG
    content = event_of_test(options.instance, kind, time.time())
    if options.event_file is not None:
        try:
            content = event_in(options.event_file)
            event = parse(content)
            kind = event.kind
        except (OSError, InvalidEvent) as error:
            complain(f"--event-file: {error}")
            return WRONG
    async with opened_store(settings, must_exist=True) as store:
        stored = await find(store, Endpoint(options.instance, options.id))
    if stored is None:
        return complain(f"{options.instance!r} has no webhook {options.id!r}; `webhook-worker webhook list` shows all")
    if options.event_file is not None and event.instance != options.instance:
        complain(f"the event is of instance {event.instance!r:.100}, so this webhook would never see it")
    trial = await wiring.webhook_tester(settings).send(stored.webhook, content)
    found = shown_test(stored.webhook, kind, trial)
    if options.json:
        say_json(found)
    else:
        url, after = found["url"], f"after {found['milliseconds']} ms"
        say(f"{url}: {trial.error}, {after}" if trial.error else f"{url} answered {trial.status} {after}")
        for line in str(found["body"] or "").splitlines():
            say(line)
    return DONE if found["ok"] else FAILED
