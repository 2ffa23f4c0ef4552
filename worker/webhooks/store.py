"""Where webhooks are kept: what the cache, the command line and the API need of a store."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from worker.domain.webhook import DEFAULT_ID, Endpoint, Webhook

LONGEST_INSTANCE = 255
LONGEST_ID = 64
"""Characters: where Evolution's column ends, and ours."""


def storable(instance: str) -> bool:
    """Whether an instance of this name can have a row: databases refuse longer names and NUL."""
    return len(instance) <= LONGEST_INSTANCE and "\0" not in instance


class StoreUnavailable(Exception):
    """The store cannot answer; the text says why and what to do, without credentials."""


class RightsLacking(StoreUnavailable):
    """The database works, and its user may not do what the worker needs."""


class StoreReadOnly(StoreUnavailable):
    """Webhooks are changed elsewhere; the text names WEBHOOK_SOURCE and says where."""


class OrderLeft(StoreUnavailable):
    """A webhook of this id was deleted a moment ago and had another order; the text says when it can be set."""


class RowUnreadable(StoreUnavailable):
    """One instance's row cannot be read; the store itself works."""


class RowDamaged(RowUnreadable):
    """Its content is no webhook: setting it again, whole, is the remedy. `webhook_id` says which of the instance's."""

    def __init__(self, text: str, webhook_id: str = DEFAULT_ID) -> None:
        super().__init__(text)
        self.webhook_id = webhook_id


class RowSealed(RowUnreadable):
    """It is encrypted with a key that WEBHOOK_SECRET_KEY does not hold: nothing may be put in its place."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A webhook as the store keeps it. Times are Unix milliseconds, UTC."""

    webhook: Webhook
    revision: int
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class Written:
    """A finished `put`: the instance's new revision, and whether the webhook is a new one."""

    revision: int
    created: bool


@dataclass(frozen=True, slots=True)
class Deleted:
    """A finished `delete`: the instance's new revision, and how many webhooks went."""

    revision: int
    count: int


@dataclass(frozen=True, slots=True)
class Renewed:
    """How many webhooks were encrypted anew, and the problem of each that could not be."""

    count: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Some webhooks, ordered by (instance, id) as UTF-8; `following` asks for the next page, None: the last.

    `unreadable`, on the first page: what is wrong with each row that is left out, without a value.
    """

    items: tuple[Stored, ...]
    following: Endpoint | None
    unreadable: tuple[str, ...] = ()


Changed = Callable[[str, int], None]
"""An instance's webhooks have changed; the number is higher at each change."""


class Store(Protocol):
    """Every call raises StoreUnavailable. Names are compared exactly: case and trailing spaces count."""

    async def load(self, instance: str) -> tuple[Webhook, ...]:
        """The instance's webhooks in order of id, disabled ones too; none: (). One query."""

    async def check(self) -> None:
        """Connects, and verifies rights and schema; changes nothing."""

    async def close(self) -> None:
        """Gives the connections back. Never raises."""


class ListableStore(Store, Protocol):
    """A store that can be looked through."""

    async def get(self, instance: str) -> tuple[Stored, ...]:
        """As `load`, with revision and times."""

    async def list(self, after: Endpoint | None, limit: int) -> Page:
        """At most `limit` webhooks that follow `after`."""

    async def instances(self) -> tuple[str, ...]:
        """The names of all instances that have a webhook, enabled or not, each once, in no order."""


class WritableStore(ListableStore, Protocol):
    """A store of our own. Every change raises the instance's revision, deletes included; it never falls."""

    async def put(self, webhook: Webhook) -> Written:
        """Inserts it or replaces the one with its instance and id whole."""

    async def put_if_unchanged(self, webhook: Webhook, seen: int) -> Written | None:
        """As `put`, if the one that it replaces is at revision `seen` still (0: there is none); None: it is not."""

    async def delete(self, instance: str, webhook_id: str | None) -> Deleted | None:
        """Deletes one webhook, or all of the instance (None). None: there was nothing to delete."""

    async def disable(self, seen: Webhook, reason: str, *, if_failing: bool = False) -> int | None:
        """Disables the webhook if it still is as `seen`; the new revision, None: it changed meanwhile.

        `if_failing`: only while it is remembered as failing, too.
        """

    async def failing(self, seen: Webhook, since: int | None) -> int | None:
        """Remembers since when (Unix ms) every attempt has failed, the earliest that was given; None: it recovered.

        Returns what is remembered now. Nothing happens if the webhook is not as `seen` any more, and `put` forgets.
        No revision is raised: the webhook's configuration does not change.
        """

    async def migrate(self) -> int:
        """Brings the schema up to date and returns its version; safe when many processes do it at once."""


class WatchedStore(ListableStore, Protocol):
    """A store that others write: it notices by itself what they change."""

    async def watch(self, changed: Changed, missed: Callable[[], None]) -> None:
        """Until cancelled: `changed` for exactly the instances that did; `missed` when it cannot say which."""
