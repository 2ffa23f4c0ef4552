"""`webhook-worker doctor` against a real RabbitMQ with its management API, and a real PostgreSQL.

Its fixes are run as they are printed, and looked at again.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shlex
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartWorker
from tests.e2e.conftest import PutWebhooks, RunCommand
from tests.history.fakes import row
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.evolution import Evolution
from tests.support.local_broker import LocalBroker
from tests.support.local_process import free_port
from tests.support.postgres import Postgres
from tests.support.receiver import Receiver
from tests.support.waiting import eventually
from worker.doctor.asking.management import Management, QueueFacts, management_address
from worker.doctor.commands import Commands
from worker.doctor.examination import examine
from worker.doctor.version import FIRST_WITH_A_LIMIT, parsed
from worker.domain.history import Batch
from worker.domain.notices.trouble import FAILING_MS
from worker.domain.webhook import Webhook
from worker.settings.settings import load
from worker.stores.database import parse
from worker.stores.history.store import history_store

Found = list[dict[str, Any]]
Doctor = Callable[..., Awaitable[tuple[int, Found]]]


@pytest.fixture(scope="module")
def broker() -> Iterator[LocalBroker]:
    """Of this module's own: the only one with the management API."""
    with LocalBroker(management=True) as broker:
        yield broker


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Any other zone is a finding, and the machine may be in one."""
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def doctor(broker: LocalBroker, names: Names, tmp_path: Path, utc: None) -> Doctor:
    """Exit code and findings, without the second that a process costs; `url=None` guesses the management API's."""
    defaults = {
        "RABBITMQ_URI": broker.uri,
        "DATABASE_CONNECTION_URI": f"sqlite:///{tmp_path / 'webhooks.db'}",
        "EGRESS_ALLOW": "127.0.0.0/8",
        "ARCHIVE": "false",  # as the workers of these tests
        **names.environment(),
    }

    async def run(url: str | None = broker.management_url, **given: str) -> tuple[int, Found]:
        settings, _ = load({**defaults, **given}, None)
        address = management_address(settings.rabbitmq_uri, url)
        found = [asdict(finding) async for finding in examine(settings, address, given=url is not None)]
        return int(bool(levels(found) & {"problem", "warning"})), found

    return run


@pytest.fixture
async def evolution(amqp: Amqp, names: Names, broker: LocalBroker) -> AsyncIterator[Callable[..., Awaitable[None]]]:
    """`await evolution("messages.upsert", key="...", messages=5)`: a queue as Evolution makes it, and what it holds."""
    made: list[str] = []

    async def make(name: str, *, key: str | None = None, messages: int = 0, body: bytes = b"x" * 100) -> None:
        made.append(name)
        await amqp.declare_exchange(names.exchange)
        await amqp.declare_queue(name, bind=None if key is None else (names.exchange, key))
        await asyncio.gather(*(amqp.publish("", name, body, message_id=f"m{n}") for n in range(messages)))
        await seen_by_management(broker, name, messages)

    yield make
    for name in made:
        await amqp.channel.queue_delete(name)


async def seen_by_management(broker: LocalBroker, name: str, messages: int) -> None:
    """Until its figures, which come late, say so."""
    await _wait_for(broker, name, lambda queue: queue.messages == messages and queue.policy is not None)


async def reader_seen(broker: LocalBroker, name: str) -> None:
    await _wait_for(broker, name, lambda queue: queue.consumers == 1 and queue.policy is not None)


async def policy_seen(broker: LocalBroker, name: str, policy: str | None) -> None:
    await _wait_for(broker, name, lambda queue: queue.policy is not None and queue.policy_name == policy)


async def _wait_for(broker: LocalBroker, name: str, wanted: Callable[[QueueFacts], bool]) -> None:
    async with Management(management_address(broker.uri, broker.management_url)) as management:

        async def ask() -> QueueFacts:
            return next((queue for queue in await management.queues() if queue.name == name), QueueFacts(name))

        await eventually(ask, wanted, 15, f"the management API to see {name} so")


