"""The promises of a webhook sender, each with the check that tries it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from tests.proof.conformance.checks.addresses import private_addresses
from tests.proof.conformance.checks.answers import redirects, retry_after
from tests.proof.conformance.checks.identity import an_event_keeps_its_id
from tests.proof.conformance.checks.isolation import BAD, others_are_served
from tests.proof.conformance.checks.loss import (
    a_failure_is_tried_again,
    a_killed_sender_loses_nothing,
    a_receiver_that_was_down_gets_all,
)
from tests.proof.conformance.checks.order import order_of_a_chat
from tests.proof.conformance.checks.stopping import a_drain
from tests.proof.conformance.stage import Stage

Check = Callable[[Stage], Awaitable[str]]
"""Returns what was seen. Raises Broken (an AssertionError) when the promise does not hold."""


@dataclass(frozen=True, slots=True)
class Promise:
    """`restarts`: its check stops or kills the sender. `orders`: it is tried with senders that offer order."""

    name: str
    check: Check
    restarts: bool = False
    orders: bool = False


PROMISES = (
    Promise("nothing lost: a receiver that fails", a_failure_is_tried_again),
    Promise("nothing lost: a receiver that is down", a_receiver_that_was_down_gets_all),
    Promise("nothing lost: kill -9", a_killed_sender_loses_nothing, restarts=True),
    Promise("ids stable", an_event_keeps_its_id),
    Promise("order", order_of_a_chat, orders=True),
    Promise("Retry-After of a 429", partial(retry_after, status=429)),
    Promise("Retry-After of a 503", partial(retry_after, status=503)),
    Promise("redirects not followed", redirects),
    Promise("private addresses refused", private_addresses),
    *(Promise(f"isolation share: one is {kind}", partial(others_are_served, kind=kind)) for kind in BAD),
    Promise("drain at SIGTERM", a_drain, restarts=True),
)
