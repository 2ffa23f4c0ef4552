"""Events given back: the archive, replays, pause and resume, with a real broker and SQLite."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests.conftest import StartWorker
from tests.e2e.flow import Flow
from tests.support.events import event
from tests.support.local_process import free_port
from tests.support.quick_replays import QUICK_REPLAYS
from tests.support.receiver import Answer, Receiver
from tests.support.waiting import eventually
from tests.support.worker import Worker
from worker.domain.webhook import Webhook

QUICK = {"ARCHIVE": "true", "CACHE_TTL_SECONDS": "1", "WEBHOOK_RETRY_MAX_ATTEMPTS": "1", "BREAKER_FAILURES": "100000"}
KEY = "operators-key"


def bodies(first: int, last: int) -> list[bytes]:
    return [event(data={"key": {"remoteJid": "5511@s.whatsapp.net"}, "n": number}) for number in range(first, last)]


def numbers(receiver: Receiver, path: str = "/hook") -> list[int]:
    """In order of arrival."""
    return [request.json()["data"]["n"] for request in receiver.at(path)]


@dataclass
class Api:
    """The API beside the deliveries."""

    port: int

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None, status: int = 200) -> Any:
        url = f"http://127.0.0.1:{self.port}{path}"
        async with (
            aiohttp.ClientSession(headers={"apikey": KEY}) as client,
            client.request(method, url, json=body) as answer,
        ):
            found = await answer.json()
            assert answer.status == status, found
            return found

    async def refusal(self, method: str, path: str, body: dict[str, Any] | None = None, status: int = 409) -> str:
        found = await self.call(method, path, body, status)
        return json.dumps(found["response"]["message"])

    async def replayed(self, **asked: Any) -> dict[str, Any]:
        """A replay of acme's since an hour, once it has ended."""
        job = await self.call("POST", "/replay", {"instance": "acme", "since": "1h", **asked}, 202)
        return await self.ended(job["id"])

    async def ended(self, job_id: str) -> dict[str, Any]:
        async def ask() -> Any:
            return await self.call("GET", f"/replay/{job_id}")

        found: dict[str, Any] = await eventually(ask, lambda job: bool(job["ended_at"]), 60, "the replay to end")
        return found


@dataclass
class Archived:
    """A worker with an archive and an API. Its webhook has one attempt at a time: events arrive in their order."""

    flow: Flow
    api: Api

    async def delivered(self, first: int, last: int) -> None:
        await self.flow.publish(*bodies(first, last))
        await self.flow.delivered(last)
        await self.written(last)

    async def written(self, rows: int) -> None:
        await self.flow.daemon.wait_metric("history_rows_written_total", rows)


StartArchived = Callable[..., Awaitable[Archived]]


@pytest.fixture
def start_archived(flow: Flow) -> StartArchived:
    async def start(*more: Webhook, **settings: str) -> Archived:
        port = free_port()
        given = {"AUTHENTICATION_API_KEY": KEY, "SERVER_PORT": str(port), **QUICK, **settings}
        await flow.put_webhooks(Webhook("acme", flow.receiver.url("/hook"), concurrency=1), *more)
        flow.daemon = await flow.start_worker(program=QUICK_REPLAYS, **given)
        await flow.daemon.wait_metric("archiving", 1)
        return Archived(flow, Api(port))

    return start


@pytest.fixture
async def archived(start_archived: StartArchived) -> Archived:
    return await start_archived()


