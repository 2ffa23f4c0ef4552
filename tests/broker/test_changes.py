"""Changes of webhooks on a real broker: who hears of them, and what is never done to tell them."""

from __future__ import annotations

import asyncio
import secrets

import aiormq
import pytest

from tests.support.amqp import Amqp, Names
from tests.support.local_broker import LocalBroker
from tests.support.waiting import Facts
from worker.broker.announcements import ChangeListener, announce_once
from worker.broker.declare import open_channel
from worker.broker.frames import declare_exchange


async def test_a_change_is_told_without_declaring_the_exchange(broker: LocalBroker, amqp: Amqp, names: Names) -> None:
    """With RABBITMQ_DECLARE=false it is the operator's; where there is none, there is no worker to tell."""
    assert await announce_once(broker.uri, names.config, "acme", 1) is None
    with pytest.raises(aiormq.exceptions.ChannelNotFoundEntity):
        await declare_exchange(await open_channel(amqp.connection), names.config, "fanout", passive=True)


async def test_a_listener_hears_a_change_and_knows_when_the_broker_has_cancelled_it(
    broker: LocalBroker, amqp: Amqp, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda _: "mine")
    heard: list[tuple[str, int]] = []
    facts, telling = Facts(), []

    def on_change(instance: str, revision: int) -> None:
        heard.append((instance, revision))
        telling.append(asyncio.ensure_future(facts.changed()))

    channel = await open_channel(amqp.connection)
    await declare_exchange(channel, names.config, "fanout")
    listener = ChangeListener(names.config, on_change)
    await listener.listen(amqp.connection)
    assert await announce_once(broker.uri, names.config, "acme", 7) is None
    await facts.wait_for(lambda: heard == [("acme", 7)], 10, lambda: f"{heard}")
    assert listener.healthy
    assert listener._channel is not None
    cancelled = asyncio.get_running_loop().create_future()
    listener._channel.on_consumer_cancel_callbacks.add(cancelled.set_result)
    await channel.queue_delete(f"{names.config}.mine")
    await asyncio.wait_for(cancelled, 10)
    assert not listener._channel.is_closed
    assert not listener.healthy
