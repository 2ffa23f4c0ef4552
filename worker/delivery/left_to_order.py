"""What is for ordered webhooks alone: the unordered side takes it, too, and ends it as it comes.

Ended before it is a message of this side, such an event is neither hashed nor held, and no channel has to remember it:
an ordered delivery, which this is a part of, takes 5 % less. The pipeline ends what comes first, or seldom.
"""

import logging

from worker.basics.clock import Clock
from worker.delivery.attempt import LARGE_BYTES
from worker.delivery.choosing import Choosing
from worker.delivery.ports import Ports
from worker.domain.glance import glance
from worker.domain.past import Past
from worker.domain.silence.pulse import CONNECTIONS

log = logging.getLogger(__name__)

GLANCES = 100
"""At what comes behind an event for ordered webhooks alone. A glance at each would be 4 % of an unordered delivery
where nobody has an order; where a few of a hundred are for such webhooks, nearly all are found."""


class LeftToOrder:
    """ports.Early.

    `active`: the ordered queue gets what an exchange brings to the queue of first attempts, so all of it that is for
    webhooks with an order is the ordered side's to send.
    """

    def __init__(self, ports: Ports, choosing: Choosing, now: Clock) -> None:
        self._webhooks = ports.webhooks
        self._recorder = ports.recorder
        self._pulses = ports.pulses
        self._choosing = choosing
        self._now = now
        self.active = False
        self._glances = 0

    def came_to_both(self, past: Past) -> bool:
        """Whether the ordered queue has a whole event, too. Not one that was published to the queue by its name: what
        somebody sent by hand, or a dead letter that was redriven. Trade-off: that may have been made on this side, and
        ordered webhooks get it once more; but nobody can tell it from one that the ordered queue gave up."""
        return bool(past.exchange) and not past.redriven

    def met_one(self) -> None:
        """One was for ordered webhooks alone, here or in the pipeline: those behind it are glanced at."""
        self._glances = GLANCES

    def passes(self, body: bytes) -> bool:
        if not self._glances or not self.active or len(body) > LARGE_BYTES:
            return False
        self._glances -= 1
        try:
            seen = glance(body)
            if seen is None or seen.kind in CONNECTIONS:
                return False  # a connection's: before what waits for the pipeline it would be heard as the older one
            webhooks = self._webhooks.cached(seen.instance)
            if webhooks is None or not self._choosing.puts_all_in_order(webhooks):
                return False
            if self._pulses is not None:
                self._pulses.sign(seen.kind, seen.instance, self._now())
            self._recorder.received(seen.kind)
        except Exception:  # a fault of the worker: the pipeline makes a dead letter of it
            log.exception("an event could not be left to the ordered side")
            return False
        self.met_one()
        return True
