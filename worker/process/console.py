"""The console's parts, from settings. Imported only while there is one (CONSOLE)."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from aiohttp import web
from aiormq.exceptions import ChannelNotFoundEntity

from worker.api.auth import Authentication
from worker.api.ports import Body, Changed, Explain, RefuseUrl, Replays, Resend, SendTest
from worker.api.saving import Saving
from worker.api.webhooks import Mount
from worker.broker.census import Depths, ask_depths
from worker.broker.connection import BROKER_ERRORS, as_broker_errors, close, connect, in_words, while_open
from worker.console.app import console
from worker.console.frame.commands import Commands
from worker.console.ports import Backlog, BrokerAway, Parts
from worker.history.asking import Asking
from worker.process import wiring
from worker.process.last_events import LastEvents
from worker.process.sources import source_kind
from worker.settings.settings import Settings
from worker.webhooks.store import WritableStore

PROGRAM = (sys.executable, "-m", "worker")

KNOWN_SECONDS = 5.0
"""As the census has it: however many people look, the broker is asked no more often."""

ASKING_SECONDS = 5.0

Ages = Mapping[str, Callable[[], float]]
"""By queue (`events`): how many seconds its oldest ready message has waited; {}: nobody knows here."""


def mount(
    settings: Settings,
    store: WritableStore,
    *,
    refuse_url: RefuseUrl,
    changed: Changed,
    send_test: SendTest,
    explain: Explain,
    history: Asking | None,
    resend: Resend,
    replays: Replays,
    body: Body,
    ages: Ages,
    options: Sequence[str],
) -> Mount:
    """`options`: what the worker's own commands are to be given, to read these settings."""
    kind = source_kind(settings)
    parts = Parts(
        store=store,
        elsewhere=kind.elsewhere(settings) if kind.elsewhere else None,
        saving=Saving(store, refuse_url, changed, enabling=replays.enabling, orders=settings.order),
        changed=changed,
        send_test=send_test,
        explain=explain,
        resend=resend,
        replays=replays,
        body=body,
        last_events=LastEvents(settings).ask if settings.archive else None,
        history=history,
        successes=settings.history == "all",
        backlog=BacklogOnce(settings, ages).ask,
        run=Commands(PROGRAM, options, os.environ).run,
        now=time.time,
    )

    def make(authentication: Authentication) -> web.Application:
        return console(settings.authentication_api_key, authentication, parts)

    return make


class BacklogOnce:
    """Asks the broker on a connection that is made for it. Whoever asks meanwhile gets the same answer, and so does who
    asks within KNOWN_SECONDS. That it did not answer is known as long, or each visitor would wait for every other."""

    def __init__(self, settings: Settings, ages: Ages, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._ages = ages
        self._monotonic = monotonic
        self._one_at_a_time = asyncio.Lock()
        self._known: tuple[float, Backlog | BrokerAway] | None = None

    async def ask(self) -> Backlog:
        """See AskBacklog."""
        async with self._one_at_a_time:
            if self._known is None or self._monotonic() - self._known[0] > KNOWN_SECONDS:
                found = await self._asked()
                self._known = self._monotonic(), found
        if isinstance(self._known[1], BrokerAway):
            raise BrokerAway(*self._known[1].args)
        return self._known[1]

    async def _asked(self) -> Backlog | BrokerAway:
        address = self._settings.rabbitmq_uri
        try:
            async with asyncio.timeout(ASKING_SECONDS):
                with as_broker_errors():
                    return self._backlog(await self._depths())
        except ChannelNotFoundEntity as error:
            return BrokerAway(f"RabbitMQ has no queue of ours yet, so no worker ever ran: {in_words(error)}")
        except TimeoutError:
            text = f"RabbitMQ at {address} has not answered within {ASKING_SECONDS:g} s: it is busy, or out of reach"
            return BrokerAway(f"{text}. This page asks again by itself")
        except BROKER_ERRORS as error:
            return BrokerAway(f"RabbitMQ at {address}: {address.clean(in_words(error))}")

    async def _depths(self) -> Depths:
        settings = self._settings
        queues = wiring.queue_topology(settings, wiring.retry_schedule(settings))
        plan = wiring.consumption_plan(settings, queues)
        connection = await connect(settings.rabbitmq_uri, "evolution-webhook-worker console")
        try:
            first = await plan.present(connection)
            return await while_open(connection, ask_depths(connection, queues, first))
        finally:
            await close(connection)

    def _backlog(self, depths: Depths) -> Backlog:
        queues = wiring.queue_topology(self._settings, wiring.retry_schedule(self._settings))
        waiting = (queues.retries, *queues.delays.values())
        oldest = self._ages.get("events")
        return Backlog(
            events=depths.events,
            retries=sum(depths.messages[name] for name in waiting),
            dead=depths.messages[queues.dead],
            workers=depths.replicas,
            oldest=oldest() if oldest is not None else None,
        )
