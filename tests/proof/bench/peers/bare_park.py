"""The bare consume-and-park loop that a burst through the worker is measured against: aio-pika on uvloop, no more.

Each event of the instance is published, persistent and with confirms, to the delay queue and acked after the
confirm, as many at once as the prefetch allows; all others are acked at once. Nothing is parsed or POSTed.
Prints `began <seconds>` when it starts to consume and `reached <seconds>` (monotonic clock) at the last other one.

Usage: python -m tests.proof.bench.peers.bare_park AMQP_URI QUEUE DELAY_QUEUE PREFETCH INSTANCE OTHERS
"""

import asyncio
import sys
import time

import aio_pika
import uvloop
from aio_pika.abc import AbstractIncomingMessage


async def main(uri: str, queue_name: str, delay_queue: str, prefetch: int, instance: str, others: int) -> None:
    connection = await aio_pika.connect(uri)
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=prefetch)
    queue = await channel.get_queue(queue_name, ensure=False)
    exchange = channel.default_exchange
    marker = f'"instance":"{instance}"'.encode()
    left = others

    async def park(message: AbstractIncomingMessage) -> None:
        nonlocal left
        if marker in message.body:
            copy = aio_pika.Message(message.body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await exchange.publish(copy, routing_key=delay_queue)
        else:
            left -= 1
            if left == 0:
                print("reached", time.monotonic(), flush=True)
        await message.ack()

    print("began", time.monotonic(), flush=True)
    await queue.consume(park)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:4], int(sys.argv[4]), sys.argv[5], int(sys.argv[6])))
