"""What the console's overview asks RabbitMQ: once for all who look, and its silence too."""

from __future__ import annotations

import asyncio

import pytest

from worker.process import console
from worker.settings.settings import load


async def test_a_broker_that_does_not_answer_is_asked_once_for_all_who_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "ASKING_SECONDS", 0.05)
    asked, now = 0, 0.0

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        settings, _ = load({"RABBITMQ_URI": f"amqp://guest:hush@127.0.0.1:{port}/"}, None)
        backlog = console.BacklogOnce(settings, {}, lambda: now)
        said = [str(each) for each in await asyncio.gather(backlog.ask(), backlog.ask(), return_exceptions=True)]
        assert (asked, said[0] == said[1], "hush" in said[0]) == (1, True, False)
        assert "has not answered within 0.05 s: it is busy, or out of reach" in said[0]
        now = console.KNOWN_SECONDS + 1
        with pytest.raises(console.BrokerAway):
            await backlog.ask()
        assert asked == 2
