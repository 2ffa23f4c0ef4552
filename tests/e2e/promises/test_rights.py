"""A broker where the worker may do no more than deploy/README.md grants, and has to make nothing itself."""

from __future__ import annotations

import asyncio
import re
import shlex
from pathlib import Path

from tests.e2e.flow import Flow
from tests.support.events import event
from tests.support.quick_replays import QUICK_REPLAYS

DEPLOY = Path(__file__).parents[3] / "deploy"


def granted(prefix: str, exchange: str) -> list[str]:
    """The three patterns of the README's `set_permissions`, for these names."""
    text = (DEPLOY / "README.md").read_text()
    found = re.search(r"names='([^']+)'\nrabbitmqctl set_permissions worker (.+)\n", text)
    assert found is not None
    names = found[1].replace("webhooks", re.escape(prefix)).replace("evolution_exchange", re.escape(exchange))
    return [pattern.replace("$names", names) for pattern in shlex.split(found[2])]


async def test_with_the_rights_and_definitions_of_deploy_events_are_archived_and_given_back(
    flow: Flow, tmp_path: Path
) -> None:
    broker, names, user = flow.broker, flow.names, f"{flow.names.prefix}-user"
    made = (DEPLOY / "rabbitmq/definitions.json").read_text()
    file = tmp_path / "definitions.json"
    file.write_text(made.replace('"webhooks.', f'"{names.prefix}.').replace("evolution_exchange", names.exchange))
    await asyncio.to_thread(broker.ctl, "import_definitions", str(file))
    await asyncio.to_thread(broker.ctl, "add_user", user, "hunter2")
    try:
        await asyncio.to_thread(broker.ctl, "set_permissions", user, *granted(names.prefix, names.exchange))
        settings = {
            "RABBITMQ_URI": broker.uri.replace("guest:guest", f"{user}:hunter2"),
            "RABBITMQ_DECLARE": "false",
            "ARCHIVE": "true",
        }
        daemon = await flow.start(**settings)
        await daemon.wait_metric("archiving", 1)
        await flow.publish(event(data=1), event(data=2))
        await flow.delivered(2)
        await daemon.wait_metric("history_rows_written_total", 2)
        replay = await flow.start_worker(
            program=QUICK_REPLAYS,
            arguments=("replay", "acme", "--since", "1h", "--all"),
            ready=False,
            **settings,
        )
        assert (await replay.wait(), "done: found 2" in replay.output()) == (0, True), replay.output()
        assert "the archive was made at" in replay.output(), "by an operator: its birth is marked by the worker"
        await flow.delivered(4)
        assert flow.posts() == [2, 2]
        assert not [line for line in daemon.lines if "ACCESS_REFUSED" in line]
    finally:
        await asyncio.to_thread(broker.ctl, "delete_user", user)
