"""`webhook-worker dead` on a real RabbitMQ: nothing is lost, whatever happens."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.amqp import Amqp, Names
from tests.support.local_broker import LocalBroker, free_port
from tests.support.waiting import eventually
from tests.support.worker import ROOT
from worker.broker.declare import declare
from worker.broker.past_headers import PREFIX, headers_of, past_in
from worker.broker.topology import topology
from worker.cli.dead_arguments import add_arguments
from worker.cli.dead_commands import Console, run
from worker.deadletters import redrive as dead_redrive
from worker.deadletters.browse import Browser, Seen
from worker.domain.event import identity
from worker.domain.past import Past
from worker.domain.routing import delivery_id

BODY = b'{"event":"messages.upsert","instance":"acme","data":{"n":1},"apikey":"K-SECRET"}'

COMMAND = """
import argparse, asyncio, sys
from worker.cli.dead_arguments import add_arguments
from worker.cli.dead_commands import run
parser = argparse.ArgumentParser()
add_arguments(parser.add_subparsers())
uri, prefix, *rest = sys.argv[1:]
sys.exit(asyncio.run(run(parser.parse_args(rest), uri, prefix)))
"""


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    out: str
    err: str


class AnsweringConsole(Console):
    answer: str | None = None

    def ask(self, question: str) -> str | None:
        self.err.write(question)
        return self.answer


Dead = Callable[..., Awaitable[Done]]


@pytest.fixture
async def dead(broker: LocalBroker, names: Names, amqp: Amqp) -> Dead:
    """`await dead("list", "--json")` runs the command on this test's queues, which exist."""
    await declare(amqp.connection, topology(names.prefix, names.exchange, (5,)), bind=False)

    async def command(
        *typed: str, uri: str = broker.uri, prefix: str = names.prefix, answer: str | None = None
    ) -> Done:
        parser = argparse.ArgumentParser()
        add_arguments(parser.add_subparsers())
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
        console = AnsweringConsole(out, err)
        object.__setattr__(console, "answer", answer)
        code = await run(parser.parse_args(["dead", *typed]), uri, prefix, console)
        out.flush()
        return Done(code, out.buffer.getvalue().decode(), err.getvalue())  # type: ignore[attr-defined]

    return command


def letter(number: int = 0, past: Past | None = None, **facts: object) -> dict[str, object]:
    """The headers of one letter, as the worker writes them."""
    past = past or Past(
        f"{number:064x}", 1.79e9, "evolution_exchange", "messages.upsert", "default", 12, 3, 500, "e", ("t 500",)
    )
    known = {"reason": "rejected", "error": "the receiver answered 400", "instance": "acme", "event": "messages.upsert"}
    known |= {"id": delivery_id(past.event_id, "acme", past.webhook_id or ""), "dead-since": _stamp(number)}
    return headers_of(past) | {PREFIX + key: value for key, value in (known | facts).items() if value is not None}


def _stamp(number: int) -> str:
    return f"2026-11-22T{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}.000+00:00"


async def put(amqp: Amqp, queue: str, headers: Mapping[str, Any], body: bytes = BODY) -> None:
    await amqp.publish("", queue, body, message_id="m", headers=headers)


async def fill(amqp: Amqp, names: Names, count: int) -> set[str]:
    """So many letters with event ids of their own; returns those."""
    for start in range(0, count, 200):
        await asyncio.gather(*(put(amqp, names.dead, letter(n)) for n in range(start, min(start + 200, count))))
    return {f"{n:064x}" for n in range(count)}


async def event_ids(amqp: Amqp, queue: str) -> list[str]:
    """Of all messages in the queue, which is left as it was."""
    found: list[str] = []

    def look(seen: Seen) -> bool:
        found.append(str(seen.headers[PREFIX + "event-id"]))
        return True

    async with Browser(amqp.connection, queue) as browser:
        await browser.run(look)
    return found


# list


