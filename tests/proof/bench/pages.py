"""The console's pages over many rows and webhooks, in PostgreSQL and SQLite: what a browser waits for.

Rows are spread unevenly: one instance has a quarter of all, one webhook of it none, and a fault of a week ago has the
only rows of its kind. `webhook-worker run` serves the pages, on its core.
"""

import asyncio
import http.cookiejar
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from sqlalchemy import insert, select

from tests.proof.bench.history_rows import fill
from tests.proof.bench.ledger import LedgerError
from tests.proof.bench.rig import Rig
from tests.support.postgres import Postgres
from worker.domain.webhook import Webhook
from worker.stores.database import parse
from worker.stores.engine import engine_of
from worker.stores.history.store import history_store
from worker.stores.own.schema import WEBHOOKS
from worker.stores.own.store import SqlStore

KEY = "bench-key"
ROUNDS = 7
LIMIT_MS = 300
BUSY, RARE = "shop-0", "shop-7"

PAGES = {
    "Overview": "",
    "Webhooks": "/webhooks",
    "Webhooks, the last page": "/webhooks?after=shop-9998&after_id=crm",
    "Webhooks, found by name": "/webhooks?find=shop-77",
    "Webhook with a quarter of all rows": f"/webhook?instance={BUSY}&id=default",
    "Webhook without a row beside it": f"/webhook?instance={BUSY}&id=quiet",
    "Webhook, one of many": f"/webhook?instance={RARE}&id=default",
    "Deliveries": "/deliveries",
    "... of an instance": f"/deliveries?instance={RARE}",
    "... of a webhook without any": f"/deliveries?instance={BUSY}&webhook=quiet",
    "... of a webhook, failed": f"/deliveries?instance={BUSY}&webhook=default&outcome=Retried",
    "... of a webhook, given up, but none was": f"/deliveries?instance={BUSY}&webhook=default&outcome=DeadLettered",
    "... of an instance, a reason of a week ago": f"/deliveries?instance={RARE}&reason=tls",
    "... a reason of a week ago": "/deliveries?reason=tls",
    "... a reason within the hour": "/deliveries?reason=5xx&since=1h",
    "... of a chat": "/deliveries?chat=5511000000042",
    "... of a chat, one event, failed": "/deliveries?chat=5511000000042&event=messages.upsert&outcome=Retried",
    "... a status that nothing has": "/deliveries?status=418",
    "... of a webhook, an event that it never had": f"/deliveries?instance={BUSY}&webhook=default&event=call",
    "... of a chat, an event that it never had": "/deliveries?chat=5511000000042&event=call&outcome=Delivered",
    "... of an outcome and a webhook that never met": "/deliveries?outcome=Retried&webhook=quiet&event=messages.upsert",
    "... of two days ago": "/deliveries?since=3d&until=2d",
    "... of an instance, two days ago, failed": f"/deliveries?instance={BUSY}&since=3d&until=2d&outcome=Retried",
    "Delivery": "/delivery?id=msg_4242",
    "Dead letters": "/dead",
    "Replays": "/replays",
    "Doctor": "/doctor",
}

_FAILED = "(i % 100 >= 97)"
VALUES = {
    "replica": "'replica-1'",
    "id": "'msg_' || i",
    "event_id": "'evt_' || i",
    "instance": f"CASE WHEN i % 4 = 0 THEN '{BUSY}' ELSE 'shop-' || (i * 7919 % 5000) END",
    "webhook": "CASE WHEN i % 4 = 0 OR i % 3 > 0 THEN 'default' ELSE 'crm' END",
    "event": "CASE WHEN i % 5 < 3 THEN 'MESSAGES_UPSERT' ELSE 'MESSAGES_UPDATE' END",
    "chat": "(5511000000000 + i * 7919 % 200000) || '@s.whatsapp.net'",
    "outcome": f"CASE WHEN {_FAILED} THEN 'Retried' ELSE 'Delivered' END",
    "reason": f"CASE WHEN {_FAILED} THEN CASE WHEN i < 1000 THEN 'tls' ELSE '5xx' END ELSE 'ok' END",
    "attempt": "1",
    "status": f"CASE WHEN {_FAILED} THEN 503 ELSE 200 END",
    "ms": "i % 900",
    "error": f"CASE WHEN {_FAILED} THEN 'answered 503' END",
    "answer": f"CASE WHEN {_FAILED} THEN 'down' END",
    "content_type": "NULL",
    "size": "800",
    "host": "'hooks.example:443'",
}


