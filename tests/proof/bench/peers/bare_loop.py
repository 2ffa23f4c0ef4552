"""The bare loop that the worker is measured against: aio-pika and aiohttp on uvloop, and nothing else.

What a careful engineer writes in an afternoon: JSON parsed, one POST at a time for each message, single acks.
No lookup, no filter, no signature, no retries, no metrics, no isolation.

Usage: python -m tests.proof.bench.peers.bare_loop AMQP_URI QUEUE RECEIVER_URL PREFETCH
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import Any

import aio_pika
import aiohttp
import orjson
import uvloop
from aio_pika.abc import AbstractIncomingMessage

Urls = Callable[[Any], Sequence[str]]
"""Where an event goes, as it was decoded."""


async def main(uri: str, queue_name: str, urls: Urls, prefetch: int) -> None:
    connection = await aio_pika.connect(uri)
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=prefetch)
    queue = await channel.get_queue(queue_name, ensure=False)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def deliver(message: AbstractIncomingMessage) -> None:
            event = orjson.loads(message.body)
            for url in urls(event):
                event["destination"] = url
                async with session.post(url, json=event) as response:
                    await response.read()
            await message.ack()

        await queue.consume(deliver)
        await asyncio.Event().wait()


if __name__ == "__main__":
    receivers = (sys.argv[3],)
    uvloop.run(main(sys.argv[1], sys.argv[2], lambda _: receivers, int(sys.argv[4])))