async def test_list_shows_the_newest_first_and_leaves_everything(dead: Dead, amqp: Amqp, names: Names) -> None:
    await put(amqp, names.dead, letter(1, reason="expired", instance="umbrella"))
    await put(amqp, names.dead, letter(3))
    await put(amqp, names.dead, letter(2))
    done = await dead("list")
    head, *rows, empty, summary = done.out.splitlines()
    assert head.split()[:2] == ["DEAD", "SINCE"]
    assert [row[:19] for row in rows] == ["2026-11-22T00:00:03", "2026-11-22T00:00:02", "2026-11-22T00:00:01"]
    assert (empty, summary, done.code, done.err) == ("", "3 letters: 2 rejected, 1 expired", 0, "")
    assert (await dead("list", "--limit", "1")).out.splitlines()[-1] == "1 of 3 letters: 2 rejected, 1 expired"
    await amqp.wait_depth(names.dead, 3)


async def test_list_filters_and_speaks_json(dead: Dead, amqp: Amqp, names: Names) -> None:
    await put(amqp, names.dead, letter(1))
    await put(amqp, names.dead, letter(2, reason="expired", instance="umbrella", event="chats.update"))
    for filters in (["--instance", "umbrella"], ["--event", "CHATS_UPDATE"], ["--reason", "expired"],
                    ["--since", "2026-11-22T00:00:02Z"], ["--limit", "1"]):  # fmt: skip
        (found,) = json.loads((await dead("list", "--json", *filters)).out)
        assert found["instance"] == "umbrella", filters
    assert list(found) == [
        "id", "reason", "instance", "event", "webhook", "attempts", "last_status", "last_error", "error",
        "first_seen", "dead_since", "exchange", "routing_key", "log",
    ]  # fmt: skip
    assert (found["attempts"], found["log"], found["dead_since"]) == (12, ["t 500"], "2026-11-22T00:00:02.000Z")
    assert json.loads((await dead("list", "--json", "--webhook", "other")).out) == []
    assert (await dead("list", "--webhook", "other")).out == "0 letters\n"


async def test_groups_count_by_webhook_and_reason(dead: Dead, amqp: Amqp, names: Names) -> None:
    for number, facts in enumerate(({}, {}, {"reason": "expired"}, {"instance": "loja\u202e", "dead-since": None})):
        await put(amqp, names.dead, letter(number, **facts))  # type: ignore[arg-type]
    done = await dead("list", "--groups", "--json", "--limit", "1")
    found = json.loads(done.out)
    assert found["groups"] == [
        {
            "instance": "acme",
            "webhook": "default",
            "reason": "rejected",
            "count": 2,
            "newest": "2026-11-22T00:00:01.000Z",
        },
        {
            "instance": "acme",
            "webhook": "default",
            "reason": "expired",
            "count": 1,
            "newest": "2026-11-22T00:00:02.000Z",
        },
        {"instance": "loja\u202e", "webhook": "default", "reason": "rejected", "count": 1, "newest": None},
    ]
    assert [each["reason"] for each in found["letters"]] == ["expired"]
    lines = (await dead("list", "--groups", "--instance", "acme")).out.splitlines()
    assert lines[0].split() == ["2", "rejected", "acme/default", "newest", "2026-11-22T00:00:01.000Z"]
    assert lines[-1] == "3 letters: 2 rejected, 1 expired"
    assert "\\u202e" in (await dead("list", "--groups")).out


