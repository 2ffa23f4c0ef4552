"""Events that one process takes twice, from the queue of first attempts and from the ordered one: parsed once.

Whichever side takes an event first parses it, and the other one finds that by the same bytes. It cannot be seen from
outside: parsing depends on the bytes alone, and an Event never changes. Each side still looks the webhooks up for
itself.
"""

from worker.domain.event import Event, parse

MOST_KEPT = 4096
"""Events that one side has taken and the other has not yet: in a burst the one that only acks runs ahead."""

MOST_BYTES = 4 * 1024 * 1024
"""Of their bodies. Where another replica takes from one of the queues, too, so much is kept and never asked for; with
what was parsed of it, four times as much."""

LARGEST_BODY = 16 * 1024
"""Bytes of a body whose event is kept. Trade-off: a larger one is parsed twice, and takes no memory meanwhile."""

HEAD_BYTES = 256
"""An event is found by so much of its body, and taken if all of it is the same: hashing the whole of 0.8 KB would cost
a fourth of parsing it. A message's id and chat stand there; of events that begin alike the last one is kept."""


RESTS = 8
"""After two sets that nobody came for, so many sets' worth of events are parsed and not kept. On a backlog the side
that only acks is soon too far ahead for any memory, and each event would be kept in vain twice: 1.5 us of its 69."""


class ParsedOnce:
    """Parses for both sides, and keeps an event until the other side asks for it.

    `both`: this process takes from both queues. Until then nothing is kept, as nobody would come for it. Two sets take
    turns: what only one side gets, as another process is the other one's, is forgotten with its set.
    """

    def __init__(self, most: int = MOST_KEPT, most_bytes: int = MOST_BYTES) -> None:
        self._half, self._half_bytes = max(1, most // 2), max(1, most_bytes // 2)
        self._bytes = 0  # of what was put into the newer set
        self._new: dict[bytes, tuple[bytes, Event]] = {}
        self._old: dict[bytes, tuple[bytes, Event]] = {}
        self._found = 0  # since the newer set was begun
        self._rests = 0  # so many events are not kept
        self.both = False

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def parse(self, body: bytes) -> Event:
        """As event.parse. Raises InvalidEvent."""
        if not self.both or len(body) > LARGEST_BODY:
            return parse(body)
        if self._rests:
            self._rests -= 1
            return parse(body)
        head = body[:HEAD_BYTES]
        found = self._new.pop(head, None) or self._old.pop(head, None)
        if found is not None and found[0] == body:
            self._found += 1
            return found[1]
        event = parse(body)
        if len(self._new) >= self._half or self._bytes >= self._half_bytes:
            self._begin_anew()
        self._new[head] = body, event
        self._bytes += len(body)
        return event

    def _begin_anew(self) -> None:
        if self._old and not self._found:
            self._rests = RESTS * len(self._new)
        self._new, self._old = {}, {} if self._rests else self._new
        self._bytes = self._found = 0

    def one_side_ended(self) -> None:
        self.both = False
        self._new, self._old = {}, {}
        self._bytes = self._found = self._rests = 0
