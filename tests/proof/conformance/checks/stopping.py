"""A sender that is stopped repeats nothing that is done and loses nothing that is not."""

from __future__ import annotations

import asyncio

from tests.proof.conformance.stage import Stage, ensure
from tests.support.events import event
from tests.support.receiver import Answer


async def a_drain(stage: Stage) -> str:
    """SIGTERM while one of an event's two webhooks has its 2xx and the other does not answer."""
    release = asyncio.Event()
    stage.receiver.answer("/hangs", Answer(release=release))
    await stage.start(stage.hook("acme", "/done"), stage.hook("acme", "/hangs", "other"), WORKER_DRAIN_SECONDS="0.5")
    await stage.publish(event(instance=stage.instance("acme")))
    await stage.posts("/done", 1, "an event comes to both webhooks")
    await stage.posts("/hangs", 1, "an event comes to both webhooks")
    await stage.moment("one_is_delivered")
    await stage.sender.stop()
    release.set()
    await stage.moment("stopped")
    await stage.start()
    await stage.posts("/hangs", 2, "what was not finished at the stop comes again")
    await stage.moment("finished")
    done = len(stage.receiver.at("/done"))
    ensure(done == 1, f"what was done before the stop was done again, {done} times in all")
    return "the unfinished POST came again, the finished one did not"
