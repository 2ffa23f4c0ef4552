"""Ids are stable: a receiver can tell a repeat from a new event."""

from __future__ import annotations

from tests.proof.conformance.stage import Stage, ensure
from tests.support.events import event


async def an_event_keeps_its_id(stage: Stage) -> str:
    """The same in each attempt; another one for another event."""
    acme = stage.instance("acme")
    stage.receiver.answer("/acme", 500)
    await stage.start(
        stage.hook("acme", "/acme"),
        WEBHOOK_RETRY_INITIAL_DELAY_SECONDS="1",
        WEBHOOK_RETRY_MULTIPLIER="1",
    )
    await stage.publish(event(instance=acme))
    first, again = stage.ids(await stage.posts("/acme", 2, "an event answered with 500 comes again"))[:2]
    ensure(bool(first), "a POST has no id")
    ensure(first == again, f"the id changed between two attempts: {first}, {again}")
    await stage.moment("delivered")
    await stage.publish(event(instance=acme, data="another"))
    (other,) = stage.ids(await stage.posts("/acme", 3, "another event comes"))[2:3]
    ensure(other != first, "two events have one id")
    return f"{first} in both attempts"
