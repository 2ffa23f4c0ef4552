"""What ordered delivery decides about, and what it has others do."""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import msgspec

from worker.domain.webhook import Endpoint


class Item(msgspec.Struct, eq=False):
    """One event's delivery to one ordered webhook, taken from `webhooks.ordered` (`siding` 0) or from a siding.

    `token` is what the driver settles it by. `again`: it may be a copy of what has ended (the broker delivers it again,
    or another replica published it). `block_seconds`: the webhook's own, see key.py.
    A Struct, as each delivery makes one; itself alone is equal to it.
    """

    id: str
    endpoint: Endpoint
    key: str
    token: Any = None
    size: int = 0
    again: bool = False
    block_seconds: float = 300.0
    siding: int = 0
    taken_at: float = 0.0

    def __repr__(self) -> str:
        return f"Item({self.id!r})"  # its key names a chat, which no log shall tell


class Kind(Enum):
    """What a message in a siding is."""

    LABEL = "label"
    """The first of a use: it names the endpoint, and stays un-acked until the siding is closed."""
    MARKER = "marker"
    """Published to learn that everything before it has come."""
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What each message in a siding carries.

    `use` counts up whenever some siding begins to serve an endpoint: what bears another number than the siding's label
    was published by a replica that was active before, too late. `serial` counts what one epoch published to a siding.
    """

    kind: Kind
    epoch: int
    serial: int
    use: int = 0
    endpoint: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """One message of a siding: its stamp, and what is known of its event without reading it."""

    stamp: Stamp
    id: str
    key: str
    block_seconds: float


@dataclass(frozen=True, slots=True)
class Announcement:
    """Heard by every replica. `number` is that of the tick that was published with it.

    For people alone: since when the oldest event at the head of a siding has waited (`oldest`, Unix seconds; 0: no
    siding holds any), and that siding's number.
    """

    epoch: int
    taking_over: bool
    number: int
    oldest: float = 0.0
    oldest_in: int = 0


@dataclass(frozen=True, slots=True)
class NotNow:
    """No attempt to this endpoint can start for so many seconds. `down`: its circuit is open."""

    seconds: float
    down: bool = False


class Acts(Protocol):
    """What the core has done. No call may call the core before it has returned, and none raises."""

    def attempt(self, item: Item) -> NotNow | None:
        """One attempt. None: it ends in `Core.ended`, `failed` or `put_off`."""

    def give_up(self, item: Item) -> None:
        """Dead-letter it. Ends in `Core.ended` once that is confirmed."""

    def settle(self, item: Item) -> None:
        """Ack it where it came from: it has ended, or is in a siding now, confirmed."""

    def find_sidings(self) -> None:
        """Count the sidings there are. Ends in `Core.found`."""

    def open_siding(self, number: int) -> None:
        """Declare it if it is missing, and consume it on a channel of its own; what comes is given to `Core.came`."""

    def publish(self, number: int, stamp: Stamp, item: Item | None) -> None:
        """Publish to a siding. Ends in `Core.confirmed`, or in `Core.publish_failed` for all that is under way there:
        until that has been called, nothing more is sent to this siding."""

    def drop(self, number: int, token: object) -> None:
        """Ack a label, a marker or a copy."""

    def wait_for_acks(self, number: int) -> None:
        """Until the siding has stored every ack. Ends in `Core.acks_stored`."""

    def reopen_siding(self, number: int) -> None:
        """Close its channel and consume it again: what was un-acked comes once more."""

    def close_siding(self, number: int) -> None:
        """Close its channel: nothing of it comes any more."""

    def announce(self, announcement: Announcement) -> None:
        """To every replica, this one included (`Core.heard`)."""

    def tick(self, number: int) -> None:
        """Publish a tick to `webhooks.ordered`. Ends in `Core.tick_confirmed`, or in nothing."""

    def give_way(self) -> None:
        """Close the connection: everything un-acked goes to another replica. The core must not be used any more."""
