"""Ordered deliveries: attempted when the core says so, by the same lanes, rules and records as all others."""

import asyncio
import logging
from functools import partial

from worker.basics.clock import Clocks
from worker.basics.next_turn import NextTurn
from worker.delivery.attempt import Attempt, Attempter
from worker.delivery.choosing import Choosing
from worker.delivery.duplicates import Duplicates
from worker.delivery.failure_watch import FailureWatch
from worker.delivery.open_deliveries import OpenDeliveries, past_of
from worker.delivery.ports import WAITS, ConfigUnavailable, Message, Ports
from worker.delivery.settle import Settler
from worker.domain.choosing.subscriptions import Subscriptions
from worker.domain.event import Event
from worker.domain.outcome import (
    DeadLettered,
    DeadReason,
    Delivered,
    Outcome,
    Parked,
    ParkReason,
    Retried,
    Skipped,
)
from worker.domain.past import Past
from worker.domain.policy import Policy
from worker.domain.routing import Delivery
from worker.domain.verdict import HONOURS_RETRY_AFTER, Answered, Result
from worker.ordered.attempts import OrderedAttempts, OrderedTurn
from worker.ordered.deciding.core import Core
from worker.ordered.deciding.ports import Item, NotNow, Stored
from worker.ordered.deciding.role import GONE
from worker.ordered.deciding.rules import BEAT_SECONDS
from worker.ordered.intake import Intake
from worker.ordered.routing import OrderedRouting, with_past
from worker.ordered.switching import Switching
from worker.ordered.token import Ending, OrderedToken

log = logging.getLogger(__name__)

_LONGEST_NOT_NOW = 5.0
"""Seconds: what a lane parks for longer is asked again by then, as it waits in place."""

_PAUSED = NotNow(_LONGEST_NOT_NOW, down=True)
"""What comes while its webhook is paused waits for the resume, in a siding."""

_SECONDS = {ParkReason.CIRCUIT_OPEN: 2.0, ParkReason.ENDPOINT_BUSY: 0.25}

_SHORTEST_NOT_NOW = 0.005
"""Seconds: a rate limit is asked again no sooner."""


