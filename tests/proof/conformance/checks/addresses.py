"""Private addresses are refused: a webhook's URL cannot be used to reach what is not meant for it."""

from __future__ import annotations

from contextlib import AsyncExitStack

from tests.proof.conformance.stage import Hook, Stage, ensure
from tests.support.events import event
from tests.support.receiver import Receiver

SPELLINGS = ("127.0.0.2", "[::ffff:127.0.0.2]", "[0:0:0:0:0:ffff:7f00:2]")
"""Of one address that is not allowed; the kind receiver's, 127.0.0.1, is. Those with a number in place of four are not
tried: a sender may refuse them where webhooks are set."""


async def private_addresses(stage: Stage) -> str:
    """The sender may reach 127.0.0.1 alone (EGRESS_ALLOW). Receivers on other addresses of this machine get nothing,
    however these are written."""
    async with AsyncExitStack() as stack:
        hidden = await stack.enter_async_context(Receiver(host="127.0.0.2"))
        others = [hidden]
        urls = [f"http://{name}:{hidden.port}/" for name in SPELLINGS]
        try:
            others.append(await stack.enter_async_context(Receiver(host="::1")))
            urls.append(f"http://[::1]:{others[-1].port}/")
        except OSError:  # a machine without IPv6
            pass
        hooks = [Hook(stage.instance(f"hidden-{number}"), url) for number, url in enumerate(urls)]
        await stage.start(*hooks, stage.hook("kind", "/kind"), EGRESS_ALLOW="127.0.0.1/32")
        await stage.publish(*(event(instance=hook.instance) for hook in hooks))
        await stage.publish(event(instance=stage.instance("kind")))
        await stage.posts("/kind", 1, "what is allowed is reached")
        await stage.moment("refused", len(hooks))
        reached = sum(len(each.requests) for each in others)
    ensure(reached == 0, f"{reached} POSTs reached an address that is not allowed")
    return f"{len(urls)} spellings of addresses that are not allowed"
