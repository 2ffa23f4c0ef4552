"""What a replay needs of others: the job's store, the archive and a publisher, webhooks, the history."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from worker.basics.clock import Clocks
from worker.domain.choosing.subscriptions import Look, Subscriptions
from worker.domain.event import Event
from worker.domain.history import Row
from worker.domain.past import Past
from worker.domain.webhook import Webhook
from worker.replay.archive import Archive
from worker.replay.fates import Moment
from worker.replay.jobs import JobStore

Publish = Callable[[bytes, Past], Awaitable[object]]
"""To `retries`; returns once it is confirmed. Raises PublishFailed."""


Opened = Callable[[], AbstractAsyncContextManager[tuple[Archive, Publish]]]


@dataclass(frozen=True, slots=True)
class Outside:
    """What a replay needs of others. `opened` gives the archive, and how to publish, on a connection for one run.

    `opened_in_order`: the same for a webhook with an order, which gets it in order among itself; None: as `opened`.
    `moments` are the history's rows of some deliveries; `note` writes rows; `skipped` counts the deliveries of a
    webhook that were skipped since then (Unix ms). `load`, `moments`, `note` and `skipped` may raise StoreUnavailable.
    """

    jobs: JobStore
    opened: Opened
    load: Callable[[str], Awaitable[Sequence[Webhook]]]
    operators: Webhook | None
    look: Callable[[Event, Sequence[Webhook], Subscriptions], Look]
    moments: Callable[[Sequence[str]], Awaitable[Sequence[Moment]]]
    note: Callable[[Sequence[Row]], Awaitable[None]]
    skipped: Callable[[str, str, Sequence[str], int], Awaitable[int]]
    clocks: Clocks
    max_age: float
    opened_in_order: Opened | None = None
