"""`python -m tests.proof.bench.writing URI BATCHES COUNT`: what a writer does with batches, without a broker.

Decodes COUNT batches of the file BATCHES as they come from the queue, one a line, and writes five of them in a
transaction, as it does beside 5,000 deliveries a second. For valgrind: the instructions by which two runs differ are
the price of the rows by which they do. Prints the CPU time, in microseconds.
"""

import random
import sys
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from tests.history.fakes import row
from worker.domain.history import Batch, Row
from worker.history.batches import decode, encode
from worker.history.recording import MOST_ROWS
from worker.stores.database import parse
from worker.stores.history.tables import HistoryTables

TOGETHER = 5
"""Batches of a transaction."""

NOW = 1_795_867_200_000


def write(uri: str, bodies: Sequence[bytes]) -> None:
    tables = HistoryTables(parse(uri), 7, lambda: NOW)
    tables.prepare()
    for first in range(0, len(bodies), TOGETHER):
        found = map(decode, bodies[first : first + TOGETHER])
        tables.write([batch for batch in found if isinstance(batch, Batch)])
    tables.close()


def batches(count: int) -> Iterator[bytes]:
    """As they come from the queue, full."""
    chance = random.Random(1)
    for first in range(0, count * MOST_ROWS, MOST_ROWS):
        yield encode(Batch("bench", first, "pod-1", tuple(_row(first + at, chance) for at in range(MOST_ROWS))))


def _row(number: int, chance: random.Random) -> Row:
    """Of 50 instances, any of 100,000 chats; 98 of 100 are delivered."""
    event_id = sha256(str(number).encode()).hexdigest()
    delivered = row(
        NOW + number // 5,
        id=f"msg_{event_id[:32]}",
        event_id=event_id,
        instance=f"instance {chance.randrange(50)}",
        event=chance.choice(("MESSAGES_UPSERT", "MESSAGES_UPDATE", "PRESENCE_UPDATE", "SEND_MESSAGE")),
        chat=f"55119{chance.randrange(100_000):08d}@s.whatsapp.net",
        size=840,
        host="receiver.example:443",
    )
    if chance.random() < 0.98:
        return delivered
    return delivered._replace(
        outcome="Retried", reason="5xx", status=503, error="the receiver answered 503", answer="down"
    )


if __name__ == "__main__":
    bodies = Path(sys.argv[2]).read_bytes().splitlines()[: int(sys.argv[3])]
    began = time.process_time()
    write(sys.argv[1], bodies)
    print(round((time.process_time() - began) * 1e6))
