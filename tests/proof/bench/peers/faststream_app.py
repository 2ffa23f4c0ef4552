"""FastStream, as its documentation writes it, with aiohttp for the POST.

Usage: python -m tests.proof.bench.peers.faststream_app AMQP_URI QUEUE RECEIVER_URL PREFETCH
"""

import sys

import aiohttp
import uvloop
from faststream import FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue


async def main(uri: str, queue_name: str, url: str, prefetch: int) -> None:
    broker = RabbitBroker(uri, logger=None, default_channel=Channel(prefetch_count=prefetch))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        @broker.subscriber(RabbitQueue(queue_name, durable=True, queue_type=QueueType.QUORUM))
        async def deliver(event: dict[str, object]) -> None:
            event["destination"] = url
            async with session.post(url, json=event) as response:
                await response.read()

        await FastStream(broker).run()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