def pages(rig: Rig, *, rows: int, webhooks: int) -> Iterator[str]:
    """A table: milliseconds, median and worst, of each page in both databases. Raises LedgerError for a page that took
    longer than LIMIT_MS in the median, or was none."""
    yield f"{rows:,} rows of seven days, {webhooks:,} webhooks; ms, median (worst of {ROUNDS}).\n"
    found: dict[str, dict[str, list[float]]] = {}
    with Postgres() as server:
        uris = {"PostgreSQL": server.create_database("pages"), "SQLite": f"sqlite:///{rig.folder}/pages.db"}
        for name, uri in uris.items():
            history = uri if name == "PostgreSQL" else f"sqlite:///{rig.folder}/pages-history.db"
            asyncio.run(_make(uri, history, rows, webhooks))
            settings = {"DATABASE_CONNECTION_URI": uri, "HISTORY_DATABASE_URI": history, "HISTORY": "all"}
            found[name] = _measured(rig, settings)
    for path in Path(rig.folder).glob("pages*"):
        path.unlink()
    yield f"| page | {' | '.join(found)} |"
    yield f"| --- |{' --- |' * len(found)}"
    for page in PAGES:
        yield f"| {page} | {' | '.join(_cell(of_database[page]) for of_database in found.values())} |"
    slow = [f"{page} ({name})" for name, taken in found.items() for page in PAGES if median(taken[page]) > LIMIT_MS]
    if slow:
        raise LedgerError(f"took more than {LIMIT_MS} ms: {', '.join(slow)}")


def _cell(taken: list[float]) -> str:
    return f"{median(taken):.0f} ({max(taken):.0f})"


async def _make(uri: str, history: str, rows: int, webhooks: int) -> None:
    now = int(time.time() * 1000)
    store = SqlStore(uri, lambda: now)
    await store.migrate()
    await store.put(Webhook(BUSY, "http://127.0.0.1:9/", "quiet", secrets=("whsec_" + "QUFB" * 8,)))
    await store.close()
    _multiply(uri, webhooks)
    kept = history_store(history, 8, lambda: now)
    await kept.prepare()
    await kept.close()
    fill(history, rows, now, VALUES)


def _multiply(uri: str, webhooks: int) -> None:
    """As the one that is there."""
    engine = engine_of(parse(uri))
    with engine.begin() as connection:
        one = dict(connection.execute(select(WEBHOOKS)).mappings().one())
        names = ((f"shop-{number // 2}", ("default", "crm")[number % 2]) for number in range(webhooks - 1))
        rows = [{**one, "instance": instance, "id": webhook} for instance, webhook in names]
        connection.execute(insert(WEBHOOKS), rows)
    engine.dispose()


def _measured(rig: Rig, settings: dict[str, str]) -> dict[str, list[float]]:
    rig.purge()
    console = {"AUTHENTICATION_API_KEY": KEY, "SERVER_PORT": str(rig.api_port)}
    url = f"http://127.0.0.1:{rig.api_port}/console"
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    taken: dict[str, list[float]] = {page: [] for page in PAGES}
    with rig.worker(**settings, **console) as worker:
        worker.wait_consuming()
        opener.open(f"{url}/login", urllib.parse.urlencode({"key": KEY}).encode(), timeout=20).close()
        for _ in range(ROUNDS):
            for page, path in PAGES.items():
                began = time.perf_counter()
                status, text = _seen(opener, url + path)
                taken[page].append((time.perf_counter() - began) * 1000)
                if status != 200 or 'id="answer"' not in text or _NOT_KNOWN.search(text):
                    raise LedgerError(f"{page} is not what it should be: {status}, {text[:2000]}")
    return taken


_NOT_KNOWN = re.compile("cannot be asked|is not known")


def _seen(opener: urllib.request.OpenerDirector, url: str) -> tuple[int, str]:
    try:
        with opener.open(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
