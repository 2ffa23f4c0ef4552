"""What the cache remembers: entries in order of their lookup, bounded by count and bytes."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from worker.domain.choosing.subscriptions import Subscriptions
from worker.domain.webhook import Webhook

_ENTRY_BYTES = 600
_PLAN_BYTES = 4_000
_FILTER_FACTOR = 100
"""Of a compiled plan, and for each byte of its filter. What decodes the paths is not counted: those who ask for the
same share it."""
_WEBHOOK_BYTES = 500
_TEMPLATE_BYTES = 500
"""Of what its requests have in common, which has URL and headers in it once more as they are sent. Webhooks that are
set up alike share it; counted for each."""
_TEXT_BYTES = 80


@dataclass(slots=True)
class Entry:
    """What is known of an instance. `webhooks` () : it has none; None: voided, nothing is known.

    `fresh_until` is a monotonic reading. `count` adds one to the metric of a use. `revision` is that of the newest
    invalidation before the lookup that brought it. `asked_ahead`: the look-up ahead has begun, once.
    """

    webhooks: Subscriptions | None
    fresh_until: float
    count: Callable[[], object]
    revision: int | None
    asked_ahead: bool = False
    bytes: int = 0

    def expire(self) -> None:
        """Not fresh any more: only served when the store fails."""
        self.fresh_until = -inf

    def still(self, found: Subscriptions) -> Subscriptions:
        """Keeps the cached objects if the store answered the same; else returns what was `found`.

        So a delivery that waited need not compare, and 10,000 instances that are looked up each minute move no memory.
        """
        known = self.webhooks
        if known is None or known != found:
            return found
        return known if list(map(_noted, known)) == list(map(_noted, found)) else found


def _noted(webhook: Webhook) -> tuple[int | None, str | None]:
    """What equality leaves out."""
    return webhook.failing_since, webhook.instance_id


class Entries(OrderedDict[str, Entry]):
    """Instance -> entry, ordered by last lookup; `keep` evicts the oldest lookup.

    Not ordered by last use: that would cost each delivery four misses of the processor's cache with 10,000 instances.
    What is in use is looked up anew within CACHE_TTL_SECONDS, and so stays among the newest. Trade-off: when a whole
    cache of other names comes within that time, an instance in use is evicted and asked for once more.
    """

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        super().__init__()
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self.bytes = 0

    def keep(self, instance: str, entry: Entry) -> None:
        """Puts the entry in the place of the old one, as the newest."""
        self.drop(instance)
        if entry.webhooks and entry.webhooks[0].instance == instance:
            instance = entry.webhooks[0].instance  # one text where there were two that are equal: a delivery reads both
        entry.bytes = approximate_bytes(instance, entry.webhooks or ())
        self[instance] = entry
        self.bytes += entry.bytes
        while len(self) > self._max_entries or self.bytes > self._max_bytes:
            self.drop(next(iter(self)))

    def drop(self, instance: str) -> None:
        old = self.pop(instance, None)
        if old is not None:
            self.bytes -= old.bytes


def approximate_bytes(instance: str, webhooks: Sequence[Webhook]) -> int:
    """Memory of one entry; measured within a third for plain webhooks (tests/lookup/test_entries.py)."""
    return _ENTRY_BYTES + 2 * len(instance) + sum(map(_webhook_bytes, webhooks))


def _webhook_bytes(webhook: Webhook) -> int:
    texts = [webhook.url, webhook.disabled_reason or "", webhook.alert_url or "", *webhook.secrets, *webhook.events]
    texts += [webhook.url, webhook.url, *(text for header in webhook.headers for text in (*header, *header))]
    texts += [*webhook.only_chats, *webhook.except_chats, *webhook.message_types, *webhook.latest_only]
    texts += [webhook.filter or "", *(name for name, _ in webhook.ttl_seconds)]
    plan = _PLAN_BYTES + _FILTER_FACTOR * len(webhook.filter or "") if webhook.chooses else 0
    return _WEBHOOK_BYTES + _TEMPLATE_BYTES + plan + sum(_TEXT_BYTES + len(text) for text in texts)