async def test_a_redrive_reports_how_far_it_is(
    dead: Dead, amqp: Amqp, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worker.cli import dead_output

    monkeypatch.setattr(dead_output, "PROGRESS_SECONDS", 0.0)
    await fill(amqp, names, 300)
    done = await dead("redrive", "--all", "--json", "--progress")
    moved = [json.loads(line)["moved"] for line in done.err.splitlines()]
    assert moved
    assert moved == sorted(moved)
    assert json.loads(done.out)["count"] == 300
    assert (await dead("redrive", "--all", "--json")).err == ""


async def test_more_letters_than_one_consumer_may_hold_all_come_and_all_return_while_others_arrive(
    dead: Dead, amqp: Amqp, names: Names
) -> None:
    ids = await fill(amqp, names, 2100)
    listing = asyncio.create_task(dead("list", "--json"))
    later: set[str] = set()
    while not listing.done():
        later.add(f"{5000 + len(later):064x}")
        await put(amqp, names.dead, letter(5000 + len(later) - 1))
    listed = {one["id"] for one in json.loads((await listing).out)}
    assert {delivery_id(one, "acme", "default") for one in ids} <= listed
    assert listed <= {delivery_id(one, "acme", "default") for one in ids | later}
    await amqp.wait_depth(names.dead, 2100 + len(later))
    assert set(await event_ids(amqp, names.dead)) == ids | later


async def test_garbage_is_shown_redriven_as_an_event_and_never_ends_the_command(
    dead: Dead, amqp: Amqp, names: Names
) -> None:
    await put(amqp, names.dead, {}, b"\xff\x00")
    await put(amqp, names.dead, {PREFIX + "reason": 7, "x-death": [1, {"reason": 2}]}, b"[]")
    await put(amqp, names.dead, {PREFIX + "event-id": "x", PREFIX + "attempts": "many"})
    found = json.loads((await dead("list", "--json")).out)
    assert [one["reason"] for one in found] == ["unknown"] * 3
    for one in found:
        assert (await dead("show", one["id"])).code == 0
    done = await dead("redrive", "--all")
    assert (done.code, done.out) == (1, "redrove 2 letters: 2 unknown\n")
    assert "left 1 letters whose headers are damaged" in done.err
    assert {message.body for message in await amqp.drain(names.events)} == {b"\xff\x00", b"[]"}
    await amqp.wait_depth(names.dead, 1)


# show


async def test_show_prints_headers_and_body_without_secrets_and_raw_the_bytes(
    dead: Dead, amqp: Amqp, names: Names
) -> None:
    await put(amqp, names.dead, letter(1, error="cannot reach https://u:K-SECRET@h/"))
    await put(amqp, names.dead, letter(2), b"other")
    wanted = delivery_id(f"{1:064x}", "acme", "default")
    done = await dead("show", wanted)
    shown = json.loads(done.out)
    assert "K-SECRET" not in done.out
    assert (shown["letter"]["id"], shown["headers"][PREFIX + "attempts"], shown["body"]["data"]) == (
        wanted,
        12,
        {"n": 1},
    )
    assert json.loads((await dead("show", wanted, "--json")).out)["body"] == shown["body"]
    assert (await dead("show", wanted, "--raw")).out.encode() == BODY
    await amqp.wait_depth(names.dead, 2)


async def test_a_reader_may_leave_early(dead: Dead, amqp: Amqp, names: Names, broker: LocalBroker) -> None:
    """`| head`: no complaint, and a redrive goes on to its end."""
    await put(amqp, names.dead, letter(1))
    wanted = delivery_id(f"{1:064x}", "acme", "default")
    environment = {
        **os.environ,
        "RABBITMQ_URI": broker.uri,
        "WORKER_QUEUE_PREFIX": names.prefix,
        "PYTHONUNBUFFERED": "1",
    }
    for typed in (["list"], ["show", wanted], ["show", wanted, "--raw"], ["redrive", "--all"]):
        read, write = os.pipe()
        os.close(read)
        command = [sys.executable, "-m", "worker", "dead", *typed]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=write, stderr=asyncio.subprocess.PIPE, env=environment, cwd=ROOT
        )
        os.close(write)
        _, err = await process.communicate()
        assert (process.returncode, err) == (0, b""), typed
    await amqp.wait_depth(names.dead, 0)


async def test_show_of_an_unknown_id_fails_in_one_line(dead: Dead, names: Names) -> None:
    done = await dead("show", "msg_nope")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "msg_nope" in done.err


# redrive


