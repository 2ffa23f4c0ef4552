"""What would become of events with a webhook's settings as they are typed. Nothing is sent or saved."""

import asyncio
import json
from collections.abc import Mapping

from worker.console.ports import NoEvents, Parts
from worker.domain.choosing.chat import chat_of, reader
from worker.domain.choosing.jid import kind_of
from worker.domain.event import InvalidEvent, parse
from worker.domain.webhook import Webhook
from worker.webhooks.shown import Shown, shown_explained

KINDS = {None: "private", "groups": "group", "status": "status", "channels": "channel", "broadcasts": "broadcast"}
"""Words for what `ignore` leaves out by the kind of its chat."""


async def on_one(parts: Parts, webhook: Webhook, event: str) -> Shown | str:
    """As `webhook explain` has it, or why the event is none. In a thread: an event may have a megabyte."""
    if not event.strip():
        return "Paste an event first."
    try:
        return await asyncio.to_thread(_explained, parts, webhook, event.encode(errors="replace"))
    except InvalidEvent as error:
        return f"This is no event: {error}"


async def on_the_last(parts: Parts, webhook: Webhook) -> list[Shown] | str:
    """The same for the newest events of its instance."""
    if parts.last_events is None:
        return "No events are archived (ARCHIVE): paste one."
    try:
        events = await parts.last_events(webhook.instance)
    except NoEvents as error:
        return f"The last events cannot be had: {error}"
    if not events:
        return "No event of this instance came lately: paste one."
    return await asyncio.to_thread(lambda: [_explained(parts, webhook, content) for content in events])


def _explained(parts: Parts, webhook: Webhook, content: bytes) -> Shown:
    """Raises InvalidEvent."""
    found, event = parts.explain(content, [webhook], False), parse(content)
    anothers = event.instance if event.instance != webhook.instance else None
    return {
        **shown_explained(found[0]),
        "event": event.name,
        "anothers": anothers,
        "bytes": len(content),
        **_about(content),
    }


def _about(content: bytes) -> Shown:
    """`chat` and its `kind`, and the message's `type`, by which a person tells one event from another."""
    data = json.loads(content).get("data")  # as `parse`, it takes an escape of half a character
    chat = chat_of(reader(data))
    type_of = data.get("messageType") if isinstance(data, Mapping) else None
    return {
        "chat": chat.jid if chat else None,
        "kind": KINDS[kind_of(chat.jid)] if chat else None,
        "type": type_of if isinstance(type_of, str) else None,
    }
