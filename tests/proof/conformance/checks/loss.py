"""Nothing is lost: not by a failure, not by a kill -9, not while the receiver is down."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tests.proof.conformance.stage import Hook, Stage, ensure
from tests.support.events import event
from tests.support.local_process import free_port
from tests.support.receiver import Answer, Receiver

FAST = {
    "WEBHOOK_RETRY_INITIAL_DELAY_SECONDS": "1",
    "WEBHOOK_RETRY_MULTIPLIER": "2",
    "WEBHOOK_RETRY_MAX_ATTEMPTS": "3",
}


STEADY = {
    "WEBHOOK_RETRY_INITIAL_DELAY_SECONDS": "1",
    "WEBHOOK_RETRY_USE_EXPONENTIAL_BACKOFF": "false",
    "WEBHOOK_RETRY_MAX_ATTEMPTS": "60",
}
EARLY, ALL = 4, 40
"""Events for a receiver that is down: those that show it, and all."""


async def a_failure_is_tried_again(stage: Stage) -> str:
    """500, 500, 200: three POSTs of the same bytes at that webhook, and one at the instance's other one."""
    acme = stage.instance("acme")
    stage.receiver.answer("/flaky", 500, 500)
    await stage.start(stage.hook("acme", "/flaky"), stage.hook("acme", "/fine", "other"), **FAST)
    await stage.publish(event(instance=acme))
    posts = await stage.posts("/flaky", 3, "an event answered with 500 comes again until it is answered with 200")
    await stage.moment("delivered")
    ensure(len({post.body for post in posts}) == 1, "the body changed between the attempts")
    fine = len(stage.receiver.at("/fine"))
    ensure(fine == 1, f"one webhook's failure had the other one's delivery made {fine} times")
    return f"again after {posts[1].at - posts[0].at:.1f} s and {posts[2].at - posts[1].at:.1f} s"


async def a_killed_sender_loses_nothing(stage: Stage) -> str:
    """kill -9 while one of an event's two webhooks has its 2xx and the other does not answer yet."""
    release = asyncio.Event()
    stage.receiver.always("/hangs", Answer(release=release))
    await stage.start(stage.hook("acme", "/quick"), stage.hook("acme", "/hangs", "other"))
    await stage.publish(event(instance=stage.instance("acme")))
    await stage.posts("/quick", 1, "an event comes to both webhooks")
    await stage.posts("/hangs", 1, "an event comes to both webhooks")
    await stage.moment("one_is_delivered")
    await stage.sender.kill()
    await stage.moment("killed")
    release.set()
    await stage.start()
    await stage.posts("/hangs", 2, "what was under way when the sender was killed comes again")
    await stage.moment("delivered")
    await stage.sender.stop()
    quick = len(stage.receiver.at("/quick"))
    ensure(quick <= 2, f"a crash repeats a delivery at most once, not {quick - 1} times")
    return "the POST under way came again" + (", and so did the one that was done" if quick == 2 else "")


async def a_receiver_that_was_down_gets_all(stage: Stage) -> str:
    """Nobody listens on its port until 40 events were published for it; another webhook has its own at once."""
    down, acme = Receiver(port=free_port()), stage.instance("acme")
    await stage.start(Hook(acme, down.url("/down")), stage.hook("other", "/fine"), **STEADY, BREAKER_OPEN_SECONDS="2")
    await stage.publish(*(event(instance=acme, data=number) for number in range(EARLY)))
    await stage.moment("taken")
    await stage.publish(event(instance=stage.instance("other")))
    await stage.posts("/fine", 1, "a receiver that is down does not hold up another one")
    await stage.moment("refused")
    await stage.publish(*(event(instance=acme, data=number) for number in range(EARLY, ALL)))
    await stage.moment("refused_again")
    async with down:
        with suppress(AssertionError):  # what came is told below
            await down.wait_for(lambda posts: len({post.body for post in posts}) >= ALL, 2 * stage.patience)
        came = len({post.body for post in down.requests})
        ensure(came == ALL, f"of {ALL} events {came} came within {2 * stage.patience:g} s of its being up")
        await stage.moment("delivered", down)
    return f"{ALL} events after it was up"
