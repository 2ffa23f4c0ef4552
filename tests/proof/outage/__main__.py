"""The database is stopped under load: does a delivery notice, and is every row of history there or counted?

    make outage                                   # ten minutes without PostgreSQL, about 20 minutes in all
    .venv/bin/python -m tests.proof.outage --minutes 1 --queue-mib 2

One worker with its webhooks and its history in one PostgreSQL server; a steady load before, while and after the server
is stopped. `--queue-mib` bounds the history's queue, so that history is really lost and must be counted. Needs the two
cores of the bench. Prints tables in Markdown; exit code 1 when something is not as it should be.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg

from tests.proof.bench.ledger import Arrival, LedgerError, Receiver, check
from tests.proof.bench.machine import machine
from tests.proof.bench.process import Process
from tests.proof.bench.rig import Rig, rig
from tests.proof.bench.sampling import event
from tests.proof.outage.figures import Phases, Rows, latencies, lines, unchanged
from tests.support.postgres import Postgres
from worker.domain.webhook import Webhook
from worker.stores.own.store import SqlStore

ENDPOINTS = 50
WARM_SECONDS = 5.0
ACCOUNTED_SECONDS = 900.0
"""For the database to be caught up, and holes to be counted: the writer waits for five calm minutes, and two more."""


class Elsewhere(Postgres):
    """Takes what the others leave of the two cores: in service the database has a machine of its own, and what its
    writes would take from RabbitMQ and the receiver here says nothing of the worker."""

    def command(self) -> list[str]:
        return ["nice", "-n", "19", *super().command()]


@dataclass(frozen=True, slots=True)
class Load:
    """Events a second, and for how long before and after (each), and while the database is stopped."""

    rate: float
    beside: float
    stopped: float


def main() -> int:
    chosen = _arguments()
    load = Load(chosen.rate, chosen.beside, chosen.minutes * 60)
    print(f"{machine()}\n\n{load.rate:g} events of 0.8 KB a second, {chosen.minutes:g} minutes without PostgreSQL.\n")
    with rig() as ready, Elsewhere() as server, Receiver() as receiver:
        if chosen.queue_mib:
            _bound(ready, chosen.queue_mib)
        try:
            return _run(ready, server, receiver, load)
        except (LedgerError, TimeoutError) as error:
            print(f"**Failed:** {error}")
            return 1


def _arguments() -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="tests.proof.outage", description="The database is stopped under load.")
    options.add_argument("--minutes", type=float, default=10, help="without the database (10)")
    options.add_argument("--rate", type=float, default=300, help="events a second (300)")
    options.add_argument("--beside", type=float, default=120, help="seconds of load before, and after (120)")
    options.add_argument("--queue-mib", type=float, default=0, help="bound of the history's queue (as it is declared)")
    return options.parse_args()


def _bound(ready: Rig, mib: float) -> None:
    definition = f'{{"max-length-bytes":{int(mib * 1024 * 1024)}}}'
    ready.broker.ctl("set_policy", "--apply-to", "queues", "outage", rf"^{ready.prefix}\.history$", definition)


def _run(ready: Rig, server: Postgres, receiver: Receiver, load: Load) -> int:
    uri = server.create_database("outage")
    asyncio.run(_fill(uri, receiver))
    with ready.worker(DATABASE_CONNECTION_URI=uri, HISTORY="all") as worker:
        worker.wait_consuming()
        total, phases = _load(ready, server, load)
        receiver.wait_for(total, worker)
        arrivals = receiver.noted()
        check(arrivals, range(total), lambda number: number % ENDPOINTS)
        rows = _accounted(ready, worker, uri)
    return _tell(arrivals, phases, rows, total)


async def _fill(uri: str, receiver: Receiver) -> None:
    store = SqlStore(uri, lambda: int(time.time() * 1000))
    await store.migrate()
    for number in range(ENDPOINTS):
        await store.put(Webhook(f"bench-{number}", receiver.url("ok", number)))
    await store.close()


def _load(ready: Rig, server: Postgres, load: Load) -> tuple[int, Phases]:
    """How many events were published, and when what was. The load never pauses: others stop and start the server."""
    sent = 0

    def pace(seconds: float) -> float:
        nonlocal sent
        first, until = sent, sent + round(load.rate * seconds)
        ready.queues.pace(
            ready.exchange,
            "messages.upsert",
            lambda number, at: event(f"bench-{(first + number) % ENDPOINTS}", 800, first + number, sent=at),
            rate=load.rate,
            until=lambda number: first + number >= until,
        )
        sent = until
        return time.monotonic()

    with ThreadPoolExecutor(1) as beside:
        began = pace(WARM_SECONDS)
        gone = pace(load.beside)
        stopping = beside.submit(server.stop)
        back = pace(load.stopped)
        stopping.result()
        starting = beside.submit(server.start)
        ended = pace(load.beside)
        starting.result()
    return sent, Phases(began, gone, back, ended)


def _accounted(ready: Rig, worker: Process, uri: str) -> Rows:
    """Once each row that was made is in the database or counted; what there is when that takes too long."""

    def metric(name: str) -> int:
        return int(ready.metric(f"webhook_worker_history_rows{name}_total"))

    def found() -> Rows:
        with psycopg.connect(uri) as connection:
            kept = connection.execute("SELECT count(*) FROM webhook_history").fetchone()
        return Rows(metric(""), kept[0] if kept else 0, metric("_dropped"))

    return _eventually(found, lambda rows: rows.accounted, worker)


def _eventually(ask: Callable[[], Rows], wanted: Callable[[Rows], bool], worker: Process) -> Rows:
    deadline = time.monotonic() + ACCOUNTED_SECONDS
    while not wanted(rows := ask()) and time.monotonic() < deadline:
        worker.check_running()
        time.sleep(1)
    return rows


def _tell(arrivals: list[Arrival], phases: Phases, rows: Rows, total: int) -> int:
    found = latencies(arrivals, phases)
    print("\n".join(lines(found, rows, total)))
    return 0 if unchanged(found) and rows.accounted and rows.made == total else 1


if __name__ == "__main__":
    sys.exit(main())
