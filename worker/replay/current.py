"""Chooses events for a webhook as it is now, and takes no more than its share of a processor."""

import asyncio

from worker.domain.webhook import Webhook
from worker.replay.archive import Archived
from worker.replay.jobs import Asked
from worker.replay.outside import Outside
from worker.replay.selection import Candidate, Selection

RELOAD_SECONDS = 10.0
"""How old the webhook may be that events are chosen for."""

DEBT_SECONDS = 0.005
"""Of rest that has come together before it is taken: an event loop's timers are no finer than a millisecond."""

READ_SECONDS = 10e-6
"""Of a processor, for reading one event: what comes beside choosing it. 8.4 us were measured."""


class CurrentSelection:
    """A Selection whose webhook is never older than RELOAD_SECONDS. `share`: of a processor, beside deliveries."""

    def __init__(self, outside: Outside, asked: Asked, share: float) -> None:
        self._load = outside.load
        self._asked = asked
        self._share = share
        self._monotonic = outside.clocks.monotonic
        self._selection = Selection(asked, outside.operators, outside.look)
        self._reloaded = float("-inf")
        self._debt = 0.0

    async def reload(self) -> Webhook:
        """Raises Gone, NotNow, StoreUnavailable."""
        self._reloaded = self._monotonic()
        return self._selection.use(await self._load(self._asked.instance))

    def start_over(self) -> None:
        """The archive is read once more: nothing has been met yet."""
        self._selection.start_over()

    async def of(self, archived: Archived) -> Candidate | None:
        """As Selection.of; rests where the share asks for it. Raises what `reload` raises."""
        if self._monotonic() - self._reloaded > RELOAD_SECONDS:
            await self.reload()
        began = self._monotonic()
        found = self._selection.of(archived)
        spent = self._monotonic() - began + READ_SECONDS
        self._debt += spent / self._share - spent
        if self._debt > DEBT_SECONDS:
            await asyncio.sleep(self._debt)
            self._debt = 0.0
        return found
