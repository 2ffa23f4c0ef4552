"""What a receiver answers is respected: Retry-After, and redirects."""

from __future__ import annotations

from tests.proof.conformance.stage import Stage, ensure
from tests.support.events import event
from tests.support.receiver import Answer

PAUSE = 2
"""Seconds."""

EARLY = 0.05
"""Clocks of two processes that are compared."""

REDIRECTS = (301, 302, 303, 307, 308)


async def retry_after(stage: Stage, status: int) -> str:
    """The endpoint is left alone as long as it asks for: the failed event and the ones that come later wait; others do
    not."""
    acme = stage.instance("acme")
    stage.receiver.answer("/held", Answer(status, {"Retry-After": str(PAUSE)}))
    await stage.start(
        stage.hook("acme", "/held"),
        stage.hook("acme", "/free", "other"),
        WEBHOOK_RETRY_INITIAL_DELAY_SECONDS="1",
        WEBHOOK_RETRY_MULTIPLIER="2",
        WEBHOOK_RETRY_MAX_ATTEMPTS="5",
    )
    await stage.publish(event(instance=acme, data="first"))
    asked = (await stage.posts("/held", 1, "an event comes"))[0]
    await stage.moment("answered")
    await stage.publish(event(instance=acme, data="second"))
    await stage.moment("parked")
    free = await stage.posts("/free", 2, "the other webhook goes on meanwhile")
    posts = await stage.posts("/held", 3, f"an event answered with {status} comes again, and so does the one behind it")
    await stage.moment("delivered")
    first_again = min(post.at for post in posts[1:]) - asked.at
    ensure(first_again >= PAUSE - EARLY, f"asked for {PAUSE} s, it had the next POST after {first_again:.2f} s")
    late = max(post.at for post in free) - asked.at
    ensure(late < PAUSE, f"another endpoint waited too, {late:.2f} s")
    return f"the next POST after {first_again:.2f} s of {PAUSE}"


async def redirects(stage: Stage) -> str:
    """Not followed, and no success: the event comes again to where it belongs."""
    paths = {status: f"/moved-{status}" for status in REDIRECTS}
    for status, path in paths.items():
        stage.receiver.answer(path, Answer(status, {"Location": stage.receiver.url("/elsewhere")}))
    await stage.start(
        *(stage.hook(f"moved-{status}", path) for status, path in paths.items()),
        WEBHOOK_RETRY_INITIAL_DELAY_SECONDS="1",
        WEBHOOK_RETRY_MULTIPLIER="1",
    )
    await stage.publish(*(event(instance=stage.instance(f"moved-{status}")) for status in REDIRECTS))
    for status, path in paths.items():
        await stage.posts(path, 2, f"an event answered with {status} comes again")
    followed = stage.receiver.at("/elsewhere")
    ensure(not followed, f"a redirect was followed, with {followed and followed[0].method}")
    return f"{', '.join(map(str, REDIRECTS))} were not followed"
