"""The history's database: whether it can be reached and written, and whether all replicas can share it."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from worker.broker.topology import Topology
from worker.doctor.finding import Finding, many, some
from worker.doctor.view import BrokerView
from worker.process.history_store import now, store_of_history
from worker.process.replays import JOBS_LOOKED_AT, reach_seconds
from worker.process.sources import require_driver
from worker.replay import jobs
from worker.settings.settings import Settings
from worker.stores.database import Database
from worker.stores.history.store import Store
from worker.webhooks.store import StoreUnavailable

NAME, SILENT = "history", "silent instances"
SECONDS = 15.0
TABLES = tuple(f"webhook_history{name}" for name in ("", "_batches", "_producers", "_troubles", "_listening"))


async def problem(settings: Settings) -> str | None:
    """Why rows cannot be written; None: they can, or HISTORY is off. Nothing is made or changed."""
    if settings.history == "off":
        return None
    where = settings.history_database_uri
    if where.path is not None:
        return _file_problem(where)
    try:
        async with asyncio.timeout(SECONDS):
            return await _server_problem(where)
    except TimeoutError:
        return f"{where.shown} did not answer within {SECONDS:g} s"
    except StoreUnavailable as error:
        return str(error)


def _file_problem(where: Database) -> str | None:
    path = where.path
    assert path is not None
    if path.is_dir():
        return f"{where.shown} is a folder: HISTORY_DATABASE_URI must name a file"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return f"{where.shown} cannot be made: its folder must exist and be writable for this user"
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return f"{where.shown} is not writable for this user"
    return None


async def _server_problem(where: Database) -> str | None:
    from worker.doctor.asking.server import server_facts  # noqa: PLC0415 - SQLAlchemy takes 0.4 s

    require_driver(where)
    facts = await asyncio.to_thread(server_facts, where, TABLES)
    if facts is None or (facts.may_write is not False and facts.may_create is not False):
        return None
    if facts.may_write is False:
        return f"{where.shown}: its user may not read and write the tables {', '.join(TABLES)}"
    return f"{where.shown}: its user may not create tables (PostgreSQL: one for each day of history)"


def finding(problem_found: str | None, settings: Settings) -> Finding:
    if settings.history == "off":
        return Finding("ok", NAME, "HISTORY is off: nothing is kept")
    if problem_found is not None:
        fix = "HISTORY_DATABASE_URI, or the rights of its user; HISTORY=off keeps none. Deliveries go on meanwhile"
        return Finding("warning", NAME, problem_found, fix)
    return Finding("ok", NAME, f"kept for {settings.history_days} days in {settings.history_database_uri.shown}")


@asynccontextmanager
async def asked(settings: Settings) -> AsyncIterator[Store]:
    """Nothing is made or changed. Raises StoreUnavailable (its tables are not there yet, or its own finding says why),
    and TimeoutError where the block takes longer than SECONDS."""
    store = store_of_history(settings)
    try:
        async with asyncio.timeout(SECONDS):
            yield store
    finally:
        await store.close()


async def silent(settings: Settings) -> Finding | None:
    """Instances without messages; None: there is none, or nobody can say."""
    if settings.history == "off":
        return None
    try:
        async with asked(settings) as store:
            found = await store.silent(int(now() * 1000))
    except (StoreUnavailable, TimeoutError):
        return None
    if not found:
        return None
    who = many(len(found), "instance is connected and gets", "instances are connected and get")
    what = f"{who} no messages: {some(found)}"
    return Finding("warning", SILENT, what, "restart each in Evolution: PUT /instance/restart/INSTANCE", found)


async def missed_since(settings: Settings) -> Mapping[tuple[str, str], int]:
    """As jobs.missed_since; empty where nobody can say."""
    if settings.history != "all":
        return {}
    try:
        async with asked(settings) as store:
            return jobs.missed_since(await store.jobs(None, JOBS_LOOKED_AT), reach_seconds(settings))
    except (StoreUnavailable, TimeoutError):
        return {}


def shared(view: BrokerView, topology: Topology, where: Database) -> Finding | None:
    """Several replicas that write to SQLite write each to a file of its own machine, or get in each other's way."""
    retries = view.queues.get(topology.retries)
    if topology.history is None or where.path is None or retries is None or (retries.consumers or 0) < 2:
        return None
    what = f"{retries.consumers} replicas keep it in SQLite ({where.shown}): each sees what was written on its machine"
    return Finding("warning", NAME, what, "HISTORY_DATABASE_URI=postgresql://... or mysql://..., the same for all")
