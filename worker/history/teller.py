"""Tells owners and the operator of troubles: what one of several replicas claims, it publishes."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from worker.basics.clock import Clock
from worker.delivery.notifier import Notifier
from worker.delivery.ports import ConfigUnavailable, PublishFailed, Webhooks
from worker.domain.notices.notice import Kind, Notice
from worker.domain.notices.trouble import TroubleKind, own
from worker.domain.webhook import Webhook
from worker.history.store import Claimed, HistoryStore
from worker.webhooks.store import StoreUnavailable

log = logging.getLogger(__name__)

TICK_SECONDS = 5.0

NEED_SUCCESSES = frozenset({Kind.FAILING, Kind.RECOVERED})
"""Without the rows of deliveries that succeed, nobody knows whether an endpoint fails or one of its events does."""


Watched = Callable[[], str | None]
"""Why the worker is in trouble, or None."""


class Teller:
    """`successes`: the history has their rows, too (HISTORY=all). `watched`: what this process knows of itself.
    `on_silent` hears how many instances are silent. `now` is Unix time in seconds.

    A notice is marked as told after RabbitMQ has it: a process that is killed in between makes another one say it
    again, with the same `webhook-id`.
    """

    def __init__(
        self,
        store: HistoryStore,
        webhooks: Webhooks,
        notifier: Notifier,
        now: Clock,
        *,
        successes: bool,
        watched: Mapping[TroubleKind, Watched],
        on_silent: Callable[[int], None],
    ) -> None:
        self._store = store
        self._webhooks = webhooks
        self._notifier = notifier
        self._now = now
        self._successes = successes
        self._watched = watched
        self._on_silent = on_silent
        self._reported: set[TroubleKind] = set()
        self._failed = 0  # in a row
        self._worked = False  # until then its writer may not have made the database, and says so if it cannot

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.tick()
            await asyncio.sleep(TICK_SECONDS)

    async def tick(self) -> None:
        """Tells what is due. What cannot be told now is told later, here or elsewhere."""
        try:
            await self._report()
            self._on_silent(await self._store.judge(self._now_ms()))
            for claimed in await self._store.claim(self._now_ms()):
                await self._tell(claimed)
                self._failed = 0
            if not self._worked:
                self._worked, self._failed = True, 0
        except (StoreUnavailable, ConfigUnavailable, PublishFailed) as error:
            self._failed += 1
            if self._failed == (1 if self._worked else 2):
                log.log(logging.WARNING if self._worked else logging.INFO, "notices wait: %s", error)

    async def _report(self) -> None:
        """Troubles of this process: again while they last, and their end once."""
        for kind, watched in self._watched.items():
            reason = watched()
            if reason is not None or kind in self._reported:
                await self._store.report(own(kind, reason, self._now_ms()))
                (self._reported.discard if reason is None else self._reported.add)(kind)

    async def _tell(self, claimed: Claimed) -> None:
        notice = claimed.notice
        if self._successes or notice.kind not in NEED_SUCCESSES:
            await self._notifier.tell(notice, await self._about(notice))
        await self._store.told(claimed, self._now_ms())

    async def _about(self, notice: Notice) -> Sequence[Webhook]:
        """Whose owners hear of it; none: it is the operator's own, or gone by now."""
        concerns_all = notice.kind is Kind.SILENT
        if not notice.instance or (notice.webhook is None and not concerns_all):
            return ()
        known = await self._webhooks.find(notice.instance)
        return [webhook for webhook in known if concerns_all or webhook.id == notice.webhook]

    def _now_ms(self) -> int:
        return int(self._now() * 1000)
