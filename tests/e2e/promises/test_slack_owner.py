"""An owner who has a channel of Slack and nothing else: hears once that the receiver fails, once that it is back, and
each time what to do."""

from __future__ import annotations

import asyncio
import shlex
import time
from pathlib import Path

from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents, PutWebhooks, RunCommand
from tests.history.fakes import row
from tests.support.events import event
from tests.support.named_hosts import NamedHosts
from tests.support.receiver import Receiver
from tests.support.slack import HOST, PATH, URL, Channel, command_in
from tests.support.tls import Authority
from worker.domain.history import Batch
from worker.domain.notices.trouble import FAILING_MS
from worker.domain.webhook import Webhook
from worker.stores.history.store import history_store


async def has_failed_since(tmp_path: Path, ago_ms: int) -> None:
    """As a replica wrote it then, which is gone by now."""
    store = history_store(f"sqlite:///{tmp_path / 'history.db'}", 7)
    failed = row(int(time.time() * 1000) - ago_ms, outcome="Retried", reason="5xx", status=503, answer="down")
    await store.prepare()
    await store.write([Batch("an earlier run", 0, "pod-1", (failed,))])
    await store.close()


async def test_an_owner_with_a_channel_of_slack_alone_hears_twice_and_what_to_do_works(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    command: RunCommand,
    receiver: Receiver,
    tmp_path: Path,
) -> None:
    authority, channel = Authority(), Channel(others=1)
    await has_failed_since(tmp_path, FAILING_MS + 60_000)
    await webhooks(Webhook("acme", receiver.url("/shop"), alert_url=URL))
    receiver.always("/shop", 503)
    async with Receiver(tls=authority.server(HOST)) as slack, NamedHosts({HOST: slack.port}) as proxy:
        slack.always(PATH, channel)
        settings = {
            "EGRESS_PROXY": proxy.uri,
            "EGRESS_PROXY_RESOLVES": "true",
            "NO_PROXY": "127.0.0.1",
            "EGRESS_CA_FILE": str(authority.write_certificate(tmp_path / "ca.pem")),
            "WEBHOOK_RETRY_INITIAL_DELAY_SECONDS": "1",
        }
        replicas = await asyncio.gather(worker(**settings), worker(**settings))

        async def pasted(text: str) -> tuple[int, str]:
            program, *arguments = shlex.split(text)
            assert program == "webhook-worker"
            return await command(*arguments, **settings)

        await publish(event())
        await slack.wait_for(lambda _: len(channel.shown) == 1, timeout=30)
        assert channel.shown[0]["text"].startswith("Webhook default of acme fails\n")
        code, answer = await pasted(command_in(channel.shown[0]))
        assert (code, "503" in answer) == (1, True)

        receiver.always("/shop", 200)
        code, answer = await pasted(command_in(channel.shown[0]))
        assert (code, "200" in answer) == (0, True)
        await publish(event(data="after"))
        await slack.wait_for(lambda _: len(channel.shown) == 2, timeout=30)
        assert channel.shown[1]["text"].startswith("Webhook default of acme works again\n")
        code, answer = await pasted(command_in(channel.shown[1]))
        assert code == 0, answer
        assert [await replica.stop() for replica in replicas] == [0, 0]
    assert len(channel.shown) == 2, "of two replicas, one says it"
    assert channel.refused == ["rate_limited"], "what came too soon was sent again, and nothing was wrong with it"