async def test_a_replay_sends_what_was_not_delivered_and_nothing_else(archived: Archived) -> None:
    flow, api = archived.flow, archived.api
    await archived.delivered(0, 5)
    flow.receiver.always("/hook", 500)
    await flow.publish(*bodies(5, 12))
    await flow.daemon.wait_metric("deliveries_total", 7, outcome="DeadLettered")
    flow.receiver.always("/hook", 200)
    await archived.written(12)
    counts = await api.replayed(dry_run=True)
    asked_for = ("found", "delivered", "on_their_way", "to_send", "sent")
    assert [counts[name] for name in asked_for] == [12, 5, 0, 7, 0]
    before = len(flow.receiver.requests)
    job = await api.replayed()
    assert (job["state"], job["sent"], job["error"]) == ("done", 7, None)
    assert "the archive was made at" in job["gone"]
    again = await flow.receiver.wait_for(before + 7)
    new = again[before:]
    assert [request.json()["data"]["n"] for request in new] == list(range(5, 12))
    assert {request.header("webhook-replay") for request in new} == {"true"}
    ids = {request.json()["data"]["n"]: request.header("webhook-id") for request in again[:before]}
    assert all(ids[request.json()["data"]["n"]] == request.header("webhook-id") for request in new)
    assert (await api.replayed())["sent"] == 0  # at once: what is on its way is not sent twice
    await archived.written(12 + 7)
    assert (await api.replayed(all=True, events=["messages.upsert"], until="1s"))["sent"] == 12
    of_another, behind = await asyncio.gather(
        api.replayed(all=True, events=["call"]), api.replayed(all=True, dry_run=True, since="2s")
    )
    assert of_another["found"] == 0
    assert behind["found"] == 0, "all events are older by now: a range behind the last one is empty"


async def test_a_paused_webhook_gets_what_came_meanwhile_in_order_and_its_owner_hears_of_it(archived: Archived) -> None:
    flow, api = archived.flow, archived.api
    owner = flow.receiver.url("/owner")
    await flow.put_webhooks(Webhook("acme", flow.receiver.url("/hook"), concurrency=1, alert_url=owner))
    await archived.delivered(0, 3)
    assert (await api.call("POST", "/webhook/pause/acme"))["paused_at"]
    (told,) = await flow.receiver.wait_for(1, 60, path="/owner")
    assert (told.json()["type"], told.json()["data"]["instance"]) == ("webhook.paused", "acme")
    assert told.json()["data"]["fix"] == "webhook-worker webhook resume --id=default acme"
    await flow.publish(*bodies(3, 20))
    await flow.daemon.wait_metric("deliveries_total", 17, outcome="Skipped", reason="paused")
    assert (await api.call("GET", "/webhook/find/acme"))["paused_at"]
    resumed = await api.call("POST", "/webhook/resume/acme", status=202)
    assert resumed["replay"]["kind"] == "resume"
    await flow.publish(*bodies(20, 23))
    await flow.receiver.wait_for(lambda requests: len({each.body for each in requests}) == 23, 60, path="/hook")
    assert sorted(set(numbers(flow.receiver))) == list(range(23))
    assert [number for number in numbers(flow.receiver) if 3 <= number < 20] == list(range(3, 20))


async def test_what_waits_for_a_retry_when_its_webhook_is_paused_waits_on(
    flow: Flow, start_archived: StartArchived
) -> None:
    """It is parked, not skipped, and comes after the resume by itself."""
    retried = Webhook("acme", flow.receiver.url("/retried"), id="retried", events=frozenset({"CALL"}))
    settings = {"WEBHOOK_RETRY_MAX_ATTEMPTS": "2", "WEBHOOK_RETRY_INITIAL_DELAY_SECONDS": "1"}
    api, paused = (await start_archived(retried, **settings)).api, asyncio.Event()
    flow.receiver.answer("/retried", Answer(500, release=paused))
    flow.receiver.always("/retried", 500)
    await flow.publish(event("call", data={"n": 1}))
    await flow.receiver.wait_for(1, path="/retried")
    await api.call("POST", "/webhook/pause/acme?id=retried")
    paused.set()
    await flow.daemon.wait_metric("deliveries_total", 1, outcome="Parked", reason="paused")
    assert await flow.daemon.metric("deliveries_total", outcome="Skipped", reason="paused") == 0


