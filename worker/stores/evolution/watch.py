"""Which of Evolution's rows changed: what was seen before, compared with what is there now.

`updatedAt` alone misses a second change within its resolution (a second on MySQL) and writers whose clocks are
behind. So after a change the newest rows are read again for a few seconds; rows read that do not add up to the
token mean that an older row changed or one is gone, and then all are read; and all are read now and then.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from worker.stores.evolution.row import Row
from worker.webhooks.store import Changed, StoreUnavailable

if TYPE_CHECKING:
    from worker.stores.evolution.tables import Look, Token

UNSETTLED_SECONDS = 5.0
"""How long after a change its neighbours in time are read again: more than two polls and MySQL's one second."""

NEWEST_MICROS = 10_000_000
"""How far back from the newest row."""

RECONCILE_SECONDS = 300.0

GONE_SECONDS = 3600.0
GONE_MOST = 10_000


class Snapshot:
    """Instance -> row as last seen, and for a while the rows of those that are gone. `clock` is monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rows: dict[str, Row] = {}
        self._gone: OrderedDict[str, tuple[float, Row]] = OrderedDict()

    def replace(self, rows: Iterable[Row]) -> set[str]:
        """These are all rows. Returns the instances that differ."""
        now = {row.instance: row for row in rows}
        missing = self._rows.keys() - now.keys()
        changed = self.update(now.values()) | missing
        for instance in missing:
            self._remove(instance)
        return changed

    def update(self, rows: Iterable[Row]) -> set[str]:
        """These rows are there, and maybe others. Returns the instances that differ."""
        changed = set()
        for row in rows:
            before = self._rows.get(row.instance)
            if before is None or before.content != row.content:
                changed.add(row.instance)
            self._rows[row.instance] = row
            self._gone.pop(row.instance, None)
        return changed

    def without(self, instances: Iterable[str]) -> set[str]:
        """These instances have no row. Returns those that had one."""
        changed = {instance for instance in instances if instance in self._rows}
        for instance in changed:
            self._remove(instance)
        return changed

    def adds_up_to(self, token: "Token") -> bool:
        """Whether the rows seen are the rows that the token was made of."""
        total = sum(row.updated for row in self._rows.values())
        return (len(self._rows), total) == (token.count, token.total)

    def last_known(self, instance: str) -> Row | None:
        """The row of an instance that is there no more."""
        if instance in self._rows:  # not noticed yet
            return self._rows[instance]
        gone_at, row = self._gone.get(instance, (0.0, None))
        return row if row is not None and self._clock() < gone_at + GONE_SECONDS else None

    def forget(self, instance: str) -> None:
        """The instance exists: whatever was remembered of a deleted one of its name is over."""
        self._gone.pop(instance, None)

    def _remove(self, instance: str) -> None:
        self._gone[instance] = (self._clock(), self._rows.pop(instance))
        while len(self._gone) > GONE_MOST:
            self._gone.popitem(last=False)


class Watch:
    """Steps of watching, one at a time; `ask` can be called at any time and makes `wait` end."""

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        look: Callable[[int | None], Awaitable["Look"]],
        token: Callable[[], Awaitable["Token"]],
        named: Callable[[Sequence[str]], Awaitable[tuple[Row, ...]]],
        changed: Changed,
        missed: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._snapshot = snapshot
        self._look = look
        self._token = token
        self._named = named
        self._changed = changed
        self._missed = missed
        self._clock = clock
        self._known: Token | None = None
        self._reconcile_at = self._unsettled_until = 0.0
        self._asked: set[str] = set()
        self._woken = asyncio.Event()
        self._revision = 0

    def ask(self, instances: Iterable[str]) -> None:
        """Look now, at these instances; without any, at what changed."""
        self._asked.update(instances)
        self._woken.set()

    async def wait(self, seconds: float) -> None:
        """Until that time is over, or somebody asks."""
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return
        finally:
            self._woken.clear()

    async def step(self) -> None:
        """Raises StoreUnavailable; the next step then makes up for it."""
        if self._known is None or self._clock() >= self._reconcile_at:
            await self._whole()
            return
        if self._asked:
            await self._ask_for()
        token = await self._token()
        if token != self._known:
            self._unsettled_until = self._clock() + UNSETTLED_SECONDS
        elif self._clock() >= self._unsettled_until:
            return
        look = await self._look(min(token.newest, self._known.newest) - NEWEST_MICROS)
        self._announce(self._snapshot.update(look.rows))
        if self._snapshot.adds_up_to(look.token):
            self._known = look.token
        else:
            await self._whole()

    async def _whole(self) -> None:
        self._asked.clear()
        self._reconcile_at = 0.0  # should the look fail, the next one is whole again
        look = await self._look(None)
        first = self._known is None
        changed = self._snapshot.replace(look.rows)
        now = self._clock()
        if look.token != self._known:
            self._unsettled_until = now + UNSETTLED_SECONDS
        self._known, self._reconcile_at = look.token, now + RECONCILE_SECONDS
        if first:
            self._missed()  # what was looked up before may be older
        else:
            self._announce(changed)

    async def _ask_for(self) -> None:
        asked, self._asked = self._asked, set()  # an instance that is named from now on is asked for again
        try:
            rows = await self._named(tuple(asked))
        except StoreUnavailable:
            self._asked |= asked
            raise
        here = {row.instance for row in rows}
        self._announce(self._snapshot.update(rows) | self._snapshot.without(asked - here))

    def _announce(self, instances: Iterable[str]) -> None:
        for instance in instances:
            self._revision += 1
            self._changed(instance, self._revision)
