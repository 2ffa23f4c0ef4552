"""By what a webhook's events are put in order."""

from worker.domain.choosing.plan import ChatOfEvent
from worker.domain.choosing.quick_chat import LARGE_BYTES, quick_chat
from worker.domain.event import Event
from worker.domain.webhook import UNORDERED, Webhook

_read_all = ChatOfEvent()


def order_key(event: Event, webhook: Webhook) -> str:
    """Instance and canonical chat, or the instance (`order`). An event about no chat is in order among its like."""
    following = webhook.order_next
    if (webhook.order if following in (None, UNORDERED) else following) == "instance":
        return event.instance
    chat = quick_chat(event.fields)
    if chat is None and len(event.fields.get("data", b"")) > LARGE_BYTES:
        found = _read_all(event.fields)
        chat = None if found is None else found.jid
    return f"{event.instance}\0{chat or ''}"
