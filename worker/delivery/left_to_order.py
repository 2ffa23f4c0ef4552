"""What is for ordered webhooks alone: the unordered side takes it, too, and ends it as it comes.

Ended before it is a message of this side, such an event takes it half of the time: it is neither hashed nor held, and
no channel has to remember it.
"""

import logging
from collections.abc import Callable

from worker.basics.clock import Clock
from worker.delivery.attempt import LARGE_BYTES
from worker.delivery.choosing import Choosing
from worker.delivery.ports import Ports
from worker.domain.event import Event, InvalidEvent

log = logging.getLogger(__name__)


class LeftToOrder:
    """ports.Early. `parse`: event.parse, or as good (see parsed_once.py).

    `active`: all that comes for webhooks with an order is the ordered side's to send.
    """

    def __init__(self, ports: Ports, choosing: Choosing, now: Clock, parse: Callable[[bytes], Event]) -> None:
        self._webhooks = ports.webhooks
        self._recorder = ports.recorder
        self._pulses = ports.pulses
        self._choosing = choosing
        self._now = now
        self._parse = parse
        self.active = False

    def read(self, body: bytes) -> Event | None:
        if not self.active or len(body) > LARGE_BYTES:
            return None
        try:
            return self._parse(body)
        except InvalidEvent:
            return None  # the pipeline says what is wrong with it

    def ends(self, event: Event) -> bool:
        try:
            webhooks = self._webhooks.cached(event.instance)
            if webhooks is None or not self._choosing.puts_all_in_order(webhooks):
                return False
            self._recorder.received(event.kind)
            if self._pulses is not None:
                self._pulses.heard(event, self._now())
        except Exception:  # a fault of the worker: the pipeline makes a dead letter of it
            log.exception("an event could not be left to the ordered side")
            return False
        return True
