"""`python -m tests.proof.bench.recording KIND COUNT`: COUNT deliveries are settled, with their history.

Without a broker, so that nothing depends on the clock: with HISTORY=off (`off`), `failures` or `all` the same attempts
are settled, and batches of 500 rows become the frames that RabbitMQ gets. What two kinds differ by is what history
costs where deliveries are made. Prints the CPU time, in microseconds.
"""

import asyncio
import sys
import time
from collections.abc import Mapping

from tests.proof.bench.sampling import event
from worker.broker.publishing.content import body_frames, content_header
from worker.delivery.attempt import Attempt
from worker.delivery.open_deliveries import OpenDeliveries
from worker.delivery.settle import Settler
from worker.domain.event import identity, parse
from worker.domain.outcome import Delivered
from worker.domain.past import Past
from worker.domain.record import Record
from worker.domain.routing import Delivery, route
from worker.domain.verdict import Answered, Result
from worker.domain.webhook import Webhook
from worker.history.recording import MOST_ROWS, Recording

FRAME = 131_000


class _Message:
    """ports.Message, acked into nothing."""

    lost, redelivered, dead_letters, message_id = False, False, True, None
    exchange, routing_key, queue = "evolution_exchange", "messages.upsert", "webhooks.events"

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.past: Past | None = None
        self.trace: Mapping[str, str] = {}

    def ack(self) -> None: ...
    def hand_back(self) -> None: ...
    def reject(self) -> None: ...


class _Nowhere:
    """ports.Publisher and ports.Recorder."""

    def retry(self, body: bytes, past: Past, delay: int) -> asyncio.Future[object]:
        raise AssertionError("all are delivered")

    def dead_letter(self, body: bytes, past: Past, facts: Mapping[str, str]) -> asyncio.Future[object]:
        raise AssertionError("all are delivered")

    def received(self, kind: str) -> None: ...
    def started(self) -> None: ...
    def attempted(self, result: Result, seconds: float) -> None: ...
    def publish_failed(self) -> None: ...
    def delivered(self, instance: str, seconds: float) -> bool:
        return True

    def settled(self, record: Record) -> None: ...


def _send(body: bytes) -> asyncio.Future[object]:
    """Gives what RabbitMQ would get."""
    done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    done.set_result(b"".join([content_header(1, len(body), {}, "1"), *body_frames(1, body, FRAME)]))
    return done


async def settle(kind: str, count: int) -> None:
    recording = Recording("bench", "pod-1", _send, lambda _: None, failures_only=kind == "failures")
    settler = Settler(_Nowhere(), _Nowhere(), time.time, None if kind == "off" else recording)
    running = asyncio.create_task(recording.run())
    some = [_delivery(number) for number in range(100)]
    attempt = Attempt(Delivered(), Answered(200), 0.0123, 840)
    for number in range(count):
        delivery, body = some[number % 100]
        settler.attempted(OpenDeliveries(_Message(body), delivery.past), delivery, attempt)
        if number % MOST_ROWS == MOST_ROWS - 1:
            await _sent(recording)
    running.cancel()


async def _sent(recording: Recording) -> None:
    await asyncio.sleep(0)
    while recording.waiting:
        await asyncio.sleep(0)


def _delivery(number: int) -> tuple[Delivery, bytes]:
    body = event(f"bench-{number % 10}", 800, number)
    found, webhook = parse(body), Webhook(f"bench-{number % 10}", "https://receiver.example/hook")
    past = Past(identity(body, None), time.time(), "evolution_exchange", "messages.upsert")
    delivery = route(found, past, webhook, (webhook,))
    assert isinstance(delivery, Delivery)
    return delivery, body


if __name__ == "__main__":
    began = time.process_time()
    asyncio.run(settle(sys.argv[1], int(sys.argv[2])))
    print(round((time.process_time() - began) * 1e6))
