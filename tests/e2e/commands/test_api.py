"""The /webhook API of running workers: changes are in force on every replica, alone or beside the deliveries."""

from __future__ import annotations

import signal
import time
from typing import Any

import aiohttp
import pytest

from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents
from tests.support.events import event
from tests.support.local_process import free_port
from tests.support.proxy import Proxy
from tests.support.receiver import Receiver
from tests.support.worker import Worker

KEY = "the-operators-key"

ANNOUNCED_SECONDS = 10.0
"""An hour before the cache would notice by itself; that a second is enough is test_changes_in_force's."""


class Client:
    """Calls the API of a worker, as an operator would."""

    def __init__(self, key: str = KEY) -> None:
        self.port = free_port()
        self.settings = {"AUTHENTICATION_API_KEY": key, "SERVER_PORT": str(self.port)}

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        url, headers = f"http://127.0.0.1:{self.port}{path}", {"apikey": KEY}
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session,
            session.request(method, url, headers=headers, json=body) as response,
        ):
            return response.status, await response.json()

    async def until_serving(self, worker: Worker) -> None:
        await worker.wait_for_line("serving the /webhook API")


async def test_a_webhook_set_on_one_replica_is_used_by_all_and_a_change_too(
    worker: StartWorker, publish: PublishEvents, receiver: Receiver
) -> None:
    client = Client()
    one = await worker(**client.settings, CACHE_TTL_SECONDS="3600")
    two = await worker(CACHE_TTL_SECONDS="3600")
    for number in range(5):
        path = f"/hook-{number}"
        body = {"webhook": {"enabled": True, "url": receiver.url(path), "events": ["MESSAGES_UPSERT"]}}
        status, answer = await client.call("POST", "/webhook/set/acme", body)
        assert (status, answer["url"]) == (201, receiver.url(path))
        answered = time.monotonic()
        while [request.path for request in receiver.requests[-10:]] != [path] * 10:  # both replicas take their turns
            sofar = len(receiver.requests)
            await publish(event())
            last = (await receiver.wait_for(sofar + 1))[-1]
            assert last.path == path or last.at < answered + ANNOUNCED_SECONDS
    status, answer = await client.call("DELETE", "/webhook/acme")
    assert (status, answer) == (200, {"deleted": 1, "remaining": []})
    assert [await one.stop(), await two.stop()] == [0, 0]


async def test_a_test_event_arrives_signed_and_its_answer_is_shown(worker: StartWorker, receiver: Receiver) -> None:
    client = Client()
    await worker(**client.settings)
    body = {"enabled": True, "url": receiver.url("/x"), "instance": "acme", "secret": "generate"}
    status, answer = await client.call("POST", "/webhook/instance", body)
    assert (status, answer["secret"][:6]) == (201, "whsec_")
    status, answer = await client.call("POST", "/webhook/test/acme")
    assert (status, answer["status"], answer["body"], answer["signed"]) == (200, 200, "ok", True)
    (request,) = receiver.requests
    assert request.header("webhook-signature")


async def test_without_a_key_the_api_is_off_and_the_log_says_so(worker: StartWorker) -> None:
    client = Client(key="")
    daemon = await worker(**client.settings)
    await daemon.wait_for_line("the /webhook API is off", "AUTHENTICATION_API_KEY")
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.call("GET", "/webhook")


@pytest.mark.parametrize(("command", "connection"), [("run", "worker publish"), ("api", "worker api")])
async def test_changes_are_told_over_the_connection_of_the_process_and_stored_without_it(
    worker: StartWorker, proxy: Proxy, receiver: Receiver, command: str, connection: str
) -> None:
    client = Client()
    await worker()  # somebody to tell
    daemon = await worker(arguments=(command,), **client.settings, RABBITMQ_URI=proxy.uri())
    await daemon.wait_for_line("connected to RabbitMQ", connection)
    for number in range(5):
        status, _ = await client.call("POST", "/webhook/set/acme", {"url": receiver.url(f"/{number}")})
        assert status == 201
    assert (proxy.count(connection), proxy.count("worker command")) == (1, 0)
    proxy.refuse("")
    status, _ = await client.call("POST", "/webhook/set/acme", {"url": receiver.url("/last")})
    assert status == 201
    await daemon.wait_for_line("could not be told", "CACHE_TTL_SECONDS", "acme")
    assert (await client.call("GET", "/webhook/find/acme"))[1]["url"] == receiver.url("/last")


async def test_it_runs_alone_and_without_a_broker(worker: StartWorker, receiver: Receiver) -> None:
    client = Client()
    uri = f"amqp://guest:hunter2@127.0.0.1:{free_port()}/"
    alone = await worker(arguments=("api",), ready=False, **client.settings, RABBITMQ_URI=uri)
    await alone.wait_ready()
    assert (await alone.status("/livez"), await alone.status("/metrics")) == (200, 404)
    status, _ = await client.call("POST", "/webhook/set/acme", {"url": receiver.url("/x")})
    assert status == 201
    await alone.wait_for_line("could not be told", "CACHE_TTL_SECONDS")
    assert (await client.call("GET", "/webhook/find/acme"))[1]["url"] == receiver.url("/x")
    assert await alone.stop() == 0
    assert "hunter2" not in alone.output()


async def test_alone_and_without_a_key_it_says_what_is_wrong(worker: StartWorker) -> None:
    alone = await worker(arguments=("api",), ready=False, AUTHENTICATION_API_KEY="")
    assert await alone.wait() == 2
    assert "AUTHENTICATION_API_KEY is empty" in alone.output()


async def test_a_port_that_is_taken_ends_the_start_with_the_settings_name(worker: StartWorker) -> None:
    client = Client()
    first = await worker(arguments=("api",), ready=False, **client.settings)
    await client.until_serving(first)
    second = await worker(arguments=("api",), ready=False, **client.settings)
    assert await second.wait() == 1
    assert "SERVER_PORT" in second.output()
    first.send_signal(signal.SIGINT)
    assert await first.wait() == 0


async def test_a_port_that_is_taken_is_said_in_one_line(worker: StartWorker, receiver: Receiver) -> None:
    taken = {"AUTHENTICATION_API_KEY": KEY, "SERVER_PORT": str(receiver.port), "SERVER_HOST": "127.0.0.1"}
    alone = await worker(arguments=("api",), ready=False, **taken)
    assert await alone.wait() == 1
    (said,) = [line for line in alone.lines if not line.startswith("{")]
    assert said.startswith("webhook-worker: SERVER_HOST and SERVER_PORT: cannot listen: ")
    assert "Traceback" not in alone.output()
