"""Order: a later event of a chat is not sent before an earlier one has ended."""

from __future__ import annotations

from tests.proof.conformance.stage import Stage, ensure
from tests.support.events import event

COUNT = 20


async def order_of_a_chat(stage: Stage) -> str:
    """The first of 20 events of one chat is answered with 500 twice; the others come behind it, in their order."""
    assert stage.order is not None
    stage.receiver.answer("/acme", 500, 500)
    await stage.start(
        stage.hook("acme", "/acme", **stage.order),
        WEBHOOK_RETRY_INITIAL_DELAY_SECONDS="1",
        WEBHOOK_RETRY_MULTIPLIER="1",
    )
    chat = {"remoteJid": "5511999999999@s.whatsapp.net", "fromMe": False}
    await stage.publish(
        *(event(instance=stage.instance("acme"), data={"key": chat, "number": number}) for number in range(COUNT))
    )
    posts = await stage.posts("/acme", COUNT + 2, "all events come, the first of them three times")
    came = [post.json()["data"]["number"] for post in posts]
    ensure(came == [0, 0, *range(COUNT)], f"they came as {came}")
    return f"{COUNT} events behind one that failed twice"
