"""Events of chats, a worker that delivers them in order, and whether they came so."""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from tests.proof.bench.ledger import Arrival, LedgerError, wait_for
from tests.proof.bench.process import Process
from tests.proof.bench.rig import Rig

INSTANCES, CHATS = 10, 100
"""The n-th event is of the chat n % CHATS, which is one of the instance n % INSTANCES."""

NONE, NOBODY, CHAT = "no order, ORDER=false", "no order, ORDER=true", "by chat"
ORDERS = {NONE: None, NOBODY: "none", CHAT: "chat"}
"""The `order` of all webhooks; None: the worker has none either."""

MOST_SIDINGS = 40
ACTIVE_SECONDS = 120.0
"""valgrind is fifty times slower."""

BODY_BYTES = 800

_TAIL = b'"},"server_url":"https://evo.example","date_time":"2026-11-22T08:37:36.202Z","apikey":"T"}'


def said(number: int, sent: float = 0.0, instances: int = INSTANCES, chats: int = CHATS) -> bytes:
    """A message in a chat, as Evolution publishes it."""
    head = (
        b'{"event":"messages.upsert","instance":"bench-%d","data":{"key":{"remoteJid":"55%09d@s.whatsapp.net",'
        b'"fromMe":false,"id":"%012d"},"number":%d,"sent":%.6f,"text":"'
    ) % (number % instances, number % chats, number, number, sent)
    return head + b"x" * (BODY_BYTES - len(head) - len(_TAIL)) + _TAIL


def ordered(kind: str | None) -> bool:
    return kind not in (None, "none")


@contextmanager
def queues_in_order(
    rig: Rig, urls: Sequence[str], kind: str | None, orders: Sequence[str] | None = None
) -> Iterator[None]:
    """A webhook `bench-<n>` for the n-th URL, all of the order `kind` or each of its own, and queues of their own: an
    ordered queue that comes later than that of first attempts is not used before those are done that only the latter
    has."""
    names = [f"bench-{number}" for number in range(len(urls))]
    of_each = orders or [kind if kind is not None and ordered(kind) else ""] * len(urls)
    rig.set_webhooks(
        dict(zip(names, urls, strict=True)),
        {name: order for name, order in zip(names, of_each, strict=True) if order},
    )
    before, rig.prefix = rig.prefix, f"bench-{secrets.token_hex(3)}"
    try:
        yield
    finally:
        sidings = (f"{ordered_queue(rig)}.{number}" for number in range(1, MOST_SIDINGS + 1))
        rig.queues.delete(*rig.worker_queues, ordered_queue(rig), *sidings)
        rig.prefix = before


def ordered_queue(rig: Rig) -> str:
    return f"{rig.prefix}.ordered"


@contextmanager
def active_worker(rig: Rig, kind: str | None, command: Sequence[str] = (), **settings: str) -> Iterator[Process]:
    """A worker that delivers. None: ORDER=false."""
    with rig.worker(command, ORDER="false" if kind is None else "true", **settings) as worker:
        worker.wait_consuming()
        if kind is not None:
            active = partial(rig.metric, "webhook_worker_ordered_active")
            wait_for(active, 1, "replicas deliver in order", worker, ACTIVE_SECONDS)
        yield worker


@contextmanager
def worker_in_order(
    rig: Rig,
    urls: Sequence[str],
    kind: str | None,
    orders: Sequence[str] | None = None,
    command: Sequence[str] = (),
    **settings: str,
) -> Iterator[Process]:
    """Both."""
    with queues_in_order(rig, urls, kind, orders), active_worker(rig, kind, command, **settings) as worker:
        yield worker


def in_order(arrivals: Iterable[Arrival], chats: int = CHATS) -> None:
    """Raises LedgerError unless the numbers of each chat arrived in ascending order."""
    last: dict[int, int] = {}
    for arrival in arrivals:
        chat = arrival.number % chats
        if arrival.number < last.get(chat, -1):
            raise LedgerError(f"number {arrival.number} arrived after number {last[chat]} of the same chat")
        last[chat] = arrival.number
