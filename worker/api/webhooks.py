"""The /webhook API on SERVER_PORT: its routes, its start and its end."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from worker.api.auth import Authentication, Failures
from worker.api.body import LONGEST_BODY
from worker.api.docs import page
from worker.api.errors import ApiError, errors, json_answer
from worker.api.handlers import Handlers
from worker.api.history import HistoryHandlers
from worker.api.listening import listen
from worker.api.openapi.document import document
from worker.api.ports import Body, Changed, Explain, RefuseUrl, Replays, Resend, SendTest, TokenOwner
from worker.api.queries import is_readable, only_known_parameters
from worker.api.replays import ReplayHandlers
from worker.api.saving import Saving
from worker.domain.explain import explain
from worker.history.asking import Asking
from worker.webhooks.changing import leave
from worker.webhooks.store import WritableStore

OPEN = frozenset({"/docs", "/openapi.json"})
"""Without a key, so that a browser can show them: they are the same everywhere and tell nothing of this worker."""

DRAIN_SECONDS = 5.0
"""For requests under way when the server closes."""


_SLASH = "{slash:/?}"
"""At the end of a path, as Evolution's server (Express, routing that is not strict) takes it."""


Mount = Callable[[Authentication], web.Application]
"""Makes what is served below a path of its own. It asks for keys itself, of the same Authentication."""


class WebhookApi:
    """Evolution's webhook calls, on the worker's own store.

    `api_key` (AUTHENTICATION_API_KEY) reaches everything and must not be empty. With `token_owner` an instance's
    own token is accepted too, and reaches that instance only. Without `history` none is kept. `mounted`: what else is
    served, by its path. `orders`: whether the workers deliver in order (ORDER).
    """

    def __init__(
        self,
        host: str,
        port: int,
        store: WritableStore,
        api_key: str,
        *,
        refuse_url: RefuseUrl,
        changed: Changed,
        send_test: SendTest,
        explain: Explain | None = None,
        token_owner: TokenOwner | None = None,
        history: Asking | None = None,
        resend: Resend | None = None,
        replays: Replays | None = None,
        body: Body | None = None,
        mounted: Mapping[str, Mount] | None = None,
        orders: bool = False,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._host = host
        self._port = port
        enabling = replays.enabling if replays else leave
        saving = Saving(store, refuse_url, changed, enabling=enabling, orders=orders)
        self._handlers = Handlers(store, saving, changed, send_test, explain or _without_operators(now), now, history)
        self._history = HistoryHandlers(history, resend, now, body)
        self._replays = ReplayHandlers(replays, now)
        open_paths = OPEN | {"/"} if mounted else OPEN
        self._authentication = Authentication(api_key, token_owner, Failures(monotonic), sleep, open_paths)
        self._mounted = {path: make(self._authentication) for path, make in (mounted or {}).items()}
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Begins to answer and returns the port. Raises OSError when it is taken."""
        self._runner = web.AppRunner(self._app(), access_log=None, handle_signals=False, shutdown_timeout=DRAIN_SECONDS)
        await self._runner.setup()
        return await listen(self._runner, self._host, self._port)

    async def close(self) -> None:
        """Takes nothing more, and gives requests under way DRAIN_SECONDS."""
        if self._runner is not None:
            await self._runner.cleanup()

    def _app(self) -> web.Application:
        authenticated = _but_for(frozenset(self._mounted.values()), self._authentication.middleware)
        readable = _but_for(frozenset(self._mounted.values()), _readable_url)
        middlewares = (errors, authenticated, readable, only_known_parameters())
        app = web.Application(middlewares=middlewares, client_max_size=LONGEST_BODY)
        handlers, instance = self._handlers, "{instance:[^/]+}"
        app.router.add_post(f"/webhook/instance{_SLASH}", handlers.set_named_in_body)
        app.router.add_post(f"/webhook/set/{instance}{_SLASH}", handlers.set_named_in_path)
        app.router.add_get(f"/webhook/find/{instance}{_SLASH}", handlers.find)
        app.router.add_post(f"/webhook/test/{instance}{_SLASH}", handlers.test)
        app.router.add_post(f"/webhook/explain/{instance}{_SLASH}", handlers.explain)
        app.router.add_get("/webhook", handlers.list)
        app.router.add_delete(f"/webhook/{instance}{_SLASH}", handlers.delete)
        app.router.add_get(f"/history{_SLASH}", self._history.page)
        app.router.add_get("/history/{id:[^/]+}", self._history.timeline)
        app.router.add_get("/history/{id:[^/]+}/body", self._history.body)
        app.router.add_post("/history/{id:[^/]+}/resend", self._history.resend)
        replays = self._replays
        app.router.add_post(f"/webhook/pause/{instance}{_SLASH}", replays.pause)
        app.router.add_post(f"/webhook/resume/{instance}{_SLASH}", replays.resume)
        app.router.add_post(f"/replay{_SLASH}", replays.ask)
        app.router.add_get(f"/replay{_SLASH}", replays.list)
        app.router.add_get("/replay/{job:[^/]+}", replays.show)
        app.router.add_delete("/replay/{job:[^/]+}", replays.stop)
        app.router.add_get("/openapi.json", _openapi)
        app.router.add_get("/docs", _docs)
        for path, mounted in self._mounted.items():
            app.add_subapp(path, mounted)
        if self._mounted:
            app.router.add_get("/", _leading_to(next(iter(self._mounted))))
        return app


def _but_for(mounted: frozenset[web.Application], check: Middleware) -> Middleware:
    """By where a request is routed to, not by the text of its path, which has many spellings."""

    @web.middleware
    async def decide(request: web.Request, handler: Handler) -> web.StreamResponse:
        if mounted.isdisjoint(request.match_info.apps):
            return await check(request, handler)
        return await handler(request)

    return decide


def _leading_to(path: str) -> Handler:
    """From the address alone, which somebody with a browser types."""

    async def lead(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": path})

    return lead


def _without_operators(now: Callable[[], float]) -> Explain:
    """Where there is no global webhook."""
    return lambda content, webhooks, _: explain(content, webhooks, None, now())


@web.middleware
async def _readable_url(request: web.Request, handler: Handler) -> web.StreamResponse:
    """An instance's name is percent-encoded UTF-8; anything else would be read as another name."""
    if not is_readable(request):
        raise ApiError(400, [["the URL is not percent-encoded UTF-8"]])
    return await handler(request)


async def _openapi(_: web.Request) -> web.Response:
    return json_answer(document())


async def _docs(_: web.Request) -> web.Response:
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return web.Response(text=page(document()), content_type="text/html", headers={"Content-Security-Policy": policy})
