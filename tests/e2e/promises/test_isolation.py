"""Receivers that ask to wait, fail, are gone, or cannot be reached at all: what each costs, and whom."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any

import pytest

from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents, PutWebhooks
from tests.e2e.our_sender import OurSender
from tests.proof.conformance.checks.answers import EARLY, PAUSE, retry_after
from tests.proof.conformance.checks.loss import STEADY, a_receiver_that_was_down_gets_all
from tests.proof.conformance.stage import Stage
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.local_process import free_port
from tests.support.receiver import Answer, Received, Receiver
from tests.support.waiting import eventually
from worker.domain.webhook import Webhook


def numbers(posts: list[Received]) -> dict[str, list[int]]:
    """The attempt numbers of each delivery, in order."""
    found: dict[str, list[int]] = defaultdict(list)
    for post in posts:
        found[post.header("webhook-id") or ""].append(int(post.header("webhook-attempt") or 0))
    return found


async def said(worker: StartWorker, *arguments: str) -> str:
    """What a command answers that succeeds."""
    command = await worker(arguments=arguments, ready=False)
    assert await command.wait() == 0, command.output()
    return command.output()


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_holds_the_whole_endpoint_and_no_other(
    stage: Stage, ours: OurSender, receiver: Receiver, status: int
) -> None:
    await retry_after(
        stage.at(
            answered=ours.counts("attempts_total", 1, result=f"{status // 100}xx"),
            parked=ours.counts("deliveries_total", 1, outcome="Parked", reason="retry_after"),
            delivered=ours.delivered(4),
        ),
        status,
    )
    asked, *others = receiver.at("/held")
    assert all(post.at >= asked.at + PAUSE - EARLY for post in others)
    assert sorted(numbers(receiver.at("/held")).values()) == [[1], [1, 2]], "the parked one is not charged"
    assert all(post.at < asked.at + PAUSE for post in receiver.at("/free")), "the other endpoint was not held"


async def test_an_open_circuit_parks_uncharged_probes_alone_and_delivers_all_after_the_recovery(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver
) -> None:
    await webhooks(Webhook("acme", receiver.url("/down")), Webhook("other", receiver.url("/fine")))
    receiver.always("/down", 500)
    daemon = await worker(**STEADY, BREAKER_FAILURES="3", BREAKER_OPEN_SECONDS="1")
    await publish(*(event(data=number) for number in range(12)))
    await daemon.wait_metric("endpoints_open", 1)
    await daemon.wait_metric("deliveries_total", 8, outcome="Parked", reason="circuit_open")
    opened = len(receiver.at("/down"))
    assert opened < 12, "who came later was parked without an attempt"
    posts = await receiver.wait_for(opened + 3, path="/down")
    probes = posts[opened:]
    assert all(later.at - sooner.at >= 1 - EARLY for sooner, later in pairwise(probes)), "one canary at a time"
    await publish(event(instance="other"))
    await receiver.wait_for(1, path="/fine")
    receiver.always("/down", 200)
    await daemon.wait_metric("deliveries_total", 13, outcome="Delivered", timeout=30)
    charged = numbers(receiver.at("/down"))
    assert len(charged) == 12
    assert all(found == list(range(1, len(found) + 1)) for found in charged.values()), "only POSTs are charged"
    assert await daemon.metric("endpoints_open") == 0
    parked = await daemon.metric("deliveries_total", outcome="Parked", reason="circuit_open")
    assert parked < 12 * 30, "parking does not spin"


async def test_a_host_that_is_down_opens_its_circuit_although_each_connect_is_tried_for_two_seconds(
    stage: Stage, ours: OurSender
) -> None:
    async def refused_again() -> None:
        await ours.daemon.wait_metric("endpoints_open", 1, timeout=2)
        assert await ours.daemon.metric("attempts_total", result="connect") == 10

    async def delivered(down: Receiver) -> None:
        await ours.daemon.wait_metric("deliveries_total", 41, outcome="Delivered", timeout=40)
        assert len(numbers(down.at("/down"))) == 40
        assert max(max(found) for found in numbers(down.at("/down")).values()) == 2, "only ten were charged, and once"

    await a_receiver_that_was_down_gets_all(
        stage.at(
            taken=ours.counts("events_received_total", 4),
            refused=ours.counts("attempts_total", 4, result="connect"),
            refused_again=refused_again,
            delivered=delivered,
        )
    )


@pytest.mark.parametrize(("setting", "outcome", "letters"), [("skip", "Skipped", 1), ("dead", "DeadLettered", 2)])
async def test_a_410_disables_the_webhook_with_its_reason(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    amqp: Amqp,
    names: Names,
    setting: str,
    outcome: str,
    letters: int,
) -> None:
    await webhooks(Webhook("acme", receiver.url("/gone")), Webhook("acme", receiver.url("/stays"), id="other"))
    receiver.always("/gone", 410)
    daemon = await worker(DISABLED_WEBHOOK=setting)
    await publish(event())
    await daemon.wait_metric("deliveries_total", 1, outcome="DeadLettered", reason="gone")
    await publish(event(data="the next"))
    await daemon.wait_metric("deliveries_total", 1, outcome=outcome, reason="disabled")
    await daemon.wait_metric("deliveries_total", 2, outcome="Delivered")
    await amqp.wait_depth(names.dead, letters)
    assert await daemon.stop() == 0  # what it has to write is written
    gone, stays = json.loads(await said(worker, "webhook", "get", "acme", "--json"))
    assert (gone["enabled"], gone["disabled_reason"]) == (False, "the receiver answered 410")
    assert (stays["enabled"], stays["disabled_reason"]) == (True, None)
    assert (len(receiver.at("/gone")), len(receiver.at("/stays"))) == (1, 2)


async def test_a_webhook_that_is_enabled_after_a_410_is_so_in_the_running_worker_and_its_letter_arrives(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver
) -> None:
    await webhooks(Webhook("acme", receiver.url("/back")))
    receiver.answer("/back", Answer(410))
    daemon = await worker()

    async def shown() -> Any:
        return json.loads(await said(worker, "webhook", "get", "acme", "--json"))

    await publish(event())
    await daemon.wait_metric("deliveries_total", 1, outcome="DeadLettered", reason="gone")
    await eventually(shown, lambda found: not found[0]["enabled"], 20, "disabled in the store")
    await said(worker, "webhook", "set", "acme", "--enabled")
    await publish(event(data="later"))
    await daemon.wait_metric("deliveries_total", 1, outcome="Delivered")
    assert "1 gone" in await said(worker, "dead", "redrive", "--reason", "gone")
    await daemon.wait_metric("deliveries_total", 2, outcome="Delivered")
    first, _, redriven = receiver.at("/back")
    assert redriven.header("webhook-id") == first.header("webhook-id")


async def test_when_nobody_can_be_reached_the_fault_is_ours_and_nobody_pays_for_it(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents
) -> None:
    async with AsyncExitStack() as stack:
        receivers = [Receiver(port=free_port()) for _ in range(5)]
        hosts = {f"tenant-{receiver.port}": receiver for receiver in receivers}
        assert len(hosts) == 5
        await webhooks(*(Webhook(name, found.url("/x")) for name, found in hosts.items()))
        daemon = await worker(**STEADY, SELF_FAULT_WINDOW_SECONDS="10")
        await publish(*(event(instance=name) for name in hosts))
        await daemon.wait_metric("self_fault", 1, timeout=20)
        probed = await daemon.metric("attempts_total", result="connect")
        await daemon.wait_metric("attempts_total", probed + 1, result="connect")
        await daemon.wait_metric("deliveries_total", 5, outcome="Parked", reason="self_fault")
        for found in receivers:
            await stack.enter_async_context(found)
        await daemon.wait_for_line("receivers can be reached again")
        await daemon.wait_metric("deliveries_total", 5, outcome="Delivered", timeout=20)
        assert await daemon.metric("self_fault") == 0
        assert await daemon.metric("endpoints_open") == 0
        assert len([line for line in daemon.lines if "the fault is ours" in line]) == 1
        attempts = [post.header("webhook-attempt") for found in receivers for post in found.requests]
        assert attempts == ["2"] * 5, "the first was charged before anybody could know"
