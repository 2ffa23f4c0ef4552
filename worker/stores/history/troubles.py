"""Troubles of endpoints beside their rows: kept in the transaction of a batch, told by whoever claims them first.

Imports SQLAlchemy (0.4 s).
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, Row, delete, select, update

from worker.domain.history import Row as HistoryRow
from worker.domain.notices.trouble import Key, Seen, Trouble, TroubleKind, after, due, fails, is_past, seen_in, told
from worker.history.store import Claimed
from worker.stores.history.kinds import Kind
from worker.stores.history.schema import TROUBLES
from worker.stores.history.storable import is_name

LEASE_MS = 60_000
"""Within which whoever claimed a notice publishes it; then another one may."""

_MOST_INSTANCES = 200
"""In one question: databases bound a statement's parameters."""

_C = TROUBLES.c
_decode = msgspec.json.Decoder(Trouble).decode


class Troubles:
    """Raises SQLAlchemy's errors. Times are Unix milliseconds."""

    def __init__(self, engine: Engine, kind: Kind, keep_ms: int) -> None:
        self._engine = engine
        self._kind = kind
        self._keep_ms = keep_ms

    def see(self, connection: Connection, rows: Iterable[HistoryRow]) -> None:
        """Takes note of new rows, in their transaction. What goes well and is in no trouble costs one question for all
        of it."""
        self.note(connection, [found for found in seen_in(rows) if _is_storable(found.key)])

    def report(self, seen: Seen) -> None:
        """What a process knows of itself."""
        with self._engine.begin() as connection:
            self.note(connection, [seen])

    def note(self, connection: Connection, seen: Sequence[Seen]) -> None:
        """Takes note of them in a transaction that is under way; their names can be kept."""
        known = self._known(connection, sorted({found.key.instance for found in seen}))
        for found in seen:
            trouble = known.get(found.key)
            if trouble is not None:
                _keep(connection, found.key, after(trouble, found))
            elif found.example is not None:
                self._begin(connection, found)

    def claim(self, now: int) -> Sequence[Claimed]:
        """What is to be told now and nobody else is telling. Not told within the lease, it is claimed again."""
        with self._engine.begin() as connection:
            rows = connection.execute(select(TROUBLES).where(_C.leased <= now)).all()
            found = [(row, _decode(row.state)) for row in rows]
            for row, trouble in found:
                if is_past(trouble, now, self._keep_ms):
                    connection.execute(delete(TROUBLES).where(_as_it_was(row)))
            told_of = [(row, trouble, due(trouble, now)) for row, trouble in found]
            return [
                Claimed(notice, trouble.count, trouble.key, now + LEASE_MS)
                for row, trouble, notice in told_of
                if notice is not None and _leased(connection, row, now + LEASE_MS)
            ]

    def failing(self) -> Sequence[Trouble]:
        """Of endpoints that fail, the longest first."""
        with self._engine.connect() as connection:
            states = connection.execute(select(_C.state).where(_C.kind == TroubleKind.FAILING)).scalars()
            return sorted(filter(fails, map(_decode, states)), key=attrgetter("since"))

    def told(self, claimed: Claimed, now: int) -> None:
        """It was published. Whatever was seen meanwhile stays to be told."""
        with self._engine.begin() as connection:
            mine = select(_C.state).where(_is(claimed.key), _C.leased == claimed.lease).with_for_update()
            state = connection.execute(mine).scalar_one_or_none()
            if state is not None:
                _keep(connection, claimed.key, told(_decode(state), claimed.notice, claimed.bad, now))
                connection.execute(update(TROUBLES).where(_is(claimed.key)).values(leased=0))

    def _known(self, connection: Connection, instances: Sequence[str]) -> dict[Key, Trouble]:
        found: dict[Key, Trouble] = {}
        for first in range(0, len(instances), _MOST_INSTANCES):
            some = _C.instance.in_(instances[first : first + _MOST_INSTANCES])
            ordered = select(_C.state).where(some).order_by(_C.instance, _C.webhook, _C.kind).with_for_update()
            troubles = map(_decode, connection.execute(ordered).scalars())
            found |= {trouble.key: trouble for trouble in troubles}
        return found

    def _begin(self, connection: Connection, seen: Seen) -> None:
        """Another writer may have begun the same one since we asked."""
        trouble = after(None, seen)
        assert trouble is not None
        if self._kind.add_once(
            connection, TROUBLES, {**seen.key._asdict(), "leased": 0, "changes": 0, "state": _encoded(trouble)}
        ):
            return
        known = connection.execute(select(_C.state).where(_is(seen.key)).with_for_update()).scalar_one()
        _keep(connection, seen.key, after(_decode(known), seen))


def _keep(connection: Connection, key: Key, trouble: Trouble | None) -> None:
    if trouble is None:
        connection.execute(delete(TROUBLES).where(_is(key)))
    else:
        connection.execute(update(TROUBLES).where(_is(key)).values(state=_encoded(trouble), changes=_C.changes + 1))


def _leased(connection: Connection, row: Row[Any], until: int) -> bool:
    """By compare-and-set: of several replicas, one."""
    return connection.execute(update(TROUBLES).where(_as_it_was(row)).values(leased=until)).rowcount == 1


def _is(key: Key) -> ColumnElement[bool]:
    return (_C.kind == key.kind) & (_C.instance == key.instance) & (_C.webhook == key.webhook)


def _as_it_was(row: Row[Any]) -> ColumnElement[bool]:
    unchanged: ColumnElement[bool] = (_C.leased == row.leased) & (_C.changes == row.changes)
    return _is(Key(row.kind, row.instance, row.webhook)) & unchanged


def _encoded(trouble: Trouble) -> str:
    return msgspec.json.encode(trouble).decode()


def _is_storable(key: Key) -> bool:
    return is_name("instance", key.instance) and is_name("webhook", key.webhook)
