"""The console of running workers: its commands really run, with the worker's own settings; off, nothing is there."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.api.conftest import KEY
from tests.conftest import StartWorker
from tests.console.conftest import Seen, Visitor
from tests.e2e.conftest import PublishEvents, PutWebhooks
from tests.support.amqp import Names
from tests.support.events import event
from tests.support.local_process import free_port
from tests.support.receiver import Receiver
from tests.support.waiting import eventually
from worker.domain.webhook import Webhook


@pytest.fixture
async def visitor() -> AsyncIterator[Visitor]:
    """At a worker that is still to be started, with SERVER_PORT of its own."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield Visitor(f"http://127.0.0.1:{free_port()}", session)


def settings(visitor: Visitor) -> dict[str, str]:
    return {"AUTHENTICATION_API_KEY": KEY, "SERVER_PORT": visitor.base.rpartition(":")[2]}


async def heading(visitor: Visitor, path: str) -> str:
    return (await visitor.get(path)).heading


async def counted(visitor: Visitor, path: str) -> Seen:
    """The question with its count, once there is one."""
    asked = str((await visitor.get(path)).url.relative()).removeprefix("/console")
    await eventually(lambda: heading(visitor, asked), lambda got: got != "Counting", 20, "the count")
    return await visitor.get(asked)


async def published_lately(visitor: Visitor, events: int) -> None:
    """The archive gives a webhook's page what its instance was sent, and nothing of another's."""
    form = {"url": "https://h.example/", "enabled": "on", "message_types": "imageMessage", "do": "last"}
    path = "/webhook/try?instance=acme&id=default"

    async def tried() -> str:
        return (await visitor.post(path, form)).words

    await eventually(tried, lambda got: f"{events} of the last {events} would be sent" in got, 20, "its events")


async def test_a_dead_letter_is_found_and_sent_again_after_its_receiver_was_mended(
    visitor: Visitor,
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    names: Names,
    tmp_path: Path,
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")))
    receiver.always("/hook", 404)
    config = tmp_path / "worker.toml"
    config.write_text(f'[worker]\nqueue_prefix = "{names.prefix}"\n')
    arguments = ("run", "--config", str(config))
    daemon = await worker(arguments=arguments, **settings(visitor), WORKER_QUEUE_PREFIX="", ARCHIVE="true")
    await daemon.wait_metric("archiving", 1)
    await publish(event(), event(data={"n": 2}), event(instance="loja"))
    await daemon.wait_metric("deliveries_total", 2, outcome="DeadLettered")
    await visitor.log_in()
    await published_lately(visitor, 2)
    await eventually(lambda: heading(visitor, "/dead"), lambda got: got == "2 letters", 20, "both letters")
    await eventually(lambda: heading(visitor, ""), lambda got: got == "Nothing gets through", 20, "its failure")
    receiver.always("/hook", 200)
    seen = await counted(visitor, "/dead/redrive?instance=acme")
    form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', seen.text))
    seen = await visitor.post("/dead/redrive", form)
    here = str(seen.url.relative()).removeprefix("/console")
    await eventually(lambda: heading(visitor, here), lambda got: got == "Done", 30, "the redrive")
    assert "2 letters were sent back to work." in (await visitor.get(here)).words
    await receiver.wait_for(4)
    await visitor.post("/doctor")
    await eventually(lambda: heading(visitor, "/doctor"), lambda got: got != "Examining", 60, "the examination")
    assert f"{names.prefix}.events" not in (await visitor.get("/doctor")).words.partition("In order")[0]
    assert "1 replica consuming" in (await visitor.get("/doctor")).words
    assert await daemon.stop() == 0


async def test_off_it_is_not_there_and_none_of_it_is_loaded(visitor: Visitor, worker: StartWorker) -> None:
    loaded = {}
    for on in ("false", "true"):
        daemon = await worker(arguments=("api",), ready=False, **settings(visitor), CONSOLE=on)
        await daemon.wait_for_line("serving the /webhook API")
        loaded[on] = "markupsafe" in Path(f"/proc/{daemon.pid}/maps").read_text()
        async with visitor.session.get(f"{visitor.base}/console/login") as answer:
            assert (answer.status, answer.content_type) == (
                (401, "application/json") if on == "false" else (200, "text/html")
            )
        await daemon.kill()
    assert loaded == {"false": False, "true": True}