async def test_a_new_webhook_is_filled_from_the_archive(archived: Archived) -> None:
    flow = archived.flow
    await archived.delivered(0, 10)
    await flow.put_webhooks(Webhook("acme", flow.receiver.url("/new"), id="new", concurrency=1))
    assert (await archived.api.replayed(webhook="new", rate=50))["sent"] == 10
    await flow.receiver.wait_for(10, path="/new")
    assert numbers(flow.receiver, "/new") == list(range(10))


async def test_a_disabled_webhook_gets_what_it_missed_when_it_is_enabled(start_archived: StartArchived) -> None:
    """DISABLED_WEBHOOK=replay; a receiver that says 410 disables it."""
    archived = await start_archived(DISABLED_WEBHOOK="replay")
    flow, api = archived.flow, archived.api
    flow.receiver.answer("/hook", 410)
    await flow.publish(*bodies(0, 1))
    await flow.daemon.wait_for_line("is disabled")
    await flow.publish(*bodies(1, 6))
    await flow.daemon.wait_metric("deliveries_total", 5, outcome="Skipped", reason="disabled")
    enabled = {"webhook": {"enabled": True, "url": flow.receiver.url("/hook")}}
    await api.call("POST", "/webhook/set/acme", enabled, 201)
    await flow.receiver.wait_for(lambda requests: len({each.body for each in requests}) == 6, 60)


async def test_what_cannot_be_replayed_is_refused_with_the_reason(archived: Archived) -> None:
    api, acme = archived.api, {"instance": "acme", "since": "1h"}
    assert "has no webhook 'other'" in await api.refusal("POST", "/replay", {**acme, "webhook": "other"})
    assert "since: must be an age" in await api.refusal("POST", "/replay", {**acme, "since": "yesterday"}, 400)
    assert "rate: must be a number" in await api.refusal("POST", "/replay", {**acme, "rate": True}, 400)
    assert "is not paused" in await api.refusal("POST", "/webhook/resume/acme")
    await api.call("POST", "/webhook/pause/acme")
    assert "paused already" in await api.refusal("POST", "/webhook/pause/acme")
    assert "webhook is paused" in await api.refusal("POST", "/replay", acme)
    await api.refusal("POST", "/webhook/pause/nobody", status=404)
    await api.refusal("GET", "/replay/replay_unknown", status=404)


class Commands:
    """`webhook-worker` on this test's broker and databases."""

    def __init__(self, worker: StartWorker) -> None:
        self._worker = worker

    async def start(self, *arguments: str, **settings: str) -> Worker:
        return await self._worker(program=QUICK_REPLAYS, arguments=arguments, ready=False, **{**QUICK, **settings})

    async def run(self, *arguments: str, code: int = 0, **settings: str) -> str:
        done = await self.start(*arguments, **settings)
        assert await done.wait(60) == code, done.output()
        return "\n".join(done.lines)


@pytest.fixture
def commands(worker: StartWorker) -> Commands:
    return Commands(worker)


async def test_a_replay_whose_process_is_killed_is_carried_on_by_the_worker(
    archived: Archived, commands: Commands
) -> None:
    """Each event comes again, none of them twice but those that were on their way."""
    flow, api = archived.flow, archived.api
    await archived.delivered(0, 40)
    asked = await commands.start("replay", "acme", "--since", "1h", "--all", "--rate", "10")
    await flow.receiver.wait_for(40 + 11, 30)
    await asked.kill()
    (found,) = (await api.call("GET", "/replay"))["items"]
    assert (found["state"], found["to_send"]) == ("sending", 40)
    await api.ended(found["id"])
    await flow.receiver.wait_for(lambda _: len(set(numbers(flow.receiver)[40:])) == 40)
    assert Counter(numbers(flow.receiver)[40:]).total() <= 40 + 10  # a batch was in doubt


