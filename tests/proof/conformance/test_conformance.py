"""The kit finds what a bare loop does not promise, judges a sender that runs already, and says what it cannot try."""

from __future__ import annotations

import asyncio
import shlex
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import StartWorker
from tests.proof.conformance import webhook_file
from tests.proof.conformance.__main__ import main
from tests.proof.conformance.checks.order import order_of_a_chat
from tests.proof.conformance.promises import PROMISES, Promise
from tests.proof.conformance.stage import Broken, Hook, Stage, ensure
from tests.proof.conformance.trial import Target, Verdict, tried
from tests.support.amqp import Amqp, Names
from tests.support.local_broker import LocalBroker
from tests.support.receiver import Receiver

BARE_LOOP = shlex.join((sys.executable, "-m", "tests.proof.conformance.bare_loop"))


def named(name: str) -> Promise:
    return next(promise for promise in PROMISES if promise.name == name)


async def test_a_bare_loop_fails_where_it_should(broker: LocalBroker) -> None:
    """It acks after the POST whatever was answered, so that kill -9 alone costs it nothing."""
    wanted = {
        "nothing lost: a receiver that fails": Verdict.BROKEN,
        "nothing lost: kill -9": Verdict.HOLDS,
        "Retry-After of a 429": Verdict.BROKEN,
        "private addresses refused": Verdict.BROKEN,
        "isolation share: one is silent": Verdict.BROKEN,
        "drain at SIGTERM": Verdict.BROKEN,
    }
    target = Target(broker.uri, BARE_LOOP, patience=2.0)
    # Side by side: each has names and a receiver of its own, and most of them wait for what never comes.
    found = await asyncio.gather(*(tried(named(name), target) for name in wanted))
    assert {name: verdict for name, (verdict, _) in zip(wanted, found, strict=True)} == wanted, found
    seen = {name: text for name, (_, text) in zip(wanted, found, strict=True)}
    assert "1 of 3 POSTs" in seen["nothing lost: a receiver that fails"]
    assert "0% of the others' events" in seen["isolation share: one is silent"]
    assert "done again, 2 times in all" in seen["drain at SIGTERM"]


async def test_a_sender_that_runs_already_is_told_its_webhooks_by_a_command(
    broker: LocalBroker, worker: StartWorker, names: Names, amqp: Amqp, tmp_path: Path
) -> None:
    file = tmp_path / "webhooks.toml"
    file.write_text("")
    await worker(WEBHOOK_SOURCE="file", WEBHOOK_FILE=str(file), WEBHOOK_RETRY_INITIAL_DELAY_SECONDS="1")
    tell = shlex.join(("sh", "-c", f'cp "$0" {shlex.quote(str(file))}'))
    target = Target(broker.uri, tell=tell, exchange=names.exchange)
    verdict, seen = await tried(named("ids stable"), target)
    assert (verdict, seen[:4]) == (Verdict.HOLDS, "msg_")
    assert (await tried(named("drain at SIGTERM"), target))[0] is Verdict.NOT_TRIED
    verdict, seen = await tried(named("ids stable"), Target(broker.uri, tell="false", exchange=names.exchange))
    assert (verdict, seen[:6]) == (Verdict.NOT_TRIED, "false:")


async def test_a_command_that_ends_at_once_is_not_judged(broker: LocalBroker) -> None:
    target = Target(broker.uri, "sh -c 'echo no such setting; exit 3'")
    assert await tried(named("ids stable"), target) == (Verdict.NOT_TRIED, "it ended with 3: no such setting")
    verdict, seen = await tried(named("ids stable"), Target(broker.uri, "/nowhere/sender"))
    assert (verdict, seen) == (Verdict.NOT_TRIED, "/nowhere/sender: No such file or directory")


async def test_order_is_tried_where_it_is_offered() -> None:
    async def check(stage: Stage) -> str:
        raise AssertionError("tried")

    promise = Promise("order", check, orders=True)
    verdict, _ = await tried(promise, Target("amqp://127.0.0.1:1/", "false"))
    assert verdict is Verdict.NOT_OFFERED
    assert sum(each.orders for each in PROMISES) == 1


@pytest.mark.parametrize("waits", [True, False], ids=["in order", "retries overtaken"])
async def test_order_holds_where_a_later_event_waits_for_an_earlier_one(waits: bool) -> None:
    async with Receiver() as receiver, aiohttp.ClientSession() as session:

        async def deliver(*bodies: bytes) -> None:
            """As a sender without a broker: a failed event is made again at once, or behind all others."""
            left = list(bodies)
            while left:
                body = left.pop(0)
                async with session.post(receiver.url("/acme"), data=body) as answer:
                    if answer.status != 200:
                        left.insert(0 if waits else len(left), body)

        stage = Stage(Nowhere(), deliver, receiver, patience=2.0, order={"order": True})
        if waits:
            assert await order_of_a_chat(stage) == "20 events behind one that failed twice"
        else:
            with pytest.raises(Broken, match="they came as"):
                await order_of_a_chat(stage)


class Nowhere:
    """A sender that is told, and does nothing."""

    restarts = True

    async def tell(self, hooks: Sequence[Hook]) -> None: ...

    async def start(self, settings: object) -> None: ...

    async def stop(self) -> None: ...

    async def kill(self) -> None: ...


async def nobody(*_: bytes) -> None:
    """Publishes nothing."""


@pytest.mark.parametrize(
    "name",
    [each.name for each in PROMISES if not each.orders and "private" not in each.name and "silent" not in each.name],
)
async def test_no_promise_holds_of_a_sender_that_sends_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.proof.conformance.stage.GRACE_SECONDS", 0.0)
    async with Receiver() as receiver:
        stage = Stage(Nowhere(), nobody, receiver, patience=0.02)
        with pytest.raises(AssertionError):
            await named(name).check(stage)


async def test_what_is_missing_is_counted() -> None:
    async with Receiver() as receiver:
        stage = Stage(Nowhere(), nobody, receiver, patience=0.01)
        with pytest.raises(Broken, match=r"^an event comes: 0 of 2 POSTs within 0.01 s$"):
            await stage.posts("/x", 2, "an event comes")
    with pytest.raises(Broken, match="seen"):
        ensure(False, "seen")
    ensure(True, "not seen")


def test_webhooks_are_told_as_the_file_source_reads_them(tmp_path: Path) -> None:
    file, url = tmp_path / "webhooks.toml", 'http://127.0.0.1:1/"x"\\é'
    webhook_file.write(file, [Hook("acme", url), Hook("b\n", url, "other", {"order": True, "events": ["CALL"]})])
    assert tomllib.loads(file.read_text())["webhook"] == [
        {"instance": "acme", "id": "default", "url": url},
        {"instance": "b\n", "id": "other", "url": url, "order": True, "events": ["CALL"]},
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "eternal life"], "in no promise's name"),
        (["--target", "amqp://127.0.0.1:1/"], "--tell is needed"),
        (["--order", "order ="], "is no TOML"),
        (["--target", "amqp://127.0.0.1:1/", "--tell", "true", "--only", "ids"], "no broker"),
    ],
)
def test_wrong_usage_is_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert said in capsys.readouterr().err
