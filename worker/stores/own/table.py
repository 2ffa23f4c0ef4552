"""The statements on the worker's own table, each call one short transaction. Imports SQLAlchemy (0.4 s)."""

from collections.abc import Callable

from sqlalchemy import ColumnElement, Connection, delete, insert, select, tuple_, update
from sqlalchemy.dialects import mysql, postgresql, sqlite

from worker.domain.webhook import Endpoint, Webhook
from worker.stores.database import Database
from worker.stores.engine import engine_of, errors_mapped
from worker.stores.own.deleted import note_orders_left, orders_left, refuse_another_order, worn
from worker.stores.own.migrations import applied_version, migrate
from worker.stores.own.row import COLUMNS, PLAIN, SEALED, from_row, to_row
from worker.stores.own.schema import REVISIONS, WEBHOOKS
from worker.stores.own.sealing import Sealer, Unreadable
from worker.webhooks.store import Deleted, Page, Renewed, Stored, Written

Row = dict[str, str | int | None]

_SELECT = select(*(WEBHOOKS.c[name] for name in COLUMNS))
_ORDERS = select(WEBHOOKS.c.id, WEBHOOKS.c.order, WEBHOOKS.c.order_next)


class WebhookTable:
    """Blocking calls, from any thread. `now_ms` gives Unix milliseconds. Each raises StoreUnavailable."""

    def __init__(
        self, database: Database, now_ms: Callable[[], int], sealer: Sealer = PLAIN, forgotten_seconds: float = 150.0
    ) -> None:
        """`forgotten_seconds`: after its deletion no replica knows a webhook any more."""
        self._forgotten_ms = int(forgotten_seconds * 1000)
        self._database = database
        self._sealer = sealer
        self._now_ms = now_ms
        self._engine = engine_of(database)

    def migrate(self) -> int:
        with errors_mapped(self._database):
            engine = engine_of(self._database, create=True)
            try:
                return migrate(engine)
            finally:
                engine.dispose()

    def version(self) -> int | None:
        with errors_mapped(self._database), self._engine.connect() as connection:
            return applied_version(connection)

    def check_writable(self) -> None:
        """Runs statements that need every right and match no row."""
        with errors_mapped(self._database), self._engine.connect() as connection:
            nothing = WEBHOOKS.c.instance == ""
            connection.execute(_SELECT.where(nothing))
            connection.execute(insert(WEBHOOKS).from_select(list(COLUMNS), _SELECT.where(nothing)))
            connection.execute(update(WEBHOOKS).where(nothing).values(enabled=0))
            connection.execute(delete(WEBHOOKS).where(nothing))
            connection.rollback()

    def get(self, instance: str) -> tuple[Stored, ...]:
        statement = _SELECT.where(WEBHOOKS.c.instance == instance).order_by(WEBHOOKS.c.id)
        with errors_mapped(self._database), self._engine.connect() as connection:
            rows = connection.execute(statement).all()
        return tuple(from_row(row, self._sealer) for row in rows)

    def list(self, after: Endpoint | None, limit: int) -> Page:
        key = tuple_(WEBHOOKS.c.instance, WEBHOOKS.c.id)
        statement = _SELECT.order_by(WEBHOOKS.c.instance, WEBHOOKS.c.id).limit(limit + 1)
        if after is not None:
            statement = statement.where(key > (after.instance, after.webhook_id))
        with errors_mapped(self._database), self._engine.connect() as connection:
            rows = connection.execute(statement).all()
        items = tuple(from_row(row, self._sealer) for row in rows[:limit])
        return Page(items, items[-1].webhook.endpoint if len(rows) > limit else None)

    def instances(self) -> tuple[str, ...]:
        with errors_mapped(self._database), self._engine.connect() as connection:
            return tuple(connection.execute(select(WEBHOOKS.c.instance).distinct()).scalars())

    def put(self, webhook: Webhook) -> Written:
        with errors_mapped(self._database), self._engine.begin() as connection:
            revision = _next_revision(connection, webhook.instance)
            now = self._now_ms()
            row = self._row(webhook, revision, now)
            created = not self._update(connection, row)
            if created:
                self._insert(connection, row, webhook, now)
        return Written(revision, created)

    def put_if_unchanged(self, webhook: Webhook, seen: int) -> Written | None:
        with errors_mapped(self._database), self._engine.connect() as connection:
            revision = _next_revision(connection, webhook.instance)
            now = self._now_ms()
            row = self._row(webhook, revision, now)
            if seen and not self._update(connection, row, WEBHOOKS.c.revision == seen):
                return None  # without commit: the revision stays
            if not seen:
                if connection.execute(_SELECT.where(_is(webhook.endpoint))).first() is not None:
                    return None
                self._insert(connection, row, webhook, now)
            connection.commit()
        return Written(revision, created=not seen)

    def _row(self, webhook: Webhook, revision: int, now: int) -> Row:
        return {**to_row(webhook, self._sealer), "revision": revision, "updated_at": now, "failing_since": None}

    def _update(self, connection: Connection, row: Row, *conditions: ColumnElement[bool]) -> bool:
        which = (WEBHOOKS.c.instance == row["instance"], WEBHOOKS.c.id == row["id"], *conditions)
        return bool(connection.execute(update(WEBHOOKS).where(*which).values(row)).rowcount)

    def _insert(self, connection: Connection, row: Row, webhook: Webhook, now: int) -> None:
        since = now - self._forgotten_ms
        refuse_another_order(webhook, orders_left(connection, webhook.instance, since), since)
        connection.execute(insert(WEBHOOKS).values({**row, "created_at": row["updated_at"]}))

    def delete(self, instance: str, webhook_id: str | None) -> Deleted | None:
        which = WEBHOOKS.c.instance == instance if webhook_id is None else _is(Endpoint(instance, webhook_id))
        with errors_mapped(self._database), self._engine.connect() as connection:
            revision = _next_revision(connection, instance)
            orders = connection.execute(_ORDERS.where(which)).all()
            count = connection.execute(delete(WEBHOOKS).where(which)).rowcount
            if not count:
                return None  # without commit: the revision stays
            now = self._now_ms()
            gone = {row.id: (now, worn(row.order, row.order_next)) for row in orders}
            left = orders_left(connection, instance, now - self._forgotten_ms)
            note_orders_left(connection, instance, left | gone)
            connection.commit()
        return Deleted(revision, count)

    def disable(self, seen: Webhook, reason: str, *, if_failing: bool = False) -> int | None:
        with errors_mapped(self._database), self._engine.connect() as connection:
            revision = _next_revision(connection, seen.instance)
            found = self._locked(connection, seen.endpoint)
            if found is None or found != seen or (if_failing and found.failing_since is None):
                return None  # without commit: the revision stays
            now = self._now_ms()
            off = {"enabled": 0, "disabled_reason": reason, "disabled_at": now}
            off |= {"revision": revision, "updated_at": now}
            connection.execute(update(WEBHOOKS).where(_is(seen.endpoint)).values(off))
            connection.commit()
        return revision

    def failing(self, seen: Webhook, since: int | None) -> int | None:
        with errors_mapped(self._database), self._engine.begin() as connection:
            found = self._locked(connection, seen.endpoint)
            if found is None or found != seen:
                return None
            if since is not None and found.failing_since is not None:
                since = min(since, found.failing_since)
            if since != found.failing_since:
                connection.execute(update(WEBHOOKS).where(_is(seen.endpoint)).values(failing_since=since))
        return since

    def _locked(self, connection: Connection, endpoint: Endpoint) -> Webhook | None:
        """The webhook, which nobody else changes until the end of the transaction."""
        row = connection.execute(_SELECT.where(_is(endpoint)).with_for_update()).first()
        return None if row is None else from_row(row, self._sealer).webhook

    def reencrypt(self) -> Renewed:
        """One short transaction a row, which a write by somebody else meanwhile wins."""
        columns = [WEBHOOKS.c[name] for name in ("instance", "id", *SEALED)]
        with errors_mapped(self._database), self._engine.connect() as connection:
            rows = connection.execute(select(*columns)).all()
        problems, count = [], 0
        for row in rows:
            old = {name: text for name, text in zip(SEALED, row[2:], strict=True) if text is not None}
            try:
                new = {name: text for name in old if (text := self._sealer.renewed(old[name])) is not None}
            except Unreadable as error:
                problems.append(f"webhook {row.id!r} of instance {row.instance!r} {error}")
                continue
            count += self._replaced(Endpoint(row.instance, row.id), old, new) if new else 0
        return Renewed(count, tuple(problems))

    def _replaced(self, endpoint: Endpoint, old: dict[str, str], new: dict[str, str]) -> int:
        same = [WEBHOOKS.c[name] == text for name, text in old.items()]
        with errors_mapped(self._database), self._engine.begin() as connection:
            return connection.execute(update(WEBHOOKS).where(_is(endpoint), *same).values(new)).rowcount

    def close(self) -> None:
        self._engine.dispose()


def _is(endpoint: Endpoint) -> ColumnElement[bool]:
    found: ColumnElement[bool] = (WEBHOOKS.c.instance == endpoint.instance) & (WEBHOOKS.c.id == endpoint.webhook_id)
    return found


def _next_revision(connection: Connection, instance: str) -> int:
    """Adds one. First of all in each write: its row lock makes the writers of one instance take turns."""
    first = {"instance": instance, "revision": 1}
    following = REVISIONS.c.revision + 1
    if connection.dialect.name in ("mysql", "mariadb"):
        connection.execute(mysql.insert(REVISIONS).values(first).on_duplicate_key_update(revision=following))
    else:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        upsert = dialect.insert(REVISIONS).values(first)
        connection.execute(
            upsert.on_conflict_do_update(index_elements=[REVISIONS.c.instance], set_={"revision": following})
        )
    found = connection.execute(select(REVISIONS.c.revision).where(REVISIONS.c.instance == instance))
    return int(found.scalar_one())