async def test_a_replay_can_be_stopped_and_one_of_the_same_webhook_waits_for_it(
    archived: Archived, commands: Commands
) -> None:
    flow, api = archived.flow, archived.api
    await archived.delivered(0, 60)  # a minute's work for the replay, whatever else the machine does
    slow = await commands.start("replay", "acme", "--since", "1h", "--all", "--rate", "1")
    await flow.receiver.wait_for(62, 30)
    second = await api.call("POST", "/replay", {"instance": "acme", "since": "1h", "dry_run": True}, 202)
    running = next(job for job in (await api.call("GET", "/replay"))["items"] if job["id"] != second["id"])
    assert (await api.call("GET", f"/replay/{second['id']}"))["state"] == "queued"
    await api.call("DELETE", f"/replay/{running['id']}", status=202)
    assert await slow.wait() == 1
    assert "stopped" in slow.output()
    assert (await api.ended(second["id"]))["state"] == "done"
    assert len(flow.receiver.requests) < 120
    assert "has ended" in await api.refusal("DELETE", f"/replay/{running['id']}")
    assert running["id"] in await commands.run("replays", "list")


async def test_a_delivery_is_shown_and_sent_again_from_the_archive(archived: Archived, commands: Commands) -> None:
    flow, api = archived.flow, archived.api
    await archived.delivered(0, 1)
    (first,) = flow.receiver.requests
    delivery = str(first.header("webhook-id"))
    shown = await commands.run("history", "show", delivery, "--body")
    assert json.loads(shown)["data"]["n"] == 0
    assert json.loads(shown)["apikey"] != "k"
    assert (await api.call("GET", f"/history/{delivery}/body"))["body"]["data"]["n"] == 0
    assert (await api.call("POST", f"/history/{delivery}/resend"))["ok"] is True
    again = (await flow.receiver.wait_for(2))[1]
    assert (again.header("webhook-id"), again.header("webhook-replay")) == (delivery, "true")
    assert again.json()["data"] == first.json()["data"]
    assert "ARCHIVE is false" in await commands.run("history", "show", delivery, "--body", code=1, ARCHIVE="false")
    await api.refusal("GET", "/history/msg_unknown/body", status=404)


@pytest.fixture
async def patient(start_archived: StartArchived) -> Archived:
    """What fails there waits for an hour."""
    return await start_archived(WEBHOOK_RETRY_MAX_ATTEMPTS="5", WEBHOOK_RETRY_INITIAL_DELAY_SECONDS="3600")


async def assert_it_waits(api: Api) -> None:
    """The only event, for a replay: it is not sent a second time."""
    counts = await api.replayed(dry_run=True)
    assert [counts[name] for name in ("found", "on_their_way", "to_send")] == [1, 1, 0]


async def test_what_waits_goes_on_waiting_when_it_is_sent_again_by_hand_and_refused(
    patient: Archived,
) -> None:
    flow, api = patient.flow, patient.api
    flow.receiver.always("/hook", 503)
    await flow.publish(*bodies(0, 1))
    await patient.written(1)
    (first,) = await flow.receiver.wait_for(1)
    delivery = str(first.header("webhook-id"))
    assert (await api.call("POST", f"/history/{delivery}/resend"))["ok"] is False
    await patient.written(2)
    rows = (await api.call("GET", f"/history/{delivery}"))["items"]
    assert [(row["outcome"], row["reason"], row["status"]) for row in rows] == [("Retried", "5xx", 503)] * 2
    await assert_it_waits(api)


async def test_a_letter_whose_event_a_replay_has_sent_again_does_not_end_that_when_it_is_sent_by_hand(
    patient: Archived,
) -> None:
    flow, api = patient.flow, patient.api
    flow.receiver.always("/hook", 404)
    await flow.publish(*bodies(0, 1))
    await flow.daemon.wait_metric("deliveries_total", 1, outcome="DeadLettered")
    await patient.written(1)
    flow.receiver.always("/hook", 503)
    assert (await api.replayed())["sent"] == 1
    (first, *_) = await flow.receiver.wait_for(2)
    await patient.written(2)  # it was dead, and waits
    assert (await api.call("POST", f"/history/{first.header('webhook-id')}/resend"))["ok"] is False
    await patient.written(3)
    await assert_it_waits(api)
