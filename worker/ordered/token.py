"""What an ordered delivery carries from its taking to its end."""

from collections.abc import Callable, Mapping

import msgspec

from worker.delivery.open_deliveries import OpenDeliveries
from worker.delivery.ports import Message
from worker.domain.choosing.subscriptions import Subscriptions
from worker.domain.choosing.timely import LatestKey
from worker.domain.past import Past
from worker.domain.routing import Delivery


class OrderedToken(msgspec.Struct, eq=False):
    """`deliveries`: of the broker's message, which is acked when the last of them is settled where it came from. `past`
    is as it is now. `delivery` None: it has not been routed here yet (it came from a siding). `known`: the instance's
    webhooks with which it was. `latest`: what may supersede it. `looked_up`: the same webhooks, while it is being
    taken: they need not be asked for again."""

    deliveries: OpenDeliveries
    past: Past
    delivery: Delivery | None = None
    known: Subscriptions | None = None
    latest: LatestKey | None = None
    looked_up: Subscriptions | None = None

    def __repr__(self) -> str:
        return f"OrderedToken({self.delivery!r})"

    @property
    def message(self) -> Message:
        return self.deliveries.message


class Ending:
    """The message of one delivery as the settler knows it: its ack is the end of the delivery, and nothing else.

    The broker's own message is acked by the core's word alone. `again` is called when the end could not be published.
    """

    dead_letters = False

    def __init__(self, message: Message, ended: Callable[[], None], again: Callable[[], None]) -> None:
        self._message = message
        self._ended = ended
        self._again = again
        self.body = message.body
        self.message_id = message.message_id
        self.exchange = message.exchange
        self.routing_key = message.routing_key
        self.queue = message.queue
        self.redelivered = message.redelivered

    @property
    def past(self) -> Past | None:
        return self._message.past

    @property
    def trace(self) -> Mapping[str, str]:
        return self._message.trace

    @property
    def lost(self) -> bool:
        return self._message.lost

    def ack(self) -> None:
        self._ended()

    def hand_back(self) -> None:
        self._again()

    def reject(self) -> None:
        raise AssertionError("nothing is rejected in order")
