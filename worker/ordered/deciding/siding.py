"""One siding, as the active replica knows it."""

from __future__ import annotations

from collections import deque
from enum import Enum

from worker.domain.webhook import Endpoint
from worker.ordered.deciding.ports import Item, Kind, Stamp
from worker.ordered.deciding.rules import FULL_PREFETCH


class Stage(Enum):
    ASKED = "asked"
    """A marker was published to it, and nothing that tells has come."""
    LABELLED = "labelled"
    """A label has come, and nothing of its use yet: a higher one may follow."""
    FREE = "free"
    """It bears no label. Its channel is closed."""
    OPENING = "opening"
    """Our label was published to it."""
    USED = "used"
    EMPTIED = "emptied"
    """All of it has ended and its label is acked; RabbitMQ has not stored all acks yet."""


class Siding:
    """`published` and `came`: the serial of the last message that this epoch published to it, and of the last of those
    that came back. `read_through`: everything that was there when its channel opened has come.

    `items`: its events that have come and not ended, in their order; `unconfirmed`: those that are being published to
    it, by serial. `again`: the serials of those that may be copies of what has ended. `control`: its last label or
    marker of this epoch (`said`: confirmed), `wanted`: one to be published. `labels`: the label, un-acked; several if
    it came again. `kept`: the serial of the label that is kept, by its use, epoch and endpoint. `candidates`: the
    uses that labels named, before one is known to count. `waits`: how often its acks are being waited for. `late`:
    what is to be dropped as soon as this replica may act. `bytes` of its `items`; `prefetch`: messages that it is
    given at a time, `resized`: not yet so many (room.py); `head_bytes` of the event that stood first when that was
    decided.
    """

    __slots__ = (
        "again",
        "bytes",
        "came",
        "candidates",
        "confirmed",
        "control",
        "endpoint",
        "head_bytes",
        "items",
        "kept",
        "labelled_at",
        "labels",
        "late",
        "number",
        "prefetch",
        "published",
        "read_through",
        "reopening",
        "resized",
        "said",
        "stage",
        "unconfirmed",
        "use",
        "void",
        "waits",
        "wanted",
    )

    def __init__(self, number: int, stage: Stage) -> None:
        self.number = number
        self.stage = stage
        self.use = 0
        self.endpoint: Endpoint | None = None
        self.labels: list[object] = []
        self.kept: dict[tuple[int, int, Endpoint | None], int] = {}
        self.candidates: dict[int, Endpoint] = {}
        self.waits = 0
        self.labelled_at = 0.0
        self.published = 0
        self.came = 0
        self.read_through = False
        self.reopening = False
        self.items: dict[Item, None] = {}
        self.unconfirmed: deque[tuple[int, Item]] = deque()
        self.confirmed: set[int] = set()
        self.control: Stamp | None = None
        self.said = False
        self.wanted: Kind | None = None
        self.late: list[object] = []
        self.void: set[int] = set()
        self.again: set[int] = set()
        self.bytes = 0
        self.head_bytes = 0
        self.prefetch = FULL_PREFETCH
        self.resized = False

    def took(self, item: Item) -> None:
        """One of its events has come."""
        self.items[item] = None
        self.bytes += item.size

    def left(self, item: Item) -> None:
        """One of its events has ended."""
        del self.items[item]
        self.bytes -= item.size

    def resize(self, prefetch: int) -> None:
        """It is to be opened again with another prefetch."""
        self.prefetch, self.resized = prefetch, True
        if self.items:
            self.head_bytes = next(iter(self.items)).size

    def stamp(self, kind: Kind, epoch: int) -> Stamp:
        """Of the next message that is published to it."""
        self.published += 1
        return Stamp(kind, epoch, self.published, self.use, self.endpoint)

    def came_back(self, stamp: Stamp) -> None:
        """A message of this epoch has come."""
        self.came = max(self.came, stamp.serial)
        if self.control is not None and stamp.serial == self.control.serial:
            self.said = True

    def is_copy(self, label: Stamp) -> bool:
        """Whether one like it is kept: it was published again, as a break left open whether it had arrived. If none is,
        this one is from now on."""
        kept = self.kept.setdefault((label.use, label.epoch, label.endpoint), label.serial)
        return kept != label.serial

    def take_confirmed(self, serial: int) -> list[Item]:
        """One more is confirmed: the events that are in the siding for certain now, together with all before them."""
        if self.control is not None and serial == self.control.serial:
            self.said = True
        if self.unconfirmed and serial >= self.unconfirmed[0][0]:
            self.confirmed.add(serial)
        taken = []
        while self.unconfirmed and self.unconfirmed[0][0] in self.confirmed:
            serial, item = self.unconfirmed.popleft()
            self.confirmed.discard(serial)
            taken.append(item)
        return taken

    def failed(self) -> None:
        """Nothing that is under way counts: all of it is published again.

        What has arrived all the same stands in the right order before that, unless one was refused and a later one
        confirmed: RabbitMQ confirms in order and has no reason to refuse, as these queues have no limit. Then the later
        ones are dropped when they come. Dropped without need, they would leave a gap if this replica died meanwhile.
        """
        if self.control is not None and not self.said:
            self.wanted = self.control.kind
        self.void |= self.confirmed
        self.unconfirmed.clear()
        self.confirmed.clear()

    @property
    def to_come(self) -> int:
        """Messages of this epoch that are still to come back."""
        return self.published - self.came

    def forget_use(self) -> None:
        self.stage = Stage.FREE
        self.endpoint = None
        self.control = self.wanted = None
        self.labels.clear()
        self.kept.clear()
        self.items.clear()
        self.late.clear()
        self.again.clear()
        self.bytes = 0
        self.prefetch, self.resized = FULL_PREFETCH, False

    def reopened(self) -> None:
        """Its channel was closed: all that is un-acked comes again."""
        self.items.clear()
        self.bytes = 0
        self.resized = False
        self.late.clear()
        self.labels.clear()
        self.kept.clear()
        self.came = 0
        self.read_through = self.reopening = False
