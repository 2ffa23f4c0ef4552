"""`webhook-worker check`, and what `run` says when it cannot begin: every problem named, exit codes, no traces."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.conftest import StartWorker
from tests.e2e.conftest import PutWebhooks
from tests.support.amqp import Amqp, Names
from tests.support.local_broker import LocalBroker
from tests.support.local_process import free_port
from tests.support.worker import Worker
from worker.domain.webhook import Webhook


async def check(worker: StartWorker, *options: str, **settings: str) -> tuple[int, str]:
    """Its exit code and all that it wrote."""
    command = await worker(arguments=("check", *options), ready=False, **settings)
    return await command.wait(), command.output()


def problems(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("PROBLEM")]


async def test_all_is_well_before_the_first_start_and_after_it(worker: StartWorker, tmp_path: Path) -> None:
    code, output = await check(worker)
    assert (code, problems(output)) == (0, [])
    assert "created at the first start" in output
    assert not list(tmp_path.iterdir()), "not even the database's file"
    daemon = await worker()
    code, output = await check(worker, METRICS_PORT=str(daemon.metrics_port))
    assert (code, problems(output)) == (0, [])
    assert "created" not in output


async def test_as_json(worker: StartWorker) -> None:
    code, output = await check(worker, "--json")
    found = json.loads(output)
    assert code == 0
    assert [finding["ok"] for finding in found] == [True] * len(found)
    assert {"settings", "webhook store", "RabbitMQ"} <= {finding["name"] for finding in found}


async def test_it_changes_nothing(worker: StartWorker, broker: LocalBroker) -> None:
    async def everything() -> list[str]:
        queues = await asyncio.to_thread(broker.ctl, "list_queues", "name", "arguments", "messages", "consumers")
        return [queues, await asyncio.to_thread(broker.ctl, "list_exchanges", "name", "type")]

    daemon = await worker()
    assert await daemon.stop() == 0
    before = await everything()
    for settings in ({}, {"RABBITMQ_SOURCE": "queues"}, {"WORKER_QUEUE_PREFIX": "never", "RABBITMQ_DECLARE": "false"}):
        await check(worker, **settings)
    assert await everything() == before


async def test_a_broker_that_is_down_is_named_without_its_password(worker: StartWorker) -> None:
    code, output = await check(worker, RABBITMQ_URI=f"amqp://me:hunter2@127.0.0.1:{free_port()}/")
    assert code == 1
    (problem,) = problems(output)
    assert "RABBITMQ_URI" in problem
    assert "amqp://me:***@127.0.0.1" in problem
    assert "hunter2" not in output


async def test_a_wrong_password_is_said_to_be_one(worker: StartWorker, broker: LocalBroker) -> None:
    code, output = await check(worker, RABBITMQ_URI=broker.uri.replace("guest:guest", "guest:hunter2"))
    assert code == 1
    (problem,) = problems(output)
    assert "authentication" in problem
    assert "hunter2" not in output


async def test_what_is_missing_is_named_when_the_worker_may_not_declare_it(worker: StartWorker, names: Names) -> None:
    code, output = await check(worker, RABBITMQ_DECLARE="false")
    assert code == 1
    (problem,) = problems(output)
    for name in (names.events, names.retries, names.dead, names.retry(5), names.config, names.exchange):
        assert name in problem


async def test_a_user_without_rights_is_a_problem_and_no_traceback(
    worker: StartWorker, broker: LocalBroker, names: Names
) -> None:
    user = f"{names.prefix}-user"
    await asyncio.to_thread(broker.ctl, "add_user", user, "hunter2")
    try:
        await asyncio.to_thread(broker.ctl, "set_permissions", user, "^$", "^$", "^$")
        uri = broker.uri.replace("guest:guest", f"{user}:hunter2")
        code, output = await check(worker, RABBITMQ_URI=uri, RABBITMQ_EXCHANGE_NAME="amq.topic")
    finally:
        await asyncio.to_thread(broker.ctl, "delete_user", user)
    assert code == 1
    (problem,) = problems(output)
    assert "ACCESS_REFUSED" in problem
    assert "ok      RabbitMQ" in output
    assert "Traceback" not in output


async def test_evolutions_queues_are_looked_for(worker: StartWorker, amqp: Amqp, names: Names) -> None:
    settings = {"RABBITMQ_SOURCE": "queues", "RABBITMQ_PREFIX_KEY": names.prefix}
    code, output = await check(worker, **settings)
    assert code == 1
    assert "RABBITMQ_PREFIX_KEY" in problems(output)[0]
    queue = f"{names.prefix}.messages.upsert"
    await amqp.declare_queue(queue)
    code, output = await check(worker, **settings)
    assert (code, problems(output)) == (0, [])
    assert "1 found" in output
    await amqp.channel.queue_delete(queue)


async def test_a_database_that_cannot_be_used_is_named_and_the_broker_still_looked_at(
    worker: StartWorker, tmp_path: Path
) -> None:
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"this is no database" * 100)
    for path in (tmp_path / "no" / "such" / "folder.db", garbage):
        code, output = await check(worker, DATABASE_CONNECTION_URI=f"sqlite:///{path}")
        assert code == 1
        (problem,) = problems(output)
        assert "DATABASE_CONNECTION_URI" in problem
        assert "ok      RabbitMQ" in output


async def test_webhooks_that_the_egress_rules_refuse_are_named_with_the_setting(
    worker: StartWorker, webhooks: PutWebhooks, tmp_path: Path
) -> None:
    refused = [Webhook(f"tenant-{number:02}", f"http://10.9.8.{number % 3}/x") for number in range(14)]
    fine = Webhook("fine", "http://127.0.0.1:1/x")
    off = Webhook("off", "http://10.9.8.7/secret-path", enabled=False)
    await webhooks(*refused, fine, off, Webhook("unknown", "http://receiver.invalid/x"))
    before = (tmp_path / "webhooks.db").read_bytes()
    code, output = await check(worker)
    assert code == 1
    (problem,) = problems(output)
    assert "16 webhooks, 5 hosts" in problem
    assert "14 refused: tenant-00/default 10.9.8.0: private address 10.9.8.0; tenant-01" in problem
    assert "; and 4 more. See EGRESS_ALLOW" in problem
    assert "tenant-10" not in problem
    assert "10.9.8.7" not in problem
    assert (tmp_path / "webhooks.db").read_bytes() == before
    code, output = await check(worker, EGRESS_ALLOW="127.0.0.0/8,10.9.8.0/24")
    assert (code, problems(output)) == (0, [])


async def test_the_global_webhooks_url_is_judged_too_before_there_is_a_table(
    worker: StartWorker, tmp_path: Path
) -> None:
    settings = {"WEBHOOK_GLOBAL_ENABLED": "true", "WEBHOOK_GLOBAL_URL": "http://169.254.169.254/x"}
    code, output = await check(worker, **settings, WEBHOOK_EVENTS_CALL="true")
    assert code == 1
    (problem,) = problems(output)
    assert "WEBHOOK_GLOBAL_URL 169.254.169.254: cloud metadata address" in problem
    assert not list(tmp_path.iterdir())


# `run` that cannot begin


async def test_the_addresses_of_notices_are_judged_too(worker: StartWorker, webhooks: PutWebhooks) -> None:
    fine = "http://127.0.0.1:1/x"
    await webhooks(Webhook("acme", fine, alert_url="http://10.9.8.1/in"), Webhook("other", fine, alert_url=fine))
    settings = {"EGRESS_ALLOW": "127.0.0.0/8", "OPS_WEBHOOK_URL": "http://user:word@10.9.8.2/in"}
    code, output = await check(worker, **settings)
    assert code == 1
    assert (
        "2 refused: OPS_WEBHOOK_URL 10.9.8.2: private address 10.9.8.2; alert_url of acme/default 10.9.8.1:" in output
    )
    assert "word" not in output


async def refused(worker: StartWorker, **settings: str) -> Worker:
    command = await worker(ready=False, **settings)
    assert await command.wait() == 2
    return command


async def test_all_wrong_settings_are_told_at_once_with_exit_code_2(worker: StartWorker) -> None:
    command = await refused(
        worker,
        RABBITMQ_URI="http://me:hunter2@host",
        WORKER_CONCURRENCY="many",
        WEBHOOK_RETRY_MAX_ATEMPTS="3",
        LOG_LEVEL="loud",
    )
    output = command.output()
    for name in ("RABBITMQ_URI", "WORKER_CONCURRENCY='many'", "WEBHOOK_RETRY_MAX_ATTEMPTS?", "LOG_LEVEL='loud'"):
        assert name in output
    assert len(command.lines) == 4
    assert "hunter2" not in output


async def test_a_metrics_port_in_use_ends_the_start_with_one_clear_line(worker: StartWorker) -> None:
    daemon = await worker()
    other = await worker(ready=False, METRICS_PORT=str(daemon.metrics_port))
    assert await other.wait() == 1
    (line,) = [line for line in other.lines if not line.startswith("{")]
    assert "METRICS_PORT" in line
    assert "in use" in line
    assert await daemon.status("/readyz") == 200


async def test_check_names_a_queue_that_exists_otherwise(worker: StartWorker, amqp: Amqp, names: Names) -> None:
    await amqp.declare_queue(names.events, arguments={"x-max-length": 5})
    checked = await worker(arguments=("check",), ready=False)
    assert await checked.wait() == 1
    assert "one exists with other arguments" in checked.output()
    assert names.events in checked.output()


async def test_the_sqlite_file_is_its_owners_alone_and_reading_does_not_make_one(
    worker: StartWorker, tmp_path: Path
) -> None:
    """An empty store in the place of one that is away would tell the workers that nobody has a webhook."""
    for command in (("webhook", "list"), ("webhook", "get", "acme"), ("webhook", "delete", "acme")):
        asked = await worker(arguments=command, ready=False)
        assert await asked.wait() == 1
        assert "does not exist" in asked.output()
    assert not list(tmp_path.glob("webhooks.db*"))
    made = await worker(arguments=("webhook", "set", "acme", "--url", "https://h.example/x"), ready=False)
    assert await made.wait() == 0
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("webhooks.db*")} == {0o600}


async def test_an_owner_who_would_hear_little_is_named(worker: StartWorker, webhooks: PutWebhooks) -> None:
    await webhooks(Webhook("acme", "http://127.0.0.1:9/", alert_url="http://127.0.0.1:9/owner"))
    code, output = await check(worker, HISTORY="off")
    assert code == 0
    assert "HISTORY=off: the alert_url of 1 webhook hears of disabled webhooks only" in output
