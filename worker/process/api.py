"""The /webhook API: beside the deliveries in `run`, or alone as `webhook-worker api`."""

import asyncio
import logging
import random
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from types import MappingProxyType
from typing import Any

from aio_pika.abc import AbstractConnection
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from worker.api.ports import BodyGone, CannotResend, Changed, TokenOwner
from worker.api.webhooks import Mount, WebhookApi
from worker.broker.announcements import Announcer, KeptConnection
from worker.broker.connection import Supervisor
from worker.broker.topology import config_exchange
from worker.deadletters.resend import NotResendable, NotThere
from worker.deadletters.shown import masked_body
from worker.domain.history import Row
from worker.http.egress import refuse_url
from worker.process import wiring
from worker.process.health import serve_health
from worker.process.history_store import asking
from worker.process.lifecycle import Lifecycle
from worker.process.replays import Replays
from worker.process.resend import BrokerUnavailable, body_of, resend
from worker.process.sources import webhook_source
from worker.settings.settings import Settings
from worker.webhooks.store import StoreUnavailable, WritableStore

log = logging.getLogger(__name__)

STORE_SECONDS = 5.0
"""For the store to get ready before the API listens. While it takes longer, calls are answered 503."""


async def run_api(settings: Settings, options: Sequence[str] = ()) -> int:
    """The API alone, with /livez and /readyz, until SIGTERM or SIGINT. Returns the exit code.

    `options`: what other commands are to be given to read the same settings. Raises OSError when a port is taken.
    """
    life = Lifecycle()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, life.stopping.set)
    async with AsyncExitStack() as stack:
        source = webhook_source(settings)
        store = source.store
        stack.push_async_callback(source.close)
        ready, serving = asyncio.Event(), asyncio.Event()
        # Ready while the API is served: a store that is down is reported there, in words.
        await serve_health(settings, None, lambda: None if serving.is_set() else "not serving yet", stack)
        kept = KeptConnection()
        supervisor = Supervisor(settings.rabbitmq_uri, "evolution-webhook-worker api", kept, random.uniform)
        changed = partial(announce_change, announcer(settings, lambda: kept.current))
        await stack.enter_async_context(life.running("webhook store", until_ready(source.prepare, ready)))
        await stack.enter_async_context(life.running("connection to RabbitMQ", supervisor.run()))
        await serve_api(settings, store, ready, changed, stack, source.token_owner, options=options)
        serving.set()
        await life.stopping.wait()
    log.info("stopped")
    return 1 if life.failed else 0


async def serve_api(
    settings: Settings,
    store: WritableStore,
    ready: asyncio.Event,
    changed: Changed,
    stack: AsyncExitStack,
    token_owner: TokenOwner | None = None,
    *,
    ages: Mapping[str, Callable[[], float]] = MappingProxyType({}),
    options: Sequence[str] = (),
) -> None:
    """Starts the API, and the console with it; `stack` stops them. Without AUTHENTICATION_API_KEY they are off.

    `ages` and `options` are the console's (process/console.py). Raises OSError: port taken.
    """
    if not settings.authentication_api_key:
        log.info("the /webhook API is off: AUTHENTICATION_API_KEY is empty")
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(STORE_SECONDS):
            await ready.wait()
    shared = _shared(settings, store, changed, stack)
    api = WebhookApi(
        settings.server_host,
        settings.server_port,
        store,
        settings.authentication_api_key,
        token_owner=token_owner,
        mounted=_mounted(settings, store, shared, ages, options),
        **shared,
        orders=settings.order,
    )
    stack.push_async_callback(api.close)
    try:
        port = await api.start()
    except OSError as error:
        raise OSError(f"SERVER_HOST and SERVER_PORT: cannot listen: {error.strerror or error}") from error
    log.info("serving the /webhook API", extra={"host": settings.server_host, "port": port})


def _shared(settings: Settings, store: WritableStore, changed: Changed, stack: AsyncExitStack) -> dict[str, Any]:
    """What API and console both use, by the names of their parameters; `stack` closes it."""
    policy, proxy, history = wiring.egress_policy(settings), wiring.egress_proxy(settings), asking(settings)
    if history is not None:
        stack.push_async_callback(history.close)
    replays = Replays(settings, store, changed)
    stack.push_async_callback(replays.close)
    return {
        "refuse_url": lambda url: refuse_url(url, policy, proxy=proxy),
        "changed": changed,
        "send_test": wiring.webhook_tester(settings).send,
        "explain": wiring.explainer(settings),
        "history": history,
        "resend": partial(_resent, settings),
        "replays": replays,
        "body": partial(_body, settings),
    }


def _mounted(
    settings: Settings,
    store: WritableStore,
    shared: dict[str, Any],
    ages: Mapping[str, Callable[[], float]],
    options: Sequence[str],
) -> Mapping[str, Mount]:
    if not settings.console:
        return {}
    from worker.process.console import mount  # noqa: PLC0415 - nothing of it is loaded while it is off

    return {"/console": mount(settings, store, ages=ages, options=options, **shared)}


async def _resent(settings: Settings, delivery_id: str, owner: str | None) -> Row:
    """See api.ports.Resend."""
    try:
        return await resend(settings, delivery_id, owner)
    except NotThere as error:
        raise BodyGone(str(error)) from None
    except (NotResendable, BrokerUnavailable) as error:
        raise CannotResend(str(error), away=isinstance(error, BrokerUnavailable)) from None


async def _body(settings: Settings, delivery_id: str, owner: str | None) -> object:
    """See api.ports.Body."""
    try:
        return masked_body(await body_of(settings, delivery_id, owner))
    except NotThere as error:
        raise BodyGone(str(error)) from None
    except BrokerUnavailable as error:
        raise CannotResend(str(error), away=True) from None


def announcer(settings: Settings, connection: Callable[[], AbstractConnection | None]) -> Announcer:
    """What publishes changes, over the process's own `connection` while there is one."""
    return Announcer(settings.rabbitmq_uri, config_exchange(settings.worker_queue_prefix), connection)


async def announce_change(to_others: Announcer, instance: str, revision: int) -> None:
    """Publishes a change to every replica. Never raises: the change is stored, and a failed publish is logged."""
    problem = await to_others.announce(instance, revision)
    if problem:
        text = "a change could not be told to other replicas, CACHE_TTL_SECONDS brings it: %s"
        log.warning(text, problem, extra={"instance": instance})


async def until_ready(prepare: Callable[[], Awaitable[object]], ready: asyncio.Event) -> None:
    """Prepares the store until that has worked, then sets `ready`. Meanwhile the store raises StoreUnavailable."""
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(StoreUnavailable), wait=wait_random_exponential(max=15), before_sleep=_warn
    )
    await retrying(prepare)
    ready.set()


def _warn(state: RetryCallState) -> None:
    log.warning("the webhook store is not ready: %s", state.outcome.exception() if state.outcome else "")