async def test_redrive_begins_a_new_life_at_the_one_webhook_with_the_same_id(
    dead: Dead, amqp: Amqp, names: Names
) -> None:
    await put(amqp, names.dead, letter(1) | {"x-death": [{"reason": "expired", "queue": "q", "count": 1}]})
    done = await dead("redrive", "--reason", "rejected", "--json")
    assert (done.code, json.loads(done.out)) == (0, {"count": 1, "by_reason": {"rejected": 1}})
    (message,) = await amqp.drain(names.retries)
    assert (message.body, message.delivery_mode) == (BODY, 2)
    assert not [name for name in message.headers if "death" in name or name == PREFIX + "reason"]
    past = past_in(message.headers)
    assert past is not None
    assert (past.event_id, past.webhook_id, past.attempts, past.parkings) == (f"{1:064x}", "default", 0, 0)
    assert past.first_seen > 1.79e9
    assert past.log[0] == "t 500"
    assert past.log[1].endswith(" redriven")
    await amqp.wait_depth(names.dead, 0)
    await amqp.wait_depth(names.events, 0)


async def test_a_letter_that_never_reached_a_webhook_goes_back_to_the_events(
    dead: Dead, amqp: Amqp, names: Names
) -> None:
    event = Past("a" * 64, 1.0, "evolution_exchange", "messages.upsert")
    await put(amqp, names.dead, letter(1, event, reason="expired", id=None))
    assert (await dead("redrive", "--id", "evt_" + "a" * 32)).out == "redrove 1 letter: 1 expired\n"
    (message,) = await amqp.drain(names.events)
    past = past_in(message.headers)
    assert past is not None
    assert (past.event_id, past.webhook_id) == ("a" * 64, None)


@pytest.mark.parametrize("retry", [False, True])
async def test_what_the_broker_gave_up_is_shown_and_redriven_as_what_it_was(
    retry: bool, dead: Dead, amqp: Amqp, names: Names
) -> None:
    source = names.retries if retry else names.events
    past = Past("b" * 64, 1.0, "evolution_exchange", "messages.upsert", "global", 2)
    await amqp.publish("", source, BODY, message_id="m-1", headers=headers_of(past) if retry else {})
    await _wear_out(amqp, source, names.dead)
    (found,) = json.loads((await dead("list", "--json", "--reason", "delivery_limit")).out)
    assert (found["instance"], found["event"], found["webhook"]) == (
        "acme",
        "messages.upsert",
        "global" if retry else None,
    )
    assert found["dead_since"] is not None
    assert (await dead("redrive", "--id", found["id"])).code == 0
    (message,) = await amqp.drain(source)
    past = past_in(message.headers)
    assert past is not None
    assert past.event_id == ("b" * 64 if retry else identity(BODY, "m-1"))
    assert past.webhook_id == ("global" if retry else None)
    assert "x-death" not in message.headers


async def _wear_out(amqp: Amqp, source: str, target: str) -> None:
    queue = await amqp.channel.get_queue(source)

    async def gone() -> bool:
        message = await queue.get(fail=False)
        if message is not None:
            await message.reject(requeue=True)  # from RabbitMQ 4.3 on a nack counts no longer
        return bool(await amqp.depth(target))

    await eventually(gone, bool, 30, "the delivery limit to be reached")


@pytest.mark.parametrize(
    "typed",
    [
        ["redrive"],
        ["purge"],
        ["redrive", "--limit", "3"],
        ["redrive", "--all", "--reason", "expired"],
        ["purge", "--yes"],
    ],
)
async def test_redrive_and_purge_refuse_to_guess_which_letters(typed: list[str], dead: Dead) -> None:
    done = await dead(*typed)
    assert (done.code, done.out) == (2, "")
    assert "--all" in done.err


