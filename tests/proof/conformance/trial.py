"""Tries promises on a sender: each check has a stage of its own, and its verdict in words."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from tests.proof.conformance.probe import NoStart, Probe
from tests.proof.conformance.promises import Promise
from tests.proof.conformance.senders import Command, Running
from tests.proof.conformance.stage import PATIENCE_SECONDS, Stage
from tests.support.amqp import Amqp, Names
from tests.support.receiver import Receiver

KEY = "messages.upsert"
MOST_SAID = 300


class Verdict(Enum):
    HOLDS = "holds"
    BROKEN = "BROKEN"
    NOT_OFFERED = "not offered"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Target:
    """`command` is started for each check; or one runs on `exchange`, told its webhooks by the command `tell`."""

    broker: str
    command: str | None = None
    tell: str = ""
    exchange: str = ""
    order: Mapping[str, Any] | None = None
    id_header: str = "webhook-id"
    patience: float = PATIENCE_SECONDS
    settings: Mapping[str, str] = field(default_factory=dict)


async def tried(promise: Promise, target: Target) -> tuple[Verdict, str]:
    """And what was seen."""
    if promise.orders and target.order is None:
        return Verdict.NOT_OFFERED, "the sender offers no order (--order says how a webhook asks for it)"
    if promise.restarts and target.command is None:
        return Verdict.NOT_TRIED, "it would stop the sender: give a command as the target"
    async with _stage(target) as stage:
        try:
            return Verdict.HOLDS, await promise.check(stage)
        except NoStart as error:
            return Verdict.NOT_TRIED, str(error)
        except AssertionError as error:
            return Verdict.BROKEN, " ".join(str(error).split())[:MOST_SAID]


@asynccontextmanager
async def _stage(target: Target) -> AsyncIterator[Stage]:
    """Names, receivers and a folder of one check's own; whatever was made is gone afterwards."""
    tag = f"kit-{secrets.token_hex(4)}"
    names = Names(prefix=tag, exchange=target.exchange or f"{tag}.evolution")
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        async with await Amqp.connect(target.broker) as amqp, Receiver() as receiver, Receiver() as probed:

            async def publish(*bodies: bytes) -> None:
                for body in bodies:
                    await amqp.publish_event(names.exchange, KEY, body)

            probe = Probe(publish, probed, f"{tag}-")
            if target.command is None:
                sender: Command | Running = Running(target.tell, Path(folder), probe)
                yield _made(sender, publish, receiver, target, f"{tag}-")
                return
            await amqp.declare_exchange(names.exchange)
            await amqp.declare_queue(f"{tag}.all", bind=(names.exchange, "#"))
            sender = Command(target.command, _environment(target, names), Path(folder), probe)
            try:
                yield _made(sender, publish, receiver, target, f"{tag}-")
            finally:
                await sender.kill()
                await amqp.delete(names)
                await (await amqp.channel.get_queue(f"{tag}.all")).delete(if_unused=False, if_empty=False)


def _made(sender: Command | Running, publish: Any, receiver: Receiver, target: Target, tag: str) -> Stage:
    return Stage(
        sender,
        publish,
        receiver,
        tag=tag,
        patience=target.patience,
        id_header=target.id_header,
        order=target.order,
    )


def _environment(target: Target, names: Names) -> dict[str, str]:
    return {
        "RABBITMQ_URI": target.broker,
        "CONFORMANCE_QUEUE": f"{names.prefix}.all",
        "EGRESS_ALLOW": "127.0.0.1/32",
        "ARCHIVE": "false",  # a stream for each check would cost the broker more than the check
        "HISTORY": "off",
        **names.environment(),
        **target.settings,
    }
