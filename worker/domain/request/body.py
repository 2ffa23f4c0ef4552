"""The body of a POST, as the event's own Evolution writes it."""

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from worker.domain.choosing.slim import Slimming, TooLarge, slim
from worker.domain.event import GO, Event
from worker.domain.request.json_text import destination_member, json_text
from worker.domain.request.not_sendable import BodyTooLarge
from worker.domain.routing import Delivery

_LEADING = tuple((key, b',"%s":' % key.encode()) for key in ("event", "instance", "data"))
_TRAILING = tuple((key, b',"%s":' % key.encode()) for key in ("date_time", "sender", "server_url", "apikey"))
_WITHOUT_APIKEY = _TRAILING[:-1]
_ENVELOPE = frozenset({*dict(_LEADING), *dict(_TRAILING), "destination"})


def body(event: Event, destination: str, *, forward_apikey: bool | None = None, member: bytes | None = None) -> bytes:
    """As the event's own Evolution writes it; see `build` for `forward_apikey`. Every value keeps its bytes.

    `member`: the destination as JSON, where it has been written before.
    """
    if event.dialect is GO:
        return _body_of_go(event.fields, forward_token=forward_apikey is True)
    return _body_of_api(
        event.fields, member or destination_member(destination), forward_apikey=forward_apikey is not False
    )


def _body_of_api(fields: Mapping[str, msgspec.Raw | bytes], destination: bytes, *, forward_apikey: bool) -> bytes:
    """Extra keys, then event, instance, data, destination, date_time, sender, server_url, apikey, as Evolution API.

    A key that the message lacks stays absent.
    """
    parts: list[bytes | msgspec.Raw] = []
    if not fields.keys() <= _ENVELOPE:
        for key, value in fields.items():
            if key not in _ENVELOPE:
                parts += (b"," + json_text(key) + b":", value)
    for key, begun in _LEADING:
        if (found := fields.get(key)) is not None:
            parts += (begun, found)
    parts.append(destination)
    for key, begun in _TRAILING if forward_apikey else _WITHOUT_APIKEY:
        if (found := fields.get(key)) is not None:
            parts += (begun, found)
    parts.append(b"}")
    parts[0] = b"{" + parts[0][1:]
    return b"".join(parts)


def _body_of_go(fields: Mapping[str, msgspec.Raw | bytes], *, forward_token: bool) -> bytes:
    """The message again, byte for byte as Evolution Go writes JSON (compact), without `instanceToken` or with it."""
    kept = (item for item in fields.items() if forward_token or item[0] != "instanceToken")
    return b"{" + b",".join(json_text(key) + b":" + bytes(value) for key, value in kept) + b"}"


def slim_body(content: bytes, delivery: Delivery, *, forward_apikey: bool | None) -> bytes:
    """The body as its webhook wants it. Raises BodyTooLarge."""
    webhook, event = delivery.webhook, delivery.event
    asked = Slimming(webhook.media == "strip", webhook.thumbnails == "strip", webhook.max_body_bytes)
    data = bytes(event.fields.get("data", b""))
    cut = slim(data, asked, len(content) - len(data))
    if isinstance(cut, TooLarge):
        most = asked.max_body_bytes
        raise BodyTooLarge(f"the body has {cut.body_bytes} bytes without media and thumbnails, {most} are allowed")
    if cut is data:
        return content
    smaller = replace(event, fields={**event.fields, "data": cut})
    return body(smaller, delivery.destination, forward_apikey=forward_apikey)
