"""What the history needs of a database: the port of worker/stores/history/, and the questions that can be asked."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from worker.domain.history import Batch, Row
from worker.domain.notices.notice import Notice
from worker.domain.notices.trouble import Key, Seen, Trouble
from worker.domain.silence.pulse import Pulse
from worker.domain.webhook import Endpoint

LARGEST_PAGE = 500


class Cursor(NamedTuple):
    """Where a page ended: the last row's `at` and the number that its database gave it."""

    at: int
    number: int


@dataclass(frozen=True, slots=True)
class Question:
    """Which rows are asked for; all that is given must hold. `since` and `until` are Unix milliseconds (from
    `since`, before `until`), `event` a canonical name.

    `owner`: rows of this instance alone, whatever else is asked for; None is the operator, who sees all. It has no
    default, so that nobody who asks for an instance's owner can forget it.
    """

    owner: str | None
    instance: str | None = None
    webhook: str | None = None
    event: str | None = None
    chat: str | None = None
    outcome: str | None = None
    reason: str | None = None
    status: int | None = None
    since: int | None = None
    until: int | None = None
    id: str | None = None


class Kept(NamedTuple):
    """A row as the database has it: `number` is unique and ascends among rows of the same `at`."""

    number: int
    replica: str
    row: Row


@dataclass(frozen=True, slots=True)
class Page:
    """Newest first; `following` is None on the last page.

    `looked_to` (Unix milliseconds): no further back has it looked, although it has fewer rows than it may. Older ones
    may match: from `following` on.
    """

    items: tuple[Kept, ...]
    following: Cursor | None
    looked_to: int | None = None


class Span(NamedTuple):
    """Attempts that ended within a span of time, and those that succeeded."""

    attempts: int
    delivered: int


@dataclass(frozen=True, slots=True)
class Health:
    """How a webhook fares. `last_success` and `last_failure` are Unix milliseconds; None: none within the history."""

    hour: Span
    day: Span
    last_success: int | None
    last_failure: int | None


class Failing(NamedTuple):
    """An endpoint whose newest attempt failed: when, and why (a reason of its row; "" if that is gone). Times are Unix
    milliseconds; `last_success` None: none within the history."""

    endpoint: Endpoint
    hour: Span
    last_failure: int
    last_success: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class LastHour:
    """How deliveries fared. `failing`: those whose newest attempt failed within the hour, of `fail` in all; the longest
    without a success first. `last_success` is Unix milliseconds; None: none within the history. `rows`: of each reason
    that was asked for and had any, how many, at most MOST_COUNTED."""

    attempts: Span
    last_success: int | None
    failing: tuple[Failing, ...]
    fail: int
    rows: Mapping[str, int]


MOST_COUNTED = 1000
"""Who reads that there are a thousand need not know how many more."""


@dataclass(frozen=True, slots=True)
class Trend:
    """How a webhook fared within a day: `hours` has 24 spans of an hour each, the one until now first. The last of
    either kind is Unix milliseconds; None: none within the day."""

    hours: tuple[Span, ...]
    last_success: int | None
    last_failure: int | None


class Tidied(NamedTuple):
    """What keeping the history in order did: rows or partitions that were dropped for their age, and rows that never
    arrived (counted once, whoever asks)."""

    expired: int
    lost: int


class Claimed(NamedTuple):
    """A notice that is to be published now, by whoever claimed it. `bad`: how many rows it is about."""

    notice: Notice
    bad: int
    key: Key
    lease: int


class HistoryStore(Protocol):
    """One database's history. Every call may raise StoreUnavailable (worker/webhooks/store.py)."""

    @property
    def cpu_seconds(self) -> float:
        """What its calls have taken of this process's processor until now."""

    @property
    def gather_seconds(self) -> float:
        """How long rows should gather between two writes: a row's price falls with their number in a transaction."""

    async def prepare(self) -> None:
        """Makes or migrates the tables; safe for several processes at once, and to repeat."""

    async def write(self, batches: Sequence[Batch]) -> int:
        """Writes them in one transaction; returns the rows written. A batch that is there already is left out.

        Rows older than the history is kept are left out too; one of a clock that is days ahead is kept under the
        database's time. What no database can hold is replaced in a text, and makes a name None; a row that cannot be
        without that name is left out and logged, as is one that the database refuses: it never keeps the others out.
        """

    async def hear(self, pulses: Sequence[Pulse]) -> None:
        """Takes note of signs of life; the same ones twice change nothing. An instance whose name cannot be kept is
        left out."""

    async def judge(self, now: int) -> int:
        """Looks at instances that had no message lately, and makes a notice of each that is silent, which `claim` gives
        to one process. Returns how many are silent: connected, and with other events within the last day. `now`: Unix
        milliseconds."""

    async def silent(self, now: int) -> tuple[str, ...]:
        """The names of those that `judge` counts, in order."""

    async def tidy(self, now: int | None = None) -> Tidied:
        """Makes partitions ahead, drops what is older than the history is kept, counts what is missing. `now`: Unix
        milliseconds, None: by the database's clock, so that no worker whose own is ahead drops too soon. Safe for
        several processes at once; each thing is done and counted by one of them.

        May take a minute after the days that are kept became fewer: not in the way of `write`.
        """

    async def claim(self, now: int) -> Sequence[Claimed]:
        """What is to be told of endpoints' troubles at `now`, Unix milliseconds; of several processes, one gets each.

        One that is not `told` within a minute is claimed again, with the same event id.
        """

    async def failing(self) -> Sequence[Trouble]:
        """Of the endpoints whose attempts have failed for so long that it is told, the longest first."""

    async def report(self, seen: Seen) -> None:
        """What this process knows of itself (trouble.own). Without a trouble nothing is written but the end of one."""

    async def told(self, claimed: Claimed, now: int) -> None:
        """It was published."""

    async def page(self, question: Question, after: Cursor | None, limit: int) -> Page:
        """Rows newest first; `limit` is 1 to LARGEST_PAGE, else ValueError. It looks at some thousand rows at most, so
        a page may be short, or empty, and not the last one (Page.looked_to). Any value may be asked for: one that no
        database can hold has no rows. `chat`: an address in any spelling, or the user part of some in digits."""

    async def timeline(self, delivery_id: str, owner: str | None) -> tuple[Kept, ...]:
        """Every row of one delivery, oldest first; of another instance than `owner`'s: none."""

    async def health(self, instance: str, now: int) -> Mapping[str, Health]:
        """By webhook id, of those that had an attempt within a day. A row with `ms` is an attempt's."""

    async def last_hour(self, owner: str | None, now: int, reasons: Collection[str], most: int) -> LastHour:
        """Until `now`, Unix milliseconds; the owner's alone. At most `most` of those that fail."""

    async def trends(self, endpoints: Collection[Endpoint], now: int) -> Mapping[Endpoint, Trend]:
        """Of each that had an attempt within a day. Asks once for each: a page of them, not all."""

    async def instances(self, most: int, beginning: str = "") -> tuple[str, ...]:
        """Names of instances of which a message has come within 60 days, in order, from this one on."""

    async def close(self) -> None:
        """Connections are closed; a call under way ends within its own timeout."""
