"""What is known of instances' messages: merged from every replica's pulses, judged by one of them.

Imports SQLAlchemy (0.4 s).
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, Row, bindparam, delete, func, select, update

from worker.domain.notices.trouble import silence
from worker.domain.silence.habits import Habits, Usual
from worker.domain.silence.pulse import FIRST_LOOK_MS, Listening, Pulse, heard, judged, reason_of
from worker.stores.history.kinds import DAY_MS, Kind
from worker.stores.history.schema import LISTENING
from worker.stores.history.storable import is_name
from worker.stores.history.troubles import Troubles

GONE_MS = 60 * DAY_MS
"""An instance that has said nothing for so long is forgotten; a holiday is shorter."""

_MOST_INSTANCES = 200
"""In one transaction."""

_C = LISTENING.c
_decode = msgspec.json.Decoder(tuple[int, tuple[Usual, ...]]).decode


class ListeningTable:
    """Raises SQLAlchemy's errors. Times are Unix milliseconds."""

    def __init__(self, engine: Engine, kind: Kind, troubles: Troubles) -> None:
        self._engine = engine
        self._kind = kind
        self._troubles = troubles

    def hear(self, pulses: Sequence[Pulse], now: int) -> None:
        """Sorted by instance: two writers that lock the same rows in another order would wait for each other."""
        ordered = sorted(_storable(pulses, now), key=lambda pulse: pulse.instance)
        by_instance = [(name, list(of_it)) for name, of_it in groupby(ordered, lambda pulse: pulse.instance)]
        for first in range(0, len(by_instance), _MOST_INSTANCES):
            with self._engine.begin() as connection:
                self._hear(connection, dict(by_instance[first : first + _MOST_INSTANCES]))

    def _hear(self, connection: Connection, pulses: dict[str, list[Pulse]]) -> None:
        known = _locked(connection, pulses)
        changed: dict[str, tuple[Listening, Listening]] = {}
        for instance, of_it in pulses.items():
            before = known.get(instance)
            after = _after(before, of_it)
            if after is not None and before is None:
                before = self._begin(connection, instance, after)
                after = after if before is None else _after(before, of_it)
            if before is not None and after is not None:
                changed[instance] = before, after
        _keep(connection, changed)
        ended = [name for name, (before, after) in changed.items() if before.silent and not after.silent]
        self._troubles.note(connection, [silence(name, 0, None, changed[name][1].since) for name in ended])

    def _begin(self, connection: Connection, instance: str, first: Listening) -> Listening | None:
        """None: it is there now. Else what another writer has begun since we asked."""
        if self._kind.add_once(connection, LISTENING, {"instance": instance, **_values(first)}):
            return None
        return _locked(connection, (instance,))[instance]

    def judge(self, now: int) -> int:
        """Marks each that is silent, together with the trouble that tells it; returns how many are silent."""
        with self._engine.connect() as connection:
            due = _due(connection, now)
        if due:
            with self._engine.begin() as connection:
                self._judge(connection, sorted(due), now)
        with self._engine.connect() as connection:
            return connection.execute(select(func.count()).where(*_are_silent(now))).scalar_one()

    def silent(self, now: int) -> tuple[str, ...]:
        with self._engine.connect() as connection:
            names = select(_C.instance).where(*_are_silent(now)).order_by(_C.instance)
            return tuple(connection.execute(names).scalars())

    def names(self, most: int, beginning: str) -> tuple[str, ...]:
        """In order, from this one on."""
        with self._engine.connect() as connection:
            names = select(_C.instance).where(_C.instance >= beginning).order_by(_C.instance).limit(most)
            return tuple(connection.execute(names).scalars())

    def _judge(self, connection: Connection, instances: Sequence[str], now: int) -> None:
        """Another replica may have looked since we asked."""
        known = {
            name: listening
            for name, listening in _locked(connection, instances).items()
            if listening.look <= now and listening.connected and not listening.silent
        }
        found = {name: (listening, judged(listening, now)) for name, listening in known.items()}
        _keep(connection, found)
        silent = {name: after for name, (_, after) in found.items() if after.silent}
        self._troubles.note(
            connection, [silence(name, after.since, reason_of(after), now) for name, after in silent.items()]
        )

    def forget(self, now: int) -> None:
        with self._engine.begin() as connection:
            before = now - GONE_MS
            connection.execute(delete(LISTENING).where(_C.message < before, _C.other < before))


def _are_silent(now: int) -> tuple[ColumnElement[bool], ...]:
    """One that says nothing else either for a day is gone, not silent."""
    return (_C.silent == 1, _C.other > now - DAY_MS)


def _due(connection: Connection, now: int) -> Sequence[str]:
    """Not those of which nothing else came either: they cannot be silent."""
    due = select(_C.instance).where(_C.silent == 0, _C.look <= now, _C.connected == 1)
    due = due.where(_C.other >= _C.message + FIRST_LOOK_MS)
    return connection.execute(due.order_by(_C.look).limit(_MOST_INSTANCES)).scalars().all()


def _locked(connection: Connection, instances: Iterable[str]) -> dict[str, Listening]:
    ordered = select(LISTENING).where(_C.instance.in_(instances)).order_by(_C.instance).with_for_update()
    return {row.instance: _listening(row) for row in connection.execute(ordered)}


def _after(known: Listening | None, pulses: Iterable[Pulse]) -> Listening | None:
    for pulse in pulses:
        known = heard(known, pulse)
    return known


def _keep(connection: Connection, changed: dict[str, tuple[Listening, Listening]]) -> None:
    """The habits, most of a row, change once an hour."""
    for habits in (False, True):
        values = [
            {"its": name, **_values(after, habits=habits)}
            for name, (before, after) in changed.items()
            if after != before and (after.habits.hour != before.habits.hour) is habits
        ]
        if values:
            columns: dict[str, Any] = {column: bindparam(column) for column in values[0] if column != "its"}
            connection.execute(update(LISTENING).where(_C.instance == bindparam("its")).values(columns), values)


def _values(listening: Listening, *, habits: bool = True) -> dict[str, int | str]:
    numbers = {
        name: int(getattr(listening, name))
        for name in ("message", "other", "connected", "connection", "opened", "silent", "look", "minutes")
    }
    return {**numbers, "hour": listening.habits.hour, **({"usual": _usual(listening.habits)} if habits else {})}


def _usual(habits: Habits) -> str:
    hours = [(hour.weeks, round(hour.mean, 3), round(hour.square, 3)) for hour in habits.usual]
    return msgspec.json.encode((habits.began, hours)).decode()


def _listening(row: Row[Any]) -> Listening:
    began, usual = _decode(row.usual)
    habits = Habits(row.hour, began, row.minutes.bit_count(), usual)
    return Listening(
        habits,
        row.minutes,
        row.message,
        row.other,
        bool(row.connected),
        row.connection,
        row.opened,
        bool(row.silent),
        row.look,
    )


def _storable(pulses: Iterable[Pulse], now: int) -> Iterator[Pulse]:
    """Those whose names can be kept; a clock that is ahead is corrected, or nothing of it were silence for days."""
    for pulse in pulses:
        if is_name("instance", pulse.instance):
            times = (
                None if at is None else max(0, min(at, now)) for at in (pulse.message, pulse.other, pulse.connection)
            )
            message, other, connection = times
            yield Pulse(pulse.instance, message, other, pulse.connected, connection)
