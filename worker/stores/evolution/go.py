"""The webhooks that Evolution Go keeps in its table `instances`, for `webhook import`: SELECT and nothing else.

Source: Evolution Go 0.6.1 to 0.7.1: its model of an instance (PostgreSQL), and how it reads the column `events`.
"""

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from worker.domain.evolution_go import ALL
from worker.domain.names import canonical
from worker.domain.webhook import DEFAULT_ID
from worker.stores.database import Database
from worker.stores.engine import engine_of, errors_mapped, remedies
from worker.stores.evolution.sent import url_sent
from worker.stores.evolution.tables import INSTANCE
from worker.webhooks.transfer import Candidate

_REMEDIES = remedies(
    "has neither Evolution 2.x's tables nor Evolution Go's",
    "its user may not read Evolution Go's table: GRANT SELECT on instances",
)
INSTANCES = Table("instances", MetaData(), *(Column(name, String) for name in ("name", "webhook", "events")))
"""Only what is read. Its column `token` opens the instance's API and stays where it is."""


def candidates(database: Database) -> tuple[list[Candidate] | None, bool]:
    """The webhooks in Evolution Go's table, None without that table; and whether Evolution API's tables are there.

    Blocking. Raises StoreUnavailable.
    """
    engine = engine_of(database, read_only=True)
    try:
        with errors_mapped(database, _REMEDIES), engine.connect() as connection:
            beside = inspect(connection).has_table(INSTANCE.name, schema=database.schema)
            if not _is_go(connection, database.schema):
                return None, beside
            rows = connection.execute(select(*INSTANCES.c).order_by(INSTANCES.c.name)).all()
    finally:
        engine.dispose()
    return [candidate(name, webhook, events or "") for name, webhook, events in rows if webhook], beside


def _is_go(connection: Connection, schema: str | None) -> bool:
    """Other applications have a table of that name, too."""
    seen = inspect(connection)
    if not seen.has_table(INSTANCES.name, schema=schema):
        return False
    return {column["name"] for column in seen.get_columns(INSTANCES.name, schema=schema)} >= {*INSTANCES.c.keys()}


def candidate(instance: str, url: str, events: str) -> Candidate:
    """`events` is a list with commas; ALL means every event, and an empty one none: Evolution Go then sends nothing."""
    names = {canonical(name.strip()) for name in events.split(",") if name.strip()}
    fields = {
        "url": url_sent(url),
        "enabled": bool(names),
        "events": [] if ALL in names else sorted(names),
    }
    return Candidate(instance, DEFAULT_ID, fields)