@pytest.mark.parametrize("typed", [["--reason", "bored"], ["--since", "soon"], ["--limit", "0"]])
async def test_a_wrong_value_is_wrong_usage(typed: list[str], dead: Dead, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        await dead("list", *typed)
    assert ended.value.code == 2
    assert typed[0] in capsys.readouterr().err


async def test_a_dry_run_moves_nothing_and_a_limit_holds(dead: Dead, amqp: Amqp, names: Names) -> None:
    await fill(amqp, names, 5)
    assert (await dead("redrive", "--all", "--limit", "2", "--dry-run")).out == "would redrive 2 letters: 2 rejected\n"
    assert (await dead("purge", "--all", "--dry-run")).out == "would delete 5 letters: 5 rejected\n"
    await amqp.wait_depth(names.dead, 5)
    assert (await dead("redrive", "--all", "--limit", "2")).out == "redrove 2 letters: 2 rejected\n"
    await amqp.wait_depth(names.dead, 3)
    await amqp.wait_depth(names.retries, 2)


async def test_redrive_of_an_id_that_is_not_there_fails_and_moves_the_others(
    dead: Dead, amqp: Amqp, names: Names
) -> None:
    await fill(amqp, names, 2)
    done = await dead("redrive", "--id", delivery_id(f"{1:064x}", "acme", "default"), "--id", "msg_nope")
    assert (done.code, done.out) == (1, "redrove 1 letter: 1 rejected\n")
    assert "msg_nope" in done.err
    assert await event_ids(amqp, names.retries) == [f"{1:064x}"]


async def test_few_among_many_are_found_and_the_many_stay(dead: Dead, amqp: Amqp, names: Names) -> None:
    await fill(amqp, names, 1500)
    await put(amqp, names.dead, letter(2000, reason="gone"))
    assert (await dead("redrive", "--reason", "gone")).out == "redrove 1 letter: 1 gone\n"
    await amqp.wait_depth(names.dead, 1500)


async def test_two_redrives_at_once_move_each_letter_once(dead: Dead, amqp: Amqp, names: Names) -> None:
    ids = await fill(amqp, names, 1500)
    done = await asyncio.gather(dead("redrive", "--all", "--json"), dead("redrive", "--all", "--json"))
    assert [one.code for one in done] == [0, 0]
    assert sum(json.loads(one.out)["count"] for one in done) == 1500
    moved = await event_ids(amqp, names.retries)
    assert (len(moved), set(moved)) == (1500, ids)
    await amqp.wait_depth(names.dead, 0)


async def test_a_redrive_that_is_cut_short_loses_and_repeats_nothing(dead: Dead, amqp: Amqp, names: Names) -> None:
    ids = await fill(amqp, names, 1500)
    redriving = asyncio.create_task(dead("redrive", "--all"))
    await eventually(lambda: amqp.depth(names.retries), bool, 15, "the first letters to be moved")
    redriving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await redriving
    moved = await amqp.depth(names.retries) or 0
    assert 0 < moved < 1500
    await amqp.wait_depth(names.dead, 1500 - moved)
    assert (await dead("redrive", "--all")).code == 0
    found = await event_ids(amqp, names.retries)
    assert (len(found), set(found)) == (1500, ids)


async def test_a_redrive_that_is_killed_loses_nothing_and_repeats_at_most_its_window(
    dead: Dead, amqp: Amqp, names: Names, broker: LocalBroker
) -> None:
    ids = await fill(amqp, names, 1500)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, broker.uri, names.prefix, "dead", "redrive", "--all",
        cwd=ROOT, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    await eventually(lambda: amqp.depth(names.retries), bool, 30, "the first letters to be moved")
    process.send_signal(signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    await eventually(lambda: amqp.consumers(names.dead), lambda count: count == 0, 15, "the broker to notice")
    assert (await dead("redrive", "--all")).code == 0
    await amqp.wait_depth(names.dead, 0)
    found = await event_ids(amqp, names.retries)
    assert set(found) == ids
    assert len(found) <= 1500 + dead_redrive.WINDOW


async def test_letters_too_large_for_memory_at_once_are_moved_in_passes(
    dead: Dead, amqp: Amqp, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_redrive, "MOST_BYTES", 1000)
    for number in range(60):
        await put(amqp, names.dead, letter(number), b"x" * (400 + number))
    await put(amqp, names.dead, letter(99, reason="gone"))
    done = await dead("redrive", "--reason", "rejected")
    assert (done.code, done.out) == (0, "redrove 60 letters: 60 rejected\n")
    await amqp.wait_depth(names.retries, 60)
    await amqp.wait_depth(names.dead, 1)


async def test_a_publish_that_the_broker_refuses_leaves_the_letter(dead: Dead, amqp: Amqp, names: Names) -> None:
    await fill(amqp, names, 3)
    await (await amqp.channel.get_queue(names.retries)).delete(if_unused=False, if_empty=False)
    done = await dead("redrive", "--all")
    assert done.code == 1
    assert f"the queue {names.retries} does not exist" in done.err
    await amqp.wait_depth(names.dead, 3)


# purge


async def test_purge_deletes_what_it_counted_once_somebody_agrees(dead: Dead, amqp: Amqp, names: Names) -> None:
    await fill(amqp, names, 4)
    await put(amqp, names.dead, letter(9, reason="gone"))
    assert (await dead("purge", "--reason", "gone")).code == 1
    refused = await dead("purge", "--reason", "gone", answer="n\n")
    assert "Delete 1 letters for good (1 gone)?" in refused.err
    await amqp.wait_depth(names.dead, 5)
    assert (await dead("purge", "--reason", "gone", answer="y\n")).out == "deleted 1 letter: 1 gone\n"
    await amqp.wait_depth(names.dead, 4)
    assert (await dead("purge", "--all", "--limit", "1", "--yes")).out == "deleted 1 letter: 1 rejected\n"
    await amqp.wait_depth(names.dead, 3)
    assert (await dead("purge", "--all", "--yes")).code == 0
    await amqp.wait_depth(names.dead, 0)
    assert (await dead("purge", "--all", "--yes")).out == "deleted 0 letters\n"


async def test_purge_with_a_mark_deletes_exactly_what_was_counted_or_nothing(
    dead: Dead, amqp: Amqp, names: Names
) -> None:
    for number in range(3):
        await put(amqp, names.dead, letter(number))
    counted = ("list", "--groups", "--json", "--until", "2026-11-22T00:00:02Z")
    found = json.loads((await dead(*counted)).out)
    assert sum(group["count"] for group in found["groups"]) == 2
    purge = ("purge", "--yes", "--mark", found["mark"], "--until", "2026-11-22T00:00:02Z")
    await put(amqp, names.dead, letter(1, reason="gone"))  # counted by nobody, though it says that it died in time
    await amqp.wait_depth(names.dead, 4)
    refused = await dead(*purge)
    assert (refused.code, "others than those that were counted, 3 by now" in refused.err) == (1, True)
    await amqp.wait_depth(names.dead, 4)
    assert (await dead("purge", "--reason", "gone", "--yes")).code == 0
    assert (await dead(*purge)).out == "deleted 2 letters: 2 rejected\n"
    await amqp.wait_depth(names.dead, 1)


async def test_many_acks_just_before_the_channel_closes_all_count(dead: Dead, amqp: Amqp, names: Names) -> None:
    await fill(amqp, names, 2000)
    tags: list[int] = []

    def look(seen: Seen) -> bool:
        tags.append(seen.tag)
        return True

    async with Browser(amqp.connection, names.dead) as browser:
        await browser.run(look)
        await browser.ack_all(tags[::2])
        await browser.settled()
    await amqp.wait_depth(names.dead, 1000)


# failures


@pytest.mark.parametrize("command", [["list"], ["show", "x"], ["redrive", "--all"], ["purge", "--all", "--yes"]])
async def test_no_broker_and_no_queue_are_one_clear_line(command: list[str], dead: Dead) -> None:
    gone = await dead(*command, uri=f"amqp://me:K-SECRET@127.0.0.1:{free_port()}/")
    assert (gone.code, gone.err.count("\n"), "K-SECRET" in gone.err) == (1, 1, False)
    assert "no connection to RabbitMQ" in gone.err
    missing = await dead(*command, prefix="no-such-prefix")
    assert (missing.code, missing.err.count("\n")) == (1, 1)
    assert "no-such-prefix.dead does not exist" in missing.err


async def test_wrong_credentials_are_one_clear_line(dead: Dead, broker: LocalBroker) -> None:
    done = await dead("list", uri=broker.uri.replace("guest:guest", "guest:K-SECRET"))
    assert (done.code, done.err.count("\n"), "K-SECRET" in done.err) == (1, 1, False)
