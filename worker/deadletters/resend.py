"""One delivery POSTed once more to its webhook as that is today: a dead letter, or an archived event."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aio_pika.abc import AbstractConnection

from worker.basics.clock import Clocks
from worker.broker.past_headers import past_in
from worker.deadletters.browse import Browser, Seen
from worker.deadletters.letter import read
from worker.delivery.attempt import Attempt
from worker.delivery.history_row import row_of
from worker.delivery.ports import Sender
from worker.domain.event import Event, InvalidEvent, parse
from worker.domain.history import Row
from worker.domain.notices.receivers import OPERATOR, PREFIX, NoticeReceiver, receiver
from worker.domain.outcome import (
    DeadLettered,
    DeadReason,
    Delivered,
    Outcome,
    Parked,
    ParkReason,
    Retried,
    RetryReason,
    Skipped,
    SkipReason,
)
from worker.domain.past import Past
from worker.domain.policy import Policy
from worker.domain.request.build import build
from worker.domain.request.not_sendable import NotSendable
from worker.domain.routing import Delivery, addressees, route
from worker.domain.verdict import Result, judge
from worker.domain.webhook import Webhook


class NotThere(Exception):
    """Nothing that can be sent has this id, or the asker may not know of it; the text says where it is not."""


class NotResendable(Exception):
    """The letter is there and cannot be sent; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the history shows of a delivery, as far as an attempt that fails leaves it so. `waits`: a worker will try it
    again by itself. `skipped`: its webhook chose not to have it."""

    waits: bool = False
    skipped: SkipReason | None = None


Ask = Callable[[str], Awaitable[Standing]]
"""Of a delivery, by its id, once its attempt has failed: a worker may have tried it meanwhile. Never raises."""


Keep = Callable[[Row], Awaitable[None]]
"""Puts the attempt into the history. Never raises: the attempt has been made."""


@dataclass(frozen=True, slots=True)
class Resender:
    """`load` gives an instance's webhooks and may raise StoreUnavailable; `operators` is the global webhook,
    `operators_notices` who hears notices about all of them.

    No lane, no circuit, no further attempt, and the webhook is not charged: somebody asked for this one. What a webhook
    chose not to hear does not count either.
    """

    load: Callable[[str], Awaitable[Sequence[Webhook]]]
    operators: Webhook | None
    operators_notices: NoticeReceiver | None
    sender: Sender
    policy: Policy
    clocks: Clocks
    keep: Keep
    standing: Ask

    async def resend(self, connection: AbstractConnection, queue: str, delivery_id: str, owner: str | None) -> Row:
        """The attempt, as the history has it. A 2xx takes the letter out of the queue; else it stays.

        `owner`: letters of another instance, and those to the operator, are not there; None: the operator asks. Raises
        NotThere, NotResendable, StoreUnavailable, and what a broken connection raises.
        """
        async with Browser(connection, queue) as browser:
            found = await _looked_for(browser, delivery_id, owner)
            if found is None:
                raise NotThere(f"{delivery_id!r:.200} is not in the dead letters")
            row = await self._attempted(*await self._delivery(found), len(found.body))
            if row.outcome == Delivered.__name__:
                await browser.ack_all((found.tag,))
                await browser.settled()
        await self.keep(row)
        return row

    async def send(self, body: bytes, past: Past) -> Row:
        """The same of an event that is no dead letter. Raises NotResendable, StoreUnavailable."""
        try:
            event = parse(body)
        except InvalidEvent as error:
            raise NotResendable(f"the event cannot be read: {error}") from None
        assert past.webhook_id is not None
        delivery = self._routed(event, past, past.webhook_id, await self.load(event.instance))
        row = await self._attempted(delivery, event, len(body))
        await self.keep(row)
        return row

    async def _delivery(self, seen: Seen) -> tuple[Delivery, Event]:
        try:
            past, event = past_in(seen.headers), parse(seen.body)
        except InvalidEvent as error:
            raise NotResendable(f"the letter cannot be read: {error}") from None
        if past is None or past.webhook_id is None:
            raise NotResendable("it never reached a webhook: `webhook-worker dead redrive` sends it to all of them")
        return self._routed(event, past, past.webhook_id, await self.load(event.instance)), event

    def _routed(self, event: Event, past: Past, wanted: str, webhooks: Sequence[Webhook]) -> Delivery:
        found = next(iter(addressees(webhooks, self.operators, wanted)), None)
        found = found or receiver(wanted, webhooks, self.operators_notices)
        if found is None and wanted.startswith(PREFIX):
            raise NotResendable("nobody hears it any more: set the webhook's alert_url, or OPS_WEBHOOK_URL")
        if found is None:
            raise NotResendable(f"its webhook {wanted!r} is gone: set it again")
        if found.paused_at is not None:
            raise NotResendable(f"its webhook {wanted!r} is paused: resume it")
        routed = route(event, past, found, webhooks)
        if isinstance(routed, Delivery):
            return routed
        raise NotResendable(f"its webhook {wanted!r} does not take it now ({routed.reason.value}): change or enable it")

    async def _attempted(self, delivery: Delivery, event: Event, size: int) -> Row:
        now, monotonic = self.clocks
        try:
            request = build(delivery, now(), forward_apikey=self.policy.forward_apikey, replay=True)
        except NotSendable as error:
            raise NotResendable(str(error)) from None
        started = monotonic()
        result = await self.sender.send(request, delivery.webhook.timeout(self.policy.timeout))
        seconds = monotonic() - started
        outcome = await self._outcome(result, delivery)
        attempt = Attempt(outcome, result, seconds, len(request.body))
        return row_of(outcome, delivery.past, event, delivery, attempt, size, now())

    async def _outcome(self, result: Result, delivery: Delivery) -> Outcome:
        """No further attempt follows of this one, whatever a delivery of the worker's would get."""
        outcome = judge(result, delivery.attempt, self.policy)
        if isinstance(outcome, Delivered):
            return outcome
        standing = await self.standing(delivery.id)
        if standing.waits:
            return _waits_on(result)
        if standing.skipped is not None:
            return Skipped(standing.skipped)
        if isinstance(outcome, DeadLettered):
            return outcome
        return DeadLettered(DeadReason.ATTEMPTS_EXHAUSTED, result.error)


def _waits_on(result: Result) -> Outcome:
    """Of what the worker has not given up, although this attempt failed: a status that ends its own attempts, too."""
    if result.label in set(RetryReason):
        return Retried(RetryReason(result.label), 0, result.error)
    return Parked(ParkReason.SELF_FAULT, 0, result.error)  # our own rules, or our proxy


async def letter_of(connection: AbstractConnection, queue: str, delivery_id: str, owner: str | None) -> Seen | None:
    """A dead letter, which stays where it is. Raises what a broken connection raises."""
    async with Browser(connection, queue) as browser:
        return await _looked_for(browser, delivery_id, owner)


async def _looked_for(browser: Browser, delivery_id: str, owner: str | None) -> Seen | None:
    found: list[Seen] = []

    def look(seen: Seen) -> bool:
        letter = read(seen.headers, seen.body, seen.message_id)
        theirs = owner is None or (owner == letter.instance and letter.webhook != OPERATOR)
        if letter.id == delivery_id and theirs and not found:
            found.append(seen)
            browser.enough()
        return True

    await browser.run(look)
    return found[0] if found else None