def of(found: Found, name: str) -> dict[str, Any]:
    """The one finding of that subject."""
    (one,) = [finding for finding in found if finding["name"] == name]
    return one


def levels(found: Found) -> set[str]:
    return {finding["level"] for finding in found}


async def do(broker: LocalBroker, fix: str) -> None:
    """The fix, typed as it stands; `rabbitmqctl` is this node's."""
    program, *arguments = shlex.split(fix)
    assert program == "rabbitmqctl"
    await asyncio.to_thread(broker.ctl, *arguments)


async def version_of(broker: LocalBroker) -> str:
    return (await asyncio.to_thread(broker.ctl, "version")).strip()


async def always_advised(broker: LocalBroker) -> set[str]:
    """The limit in force cannot be asked for, so RabbitMQ 4's lower default is advised on until an event is seen."""
    return {"max_message_size"} if parsed(await version_of(broker)) >= FIRST_WITH_A_LIMIT else set()


async def test_a_sound_installation_has_nothing_to_do(
    worker: StartWorker, doctor: Doctor, webhooks: PutWebhooks, receiver: Receiver, broker: LocalBroker, names: Names
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")))
    await worker()
    await reader_seen(broker, names.retries)
    code, found = await doctor()
    assert (code, {one["name"] for one in found if one["level"] != "ok"}) == (0, await always_advised(broker)), found
    assert of(found, "workers")["what"] == "1 replica consuming"
    assert of(found, "binding")["what"] == f"{names.events} to {names.exchange} with #"
    assert of(found, "RabbitMQ's version")["what"] == await version_of(broker)
    assert of(found, "clock")["what"] == "agrees with RabbitMQ within 5 s"
    assert receiver.requests == []


async def test_each_fix_for_rabbitmq_mends_what_was_found(
    doctor: Doctor, evolution: Callable[..., Awaitable[None]], broker: LocalBroker
) -> None:
    await evolution("messages.upsert", key="messages.upsert", messages=3, body=b"x" * 2000)
    await evolution("group.participants.update", key="GROUP_PARTICIPANTS_UPDATE")
    await evolution("undefined.call", key="CALL")
    code, found = await doctor()
    assert code == 1
    unread, orphan = of(found, "Evolution's own queues"), of(found, "orphan queues")
    undefined, size = of(found, "queues `undefined.*`"), of(found, "max_message_size")
    assert (unread["level"], unread["items"]) == ("warning", ("messages.upsert",))
    assert "3 messages" in unread["what"]
    assert (orphan["level"], orphan["items"]) == ("advice", ("group.participants.update",))
    assert (undefined["level"], undefined["items"]) == ("advice", ("undefined.call",))
    assert "at least 2.0 KiB (the average of messages.upsert), at most 5.9 KiB" in size["what"]
    try:
        for finding in (unread, orphan, undefined):
            await do(broker, finding["fix"])
        await policy_seen(broker, "messages.upsert", "evolution-unread")
        code, found = await doctor()
        assert code == 0
        assert of(found, "Evolution's own queues")["what"] == "1 without a reader, all capped; 0 others"
        assert not {"orphan queues", "queues `undefined.*`"} & {finding["name"] for finding in found}
        code, found = await doctor(RABBITMQ_SOURCE="queues")
        assert code == 1
        cut = next(finding for finding in found if finding["level"] == "problem")
        assert "cut off by a limit" in cut["what"]
        await do(broker, cut["fix"])
        await policy_seen(broker, "messages.upsert", None)
        _, found = await doctor(RABBITMQ_SOURCE="queues")
        assert "problem" not in levels(found)
    finally:
        for name in json.loads(await asyncio.to_thread(broker.ctl, "list_policies", "--formatter", "json")):
            await asyncio.to_thread(broker.ctl, "clear_policy", name["name"])


async def test_a_policy_on_the_workers_own_queues_and_a_lost_binding_are_problems(
    worker: StartWorker, doctor: Doctor, broker: LocalBroker, names: Names, amqp: Amqp
) -> None:
    daemon = await worker()
    assert await daemon.stop() == 0
    await (await amqp.channel.get_queue(names.events)).unbind(names.exchange, "#")
    definition = '{"max-length":5,"delivery-limit":20,"overflow":"drop-head"}'
    await asyncio.to_thread(broker.ctl, "set_policy", "--apply-to", "queues", "too-wide", names.prefix, definition)
    try:
        await policy_seen(broker, names.events, "too-wide")
        code, found = await doctor()
        assert code == 1
        assert "is missing: events are lost" in of(found, "binding")["what"]
        assert f"{names.events} 20 (wants 100)" in of(found, "delivery limits")["what"]
        cut = of(found, "policies on our queues")
        assert cut["level"] == "problem"
        assert names.events in cut["items"]
        assert cut["fix"].endswith("rabbitmqctl clear_policy too-wide")
    finally:
        await asyncio.to_thread(broker.ctl, "clear_policy", "too-wide")


async def test_the_archive_is_examined_and_each_of_its_fixes_mends(
    worker: StartWorker, doctor: Doctor, webhooks: PutWebhooks, broker: LocalBroker, names: Names, receiver: Receiver
) -> None:
    """Made by a worker, given other bounds, left over once nobody wants it, and missing."""
    await webhooks(Webhook("acme", receiver.url("/hook"), paused_at=int(time.time() * 1000) + 60_000))
    _, found = await doctor(ARCHIVE="true")
    assert "made at the next start" in of(found, "archive")["what"]
    assert "--accept-gap" in of(found, "paused webhooks")["fix"], "there is nothing yet that it could be sent"
    daemon = await worker(ARCHIVE="true")
    await daemon.wait_metric("archiving", 1)
    other = {"ARCHIVE": "true", "ARCHIVE_HOURS": "12", "ARCHIVE_MAX_BYTES": "2GiB"}
    _, found = await doctor(**other)
    assert of(found, "archive's bounds")["what"].startswith("24 h, 1024.0 MiB in segments of 16.0 MiB")
    await do(broker, of(found, "archive's bounds")["fix"])
    try:
        await policy_seen(broker, names.archive, "webhooks-archive")
        code, found = await doctor(**other)
        assert {one["level"] for one in found if "archive" in one["name"]} == {"ok"}, found
        assert (code, of(found, "paused webhooks")["level"]) == (0, "advice")
        _, found = await doctor(ARCHIVE="true")
        assert of(found, "archive's bounds")["fix"] == "rabbitmqctl clear_policy webhooks-archive"
    finally:
        await asyncio.to_thread(broker.ctl, "clear_policy", "webhooks-archive")
    assert await daemon.stop() == 0
    _, found = await doctor()
    assert "still exists" in of(found, "archive")["what"]
    await do(broker, of(found, "archive")["fix"])
    _, found = await doctor(ARCHIVE="true", RABBITMQ_DECLARE="false")
    assert "missing with RABBITMQ_DECLARE=false" in of(found, "archive")["what"]


async def test_without_the_management_api_the_archives_bounds_come_over_amqp(
    doctor: Doctor, broker: LocalBroker, names: Names, amqp: Amqp
) -> None:
    bounds = {"x-queue-type": "stream", "x-max-age": "6h", "x-max-length-bytes": 1 << 20}
    nobody = f"http://127.0.0.1:{free_port()}"
    await amqp.declare_queue(names.archive, arguments=bounds)
    _, found = await doctor(nobody, ARCHIVE="true")
    assert "6 h, 1.0 MiB in segments of 476.8 MiB (a policy could not be seen" in of(found, "archive's bounds")["what"]
    await amqp.channel.queue_delete(names.archive)
    await amqp.declare_queue(names.archive, arguments={"x-max-length-bytes": 1 << 20})
    await amqp.publish("", names.archive, b"{}", message_id="m")
    _, found = await doctor(nobody, ARCHIVE="true")
    assert "is a quorum queue and no stream" in of(found, "archive")["what"]
    (message,) = await amqp.drain(names.archive)
    assert not message.redelivered, "what is no stream is not read"


async def test_the_policy_for_queues_that_the_worker_reads_is_one_that_rabbitmq_takes(broker: LocalBroker) -> None:
    await do(broker, Commands("/", "webhooks").keep_read("webhooks.dead"))
    (policy,) = json.loads(await asyncio.to_thread(broker.ctl, "list_policies", "--formatter", "json"))
    assert (policy["name"], json.loads(policy["definition"])["delivery-limit"]) == ("evolution-read", 100)
    await asyncio.to_thread(broker.ctl, "clear_policy", "evolution-read")


async def test_without_the_management_api_it_says_what_it_could_not_see_and_sees_the_rest(
    doctor: Doctor, evolution: Callable[..., Awaitable[None]]
) -> None:
    await evolution("messages.upsert", key="messages.upsert", messages=1001)
    await evolution("undefined.call")
    code, found = await doctor(f"http://127.0.0.1:{free_port()}")
    assert code == 1
    absent = of(found, "management API")
    assert absent["level"] == "problem", "the operator named the address"
    assert "nobody answers" in absent["what"]
    assert "orphan queues" in absent["what"]
    assert "rabbitmq-plugins enable rabbitmq_management" in absent["fix"]
    unread = of(found, "Evolution's own queues")
    assert (unread["level"], unread["items"]) == ("warning", ("messages.upsert",))
    assert of(found, "queues `undefined.*`")["items"] == ("undefined.call",)
    assert of(found, "RabbitMQ's version")["level"] == "ok"
    assert of(found, "clock")["level"] == "advice"


async def test_a_user_without_the_tag_or_the_rights_is_told_how_to_get_them(
    doctor: Doctor, broker: LocalBroker, names: Names
) -> None:
    user = f"user-{names.prefix}"
    await asyncio.to_thread(broker.ctl, "add_user", user, "hunter2")
    try:
        await asyncio.to_thread(broker.ctl, "set_permissions", user, "^$", "^$", "^$")
        uri = f"amqp://{user}:hunter2@127.0.0.1:{broker.port}/"
        code, found = await doctor(RABBITMQ_URI=uri, RABBITMQ_EXCHANGE_NAME="amq.topic")
        assert code == 1
        refused = of(found, "management API")
        assert "refuses this user" in refused["what"]
        tag, _, _ = refused["fix"].partition(",")
        lacking = of(found, "RabbitMQ rights")
        assert lacking["level"] == "problem"
        for fix in (tag, lacking["fix"]):
            await do(broker, fix)
        _, found = await doctor(RABBITMQ_URI=uri, RABBITMQ_EXCHANGE_NAME="amq.topic")
        assert of(found, "management API")["level"] == "ok"
        assert "RabbitMQ rights" not in {finding["name"] for finding in found}
        assert "hunter2" not in json.dumps(found)
    finally:
        await asyncio.to_thread(broker.ctl, "delete_user", user)


@pytest.mark.parametrize(
    "mode",
    [{"RABBITMQ_SOURCE": "queues", "RABBITMQ_PREFIX_KEY": "loja.1"}, {"RABBITMQ_INSTANCE_EXCHANGES": "true"}],
)
async def test_the_rights_that_are_told_are_enough_for_the_mode(
    mode: dict[str, str],
    doctor: Doctor,
    worker: StartWorker,
    webhooks: PutWebhooks,
    receiver: Receiver,
    amqp: Amqp,
    broker: LocalBroker,
    names: Names,
) -> None:
    user, acme, queue = f"user-{names.prefix}", f"acme-{names.prefix}", "loja.1.messages.upsert"
    await webhooks(Webhook(acme, receiver.url("/hook")))
    await amqp.declare_exchange(names.exchange)
    if "RABBITMQ_SOURCE" in mode:
        await amqp.declare_queue(queue, bind=(names.exchange, "messages.upsert"))
    await asyncio.to_thread(broker.ctl, "add_user", user, "hunter2")
    try:
        await asyncio.to_thread(broker.ctl, "set_permissions", user, "^$", "^$", "^$")
        uri = f"amqp://{user}:hunter2@127.0.0.1:{broker.port}/"
        settings = {"RABBITMQ_URI": uri, "ARCHIVE": "true", **mode}
        _, found = await doctor(**settings)
        await do(broker, of(found, "RabbitMQ rights")["fix"])
        daemon = await worker(**settings)
        await daemon.wait_metric("archiving", 1)
        source = names.exchange
        if "RABBITMQ_INSTANCE_EXCHANGES" in mode:
            source = acme
            await _bound(broker, acme, names.events)
            await _bound(broker, acme, names.archive)
        await amqp.publish_event(source, "messages.upsert", event(instance=acme))
        await daemon.wait_metric("deliveries_total", 1, outcome="Delivered")
        _, found = await doctor(**settings)
        assert of(found, "archive")["level"] == "ok", "it may be read"
        await _bound(broker, names.exchange, names.archive)
        assert not [line for line in daemon.lines if "ACCESS_REFUSED" in line]
        assert await daemon.stop() == 0
    finally:
        await asyncio.to_thread(broker.ctl, "delete_user", user)
        await amqp.channel.queue_delete(queue)
        await amqp.channel.exchange_delete(acme)


async def _bound(broker: LocalBroker, source: str, queue: str) -> None:
    async with Management(management_address(broker.uri, broker.management_url)) as management:

        async def ask() -> set[tuple[str, str]]:
            return {(one.source, one.queue) for one in await management.bindings()}

        await eventually(ask, lambda bindings: (source, queue) in bindings, 15, f"{source} bound to {queue}")


async def test_with_another_exchanges_name_no_queue_is_offered_for_deletion(
    doctor: Doctor, evolution: Callable[..., Awaitable[None]], postgres: Postgres, names: Names
) -> None:
    """A worker that reads these queues, stopped, and a setting that is wrong: what they hold is not delivered yet."""
    await evolution("messages.upsert", key="messages.upsert", messages=3)
    tag = secrets.token_hex(4)
    database = Evolution(postgres, f"evolution_{tag}", "evolution_api", f"reader_{tag}").create()
    database.instance("acme")
    settings = {"WEBHOOK_SOURCE": "evolution", "DATABASE_CONNECTION_URI": database.reader_uri}
    _, found = await doctor(**settings, RABBITMQ_SOURCE="queues", RABBITMQ_EXCHANGE_NAME=f"{names.exchange}-not")
    strange = of(found, "queues of another exchange")
    assert strange["items"] == ("messages.upsert",)
    assert f"fed by {names.exchange}" in strange["what"]
    assert "delete_queue" not in json.dumps(found)


async def test_it_changes_nothing_and_sends_nothing(
    doctor: Doctor,
    evolution: Callable[..., Awaitable[None]],
    webhooks: PutWebhooks,
    receiver: Receiver,
    amqp: Amqp,
    broker: LocalBroker,
) -> None:
    async def everything() -> str:
        """Definitions, and how often each message has been taken."""
        definitions = json.loads(await asyncio.to_thread(broker.ctl, "export_definitions", "-", "--format", "json"))
        (message,) = await amqp.drain("messages.upsert")
        assert not message.redelivered
        await amqp.publish("", "messages.upsert", b"x", message_id="m")
        kept = ("queues", "exchanges", "bindings", "policies", "parameters", "permissions")
        return json.dumps({key: definitions[key] for key in kept}, sort_keys=True)

    await webhooks(Webhook("acme", receiver.url("/hook")))
    await evolution("messages.upsert", key="messages.upsert", messages=1)
    before = await everything()
    modes = ({}, {"RABBITMQ_SOURCE": "queues"}, {"RABBITMQ_DECLARE": "false"})
    await asyncio.gather(*(doctor(**settings) for settings in modes))
    assert await everything() == before
    assert receiver.requests == []


async def test_a_database_user_without_rights_gets_the_statements_that_grant_them(
    doctor: Doctor, worker: StartWorker, postgres: Postgres
) -> None:
    tag = secrets.token_hex(6)
    name, role = f"test_{tag}", f"role_{tag}"
    uri = postgres.create_database(name)
    postgres.execute(name, f"REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE {role} LOGIN")
    reader = uri.replace("worker:secret", f"{role}:hunter2")
    code, found = await doctor(DATABASE_CONNECTION_URI=reader)
    assert code == 1
    creating = of(found, "database rights")
    assert creating["level"] == "problem"
    assert creating["fix"].startswith(f'GRANT CREATE, USAGE ON SCHEMA "public" TO "{role}"')
    migrated = await worker(arguments=("migrate",), ready=False, DATABASE_CONNECTION_URI=uri)
    assert await migrated.wait() == 0
    postgres.execute(name, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    code, found = await doctor(DATABASE_CONNECTION_URI=reader)
    assert code == 1
    lacking = of(found, "database rights")
    assert "lacks the rights" in lacking["what"]
    assert "hunter2" not in json.dumps(found)
    postgres.execute(name, lacking["fix"])
    code, found = await doctor(DATABASE_CONNECTION_URI=reader, HISTORY="off")
    assert code == 0
    assert of(found, "database rights")["level"] == "ok"
    assert of(found, "clock")["what"] == "agrees with the database and RabbitMQ within 5 s"
    code, found = await doctor(DATABASE_CONNECTION_URI=reader)
    history = of(found, "history")
    assert (code, history["level"], "one for each day" in history["what"]) == (1, "warning", True)


async def test_evolutions_database_is_granted_for_reading_and_tells_which_instances_are_gone(
    doctor: Doctor, postgres: Postgres, amqp: Amqp, broker: LocalBroker
) -> None:
    tag = secrets.token_hex(4)
    here, gone = f"here-{tag}", f"gone-{tag}"
    database = Evolution(postgres, f"evolution_{tag}", "evolution_api", f"reader_{tag}").create()
    database.instance(here)
    database.execute(f'REVOKE ALL ON ALL TABLES IN SCHEMA "evolution_api" FROM reader_{tag}')
    settings = {
        "WEBHOOK_SOURCE": "evolution",
        "DATABASE_CONNECTION_URI": database.reader_uri,
        "RABBITMQ_INSTANCE_EXCHANGES": "true",
    }
    try:
        for instance in (here, gone):
            await amqp.declare_exchange(instance)
            await amqp.declare_queue(f"{instance}.call", bind=(instance, "call"))
            await seen_by_management(broker, f"{instance}.call", 0)
        _, found = await doctor(**settings)
        lacking = of(found, "database rights")
        assert lacking["level"] == "problem"
        assert "orphan queues" not in {finding["name"] for finding in found}, "no instance is known"
        database.execute(lacking["fix"])
        _, found = await doctor(**settings)
        assert of(found, "database rights")["what"] == "Evolution's tables can be read"
        orphans = of(found, "orphan queues")
        assert (orphans["level"], orphans["items"]) == ("advice", (f"{gone}.call",))
    finally:
        for instance in (here, gone):
            await amqp.channel.queue_delete(f"{instance}.call")
            await amqp.channel.exchange_delete(instance)


async def test_receivers_that_cannot_be_connected_to_are_named(
    doctor: Doctor, webhooks: PutWebhooks, receiver: Receiver
) -> None:
    await webhooks(
        Webhook("well", receiver.url("/x")),
        Webhook("refused", "http://10.9.8.7/x"),
        Webhook("closed", f"http://127.0.0.1:{free_port()}/x"),
        Webhook("plain", receiver.url("/x").replace("http://", "https://")),
        Webhook("unknown", "https://receiver.invalid/x"),
        Webhook("off", "http://10.9.8.8/x", enabled=False),
    )
    code, found = await doctor()
    assert code == 1
    told = {finding["items"][0]: finding for finding in found if finding["name"] == "endpoints" and finding["items"]}
    assert {who: finding["level"] for who, finding in told.items()} == {
        "refused/default": "problem",
        "closed/default": "warning",
        "plain/default": "warning",
        "unknown/default": "warning",
    }
    assert "TLS" in told["plain/default"]["what"]
    assert "resolve" in told["unknown/default"]["what"]
    assert "EGRESS_ALLOW" in told["refused/default"]["fix"]
    assert receiver.requests == []


async def test_webhooks_that_fail_or_were_disabled_are_named_and_the_fix_enables_one(
    doctor: Doctor, webhooks: PutWebhooks, receiver: Receiver, command: RunCommand, tmp_path: Path
) -> None:
    off = Webhook("-shop", receiver.url("/x"), "crm", enabled=False, disabled_reason="the receiver answered 410")
    await webhooks(Webhook("acme", receiver.url("/x")), off)
    now = int(time.time() * 1000)
    rows = [row(at, outcome="Retried", reason="5xx", status=503) for at in (now - FAILING_MS - 60_000, now)]
    history = history_store(parse(f"sqlite:///{tmp_path / 'history.db'}"), 7, lambda: now)
    await history.prepare()
    await history.write([Batch("test", 0, "replica", tuple(rows))])
    await history.close()
    code, found = await doctor()
    assert (code, of(found, "failing webhooks")["items"][0].partition(" since ")[0]) == (1, "acme/default")
    disabled = of(found, "disabled webhooks")
    assert disabled["items"] == ("-shop/crm (the receiver answered 410)",)
    _, fix = disabled["fix"].split("webhook-worker ")
    code, output = await command(*shlex.split(fix))
    assert code == 0, output
    _, found = await doctor()
    assert "disabled webhooks" not in {finding["name"] for finding in found}


async def test_for_people_each_finding_is_a_line_and_its_fix_another(worker: StartWorker, broker: LocalBroker) -> None:
    command = await worker(arguments=("doctor", "--management-url", broker.management_url), ready=False)
    assert await command.wait() == 0
    assert "ok      settings: right, or this would not run" in command.lines
    created = next(index for index, line in enumerate(command.lines) if "created at the first start" in line)
    assert command.lines[created].startswith("advice  queues and exchanges: ")
    assert command.lines[created + 1] == "        fix: webhook-worker run, before Evolution starts"
    advice = 1 + len(await always_advised(broker))
    assert command.lines[-1].startswith(f"problems: 0, warnings: 0, advice: {advice}, ok: ")


async def test_a_broker_that_is_away_is_a_problem_and_the_rest_is_still_looked_at(
    doctor: Doctor,
) -> None:
    code, found = await doctor(None, RABBITMQ_URI=f"amqp://me:hunter2@127.0.0.1:{free_port()}/")
    assert code == 1
    assert of(found, "RabbitMQ")["level"] == "problem"
    assert "hunter2" not in json.dumps(found)
    assert {"webhook store", "time zone", "endpoints"} <= {finding["name"] for finding in found}


async def test_as_a_command_it_speaks_json_and_refuses_what_is_no_address(
    worker: StartWorker, broker: LocalBroker
) -> None:
    traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}
    command = await worker(arguments=("doctor", "--json"), ready=False, RABBITMQ_URI=broker.uri + "nowhere", **traces)
    assert await command.wait() == 1
    found = json.loads(command.output())
    assert {tuple(finding) for finding in found} == {("level", "name", "what", "fix", "items")}
    assert of(found, "RabbitMQ")["level"] == "problem"
    assert of(found, "traces")["level"] == "warning"
    wrong = await worker(arguments=("doctor", "--management-url", "ftp://me:hunter2@h"), ready=False)
    assert await wrong.wait() == 2
    assert wrong.lines == [
        "webhook-worker: --management-url must be a URI of at most 4096 bytes that begins with http:// or https://"
    ]