class OrderedFlow:
    """Handles the events of ordered webhooks (broker.ordered's Deliveries), through the lanes of all deliveries."""

    def __init__(
        self,
        policy: Policy,
        ports: Ports,
        failures: FailureWatch,
        clocks: Clocks,
        duplicates: Duplicates | None = None,
        switching: Switching | None = None,
    ) -> None:
        self._webhooks = ports.webhooks
        self._admission = ports.admission
        self._now = clocks.now
        self._monotonic = clocks.monotonic
        choosing = Choosing(ports.webhooks.global_webhook, clocks.now)
        self._routing = OrderedRouting(policy, ports.webhooks, choosing, clocks.now)
        self._attempts = OrderedAttempts(Attempter(policy, ports, failures, clocks))
        self._starting = NextTurn(self._begin, self._attempts.write_begun)
        self._settler = Settler(ports.publisher, ports.recorder, clocks.now, ports.history)
        self._intake = Intake(
            policy,
            ports.webhooks,
            ports.recorder,
            self._settler,
            choosing,
            clocks,
            asyncio.sleep,
            duplicates=duplicates,
            switching=switching,
        )

    # What comes.

    @property
    def unknown(self) -> int:
        """Events in hand whose webhooks are not known yet."""
        return self._intake.unknown

    def took(self, core: Core, message: Message) -> None:
        """Never raises. After a fault of the worker the message stays un-acked, and goes back with its channel."""
        try:
            self._intake.took(core, message)
        except Exception:
            log.exception("an ordered event failed unexpectedly")

    def stored(self, core: Core, message: Message, stored: Stored) -> Item:  # noqa: ARG002 - another may ask it
        past = past_of(message, self._now())
        deliveries = OpenDeliveries(message, past)
        assert stored.stamp.endpoint is not None
        return Item(
            stored.id,
            stored.stamp.endpoint,
            stored.key,
            OrderedToken(deliveries, past),
            size=len(message.body),
            again=message.redelivered,
            block_seconds=stored.block_seconds,
        )

    def settle(self, item: Item) -> None:
        token: OrderedToken = item.token
        token.deliveries.closed()

    def content(self, item: Item) -> tuple[bytes, Past]:
        token: OrderedToken = item.token
        return token.message.body, token.past

    def first_seen(self, item: Item) -> float:
        """Unix time in seconds."""
        token: OrderedToken = item.token
        return token.past.first_seen

    def forget(self, core: Core) -> None:
        """See ordered.session.Deliveries: another replica makes the attempts again that are cut."""
        self._attempts.forget(core)

    # Attempts.

    def attempt(self, core: Core, item: Item) -> NotNow | None:
        token: OrderedToken = item.token
        known = token.looked_up
        if known is None:
            known = self._webhooks.cached(item.endpoint.instance or self._instance(item))
        if known is None:
            self._attempts.start(core, self._attempt_later(core, item))
            return None
        not_now = self._offer(core, item, known)
        if not_now is not None:
            self._wake_after(core, not_now)
        return not_now

    def give_up(self, core: Core, item: Item) -> None:
        token: OrderedToken = item.token
        error = token.past.last_error or "it was answered with failures"
        self._end(core, item, DeadLettered(DeadReason.ATTEMPTS_EXHAUSTED, error))

    async def _attempt_later(self, core: Core, item: Item) -> None:
        try:
            known = await self._webhooks.find(item.endpoint.instance or self._instance(item))
        except ConfigUnavailable:
            self._put_off(core, item, NotNow(1.0))
            return
        not_now = self._offer(core, item, known)
        if not_now is not None:
            self._put_off(core, item, not_now)

    def _offer(self, core: Core, item: Item, known: Subscriptions) -> NotNow | None:
        """To its lane, with its webhook as it is now."""
        token: OrderedToken = item.token
        routed = self._routing.routed(token, item, known)
        if not isinstance(routed, Delivery):
            self._end_soon(core, item, routed)
            return None
        if routed.webhook.paused_at is not None:
            return _PAUSED
        outlived = self._routing.outlived(routed, token)
        if outlived is not None:
            self._end_soon(core, item, outlived)
            return None
        turn = OrderedTurn(self, self._attempts, core, item, token, routed)
        admitted = self._admission.admit(routed, turn)
        turn.waited = admitted is WAITS
        return _not_now(admitted) if isinstance(admitted, Parked) else None

    def _instance(self, item: Item) -> str:
        """Of an event of the global webhook, whose endpoint names none."""
        return item.key.partition("\0")[0]

    def turn_came(self, turn: OrderedTurn) -> None:
        if self._attempts.begins:
            self._starting.add(turn)
        else:
            asyncio.get_running_loop().call_soon(self._begin, turn)

    def _begin(self, turn: OrderedTurn) -> None:
        """Not within the call of the core or of the lane; so the role is asked here."""
        core, not_now = turn.core, NotNow(0.25)
        try:
            if not core.over and core.role.may_act(self._monotonic()):
                if not turn.waited or self._as_offered(turn):
                    self._attempts.begin(turn)
                    return
                not_now = NotNow(0.0)
        except Exception:  # a fault of ours: not ended, which would let the next of its chat overtake it
            log.exception("an ordered delivery failed unexpectedly", extra={"webhook": turn.delivery.webhook.id})
            not_now = NotNow(1.0)
        self._admission.released(turn.delivery)
        self._put_off(core, turn.item, not_now)

    def _as_offered(self, turn: OrderedTurn) -> bool:
        """After a wait: whether nothing has changed that it was offered with. Else it is offered anew."""
        known = self._webhooks.cached(turn.item.endpoint.instance or self._instance(turn.item))
        if known is None or known is not turn.token.known:
            return False
        if not turn.item.endpoint.instance and turn.delivery.webhook != self._webhooks.global_webhook:
            return False
        return self._routing.outlived(turn.delivery, turn.token) is None

    def turn_passed(self, turn: OrderedTurn, parked: Parked) -> None:
        asyncio.get_running_loop().call_soon(self._put_off, turn.core, turn.item, _not_now(parked))

    def ended(self, turn: OrderedTurn, attempt: Attempt) -> None:
        """A receiver has seen it, whatever has become of the connection meanwhile: the history always hears of it."""
        core, item, token, delivery, outcome = turn.core, turn.item, turn.token, turn.delivery, attempt.outcome
        if not self._counts(core):
            self._settler.attempted_in_vain(token.deliveries, delivery, attempt)
            return
        match outcome:
            case Delivered():
                core.ended(item, succeeded=True)
                self._settler.delivered(token.deliveries, delivery, attempt)
            case Retried() | DeadLettered(reason=DeadReason.ATTEMPTS_EXHAUSTED):
                token.past = self._settler.tried_in_place(token.deliveries, delivery, attempt)
                core.failed(item, answered=_was_answered(attempt.result))
            case Parked():
                self._settler.attempted_in_vain(token.deliveries, delivery, attempt)
                core.put_off(item, NotNow(1.0))
            case Skipped() | DeadLettered():
                ending = self._ending(core, item)
                self._settler.attempted(OpenDeliveries(ending, delivery.past), delivery, attempt)

    # The end.

    def _end_soon(self, core: Core, item: Item, outcome: Outcome) -> None:
        """Not at once: the core is still in the call that asked for the attempt."""
        asyncio.get_running_loop().call_soon(self._end, core, item, outcome)

    def _end(self, core: Core, item: Item, outcome: Outcome) -> None:
        if not self._counts(core):
            return
        token: OrderedToken = item.token
        deliveries = OpenDeliveries(self._ending(core, item), token.past)
        if token.delivery is not None:
            self._settler.without_attempt(deliveries, outcome, with_past(token.delivery, token.past))
        else:
            event = self._routing.event(token)
            known = event if isinstance(event, Event) else None
            self._settler.without_delivery(deliveries, outcome, known, item.endpoint.webhook_id)

    def _ending(self, core: Core, item: Item) -> Ending:
        """Of what ends without having been delivered."""
        ended, again = partial(self._ended, core, item), partial(self._put_off, core, item, NotNow(1.0))
        token: OrderedToken = item.token
        return Ending(token.message, ended, again)

    def _ended(self, core: Core, item: Item) -> None:
        if self._counts(core):
            core.ended(item, succeeded=False)

    def _put_off(self, core: Core, item: Item, not_now: NotNow) -> None:
        if self._counts(core):
            core.put_off(item, not_now)
            self._wake_after(core, not_now)

    def _wake_after(self, core: Core, not_now: NotNow) -> None:
        """Between two beats. A rate limit parks for less than one when other lanes have taken all seats of the process:
        asked again at the next beat, a webhook that may have 100 attempts a second would get four."""
        if not_now.seconds < BEAT_SECONDS:
            asyncio.get_running_loop().call_later(not_now.seconds + 0.001, self._wake, core)

    def _wake(self, core: Core) -> None:
        if self._counts(core):
            core.wake()

    def _counts(self, core: Core) -> bool:
        return core.role.state is not GONE and not core.over

    async def finished(self, seconds: float) -> None:
        """Waits for the last dead letters."""
        await self._settler.finished(seconds)


def _not_now(parked: Parked) -> NotNow:
    if parked.reason is ParkReason.RATE_LIMITED:
        return NotNow(min(max(parked.free_in, _SHORTEST_NOT_NOW), _LONGEST_NOT_NOW))
    seconds = _SECONDS.get(parked.reason, min(float(max(parked.delay, 1)), _LONGEST_NOT_NOW))
    return NotNow(seconds, down=parked.reason is ParkReason.CIRCUIT_OPEN)


def _was_answered(result: Result | None) -> bool:
    """With a status that says no, and names no time to wait for."""
    if not isinstance(result, Answered):
        return False
    return not (result.status in HONOURS_RETRY_AFTER and result.retry_after is not None)
