"""Events that one process takes twice, from the queue of first attempts and from the ordered one: parsed once.

Whichever side takes an event first parses it, and the other one finds that by the same bytes. It cannot be seen from
outside: parsing depends on the bytes alone, and an Event never changes. Each side still looks the webhooks up for
itself.
"""

from worker.domain.event import Event, parse

MOST_KEPT = 4096
"""Events that one side has taken and the other has not yet: in a burst the unordered side, which only acks, runs ahead.
About 10 MB at 0.8 KB a body."""

LARGEST_BODY = 16 * 1024
"""Bytes of a body whose event is kept. Trade-off: a larger one is parsed twice, and takes no memory meanwhile."""

HEAD_BYTES = 256
"""An event is found by so much of its body, and taken if all of it is the same: hashing the whole of 0.8 KB would cost
a fourth of parsing it. A message's id and chat stand there; of events that begin alike the last one is kept."""


class ParsedOnce:
    """Parses for both sides, and keeps an event until the other side asks for it.

    `both`: this process takes from both queues. Until then nothing is kept, as nobody would come for it. Two sets take
    turns: what only one side gets, as another process is the other one's, is forgotten with its set.
    """

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._half = max(1, most // 2)
        self._new: dict[bytes, tuple[bytes, Event]] = {}
        self._old: dict[bytes, tuple[bytes, Event]] = {}
        self.both = False

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def parse(self, body: bytes) -> Event:
        """As event.parse. Raises InvalidEvent."""
        if not self.both or len(body) > LARGEST_BODY:
            return parse(body)
        head = body[:HEAD_BYTES]
        found = self._new.pop(head, None) or self._old.pop(head, None)
        if found is not None and found[0] == body:
            return found[1]
        event = parse(body)
        if len(self._new) >= self._half:
            self._new, self._old = {}, self._new
        self._new[head] = body, event
        return event

    def one_side_ended(self) -> None:
        self.both = False
        self._new, self._old = {}, {}
