"""Publish what no decent client would: frames whose bytes were changed after they were encoded."""

from __future__ import annotations

import dataclasses
import struct
from datetime import UTC, datetime
from typing import Any

from aio_pika.abc import AbstractConnection
from aiormq.abc import ChannelFrame
from aiormq.channel import Channel
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

TEXT, BROKEN_TEXT = b"REPLACED", b"\xff\xfe-bad-\xff"
SECONDS = 1_700_000_001
DATE = datetime.fromtimestamp(SECONDS, UTC)
DATE_BYTES, MICROSECONDS = struct.pack(">Q", SECONDS), struct.pack(">Q", SECONDS * 1_000_000)


def _nested(depth: int) -> bytes:
    """What is in an array that holds an array that holds an array: five bytes each."""
    content = b""
    for _ in range(depth):
        content = b"A" + struct.pack(">I", len(content)) + content
    return content


DEEP = _nested(5000)
FLAT = bytearray(len(DEEP))

UNDECODABLE: dict[str, dict[str, Any]] = {
    "routing key": {"key": TEXT.decode()},
    "message id": {"message_id": TEXT.decode()},
    "content type": {"content_type": TEXT.decode()},
    "header key": {"headers": {TEXT.decode(): "x"}},
    "header key in a header": {"headers": {"outer": [{TEXT.decode(): "x"}]}},
    "header value": {"headers": {"k": TEXT.decode()}},
    "timestamp": {"timestamp": DATE},
    "timestamp in a header": {"headers": {"k": DATE}},
    "nesting": {"headers": {"k": FLAT}},
}
"""What pamqp's own decoders refuse (or, a header's value, do not): arguments for `publish_undecodable`."""


async def publish_undecodable(
    connection: AbstractConnection, exchange: str, body: bytes, *, key: str = "a.b", **properties: Any
) -> None:
    """TEXT goes out as bytes that are no UTF-8, DATE as microseconds, FLAT as 5000 nested arrays; unconfirmed."""
    transport = connection.transport
    assert transport is not None
    channel = await transport.connection.channel(publisher_confirms=False)
    assert isinstance(channel, Channel)
    header = ContentHeader(body_size=len(body), properties=Basic.Properties(**properties))
    publish = Basic.Publish(exchange=exchange, routing_key=key)
    frame = ChannelFrame.marshall(channel.number, [publish, header, ContentBody(body)])
    payload = frame.payload.replace(TEXT, BROKEN_TEXT).replace(DATE_BYTES, MICROSECONDS)
    size = struct.pack(">I", len(DEEP))
    payload = payload.replace(b"x" + size + FLAT, b"A" + size + DEEP)
    await channel.write_queue.put(dataclasses.replace(frame, payload=payload))
    await channel.close()  # answered when the broker has read what was before
