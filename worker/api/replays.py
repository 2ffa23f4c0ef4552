"""Replays, pauses and resumes over HTTP. All raise ApiError and StoreUnavailable, which become the answer.

An instance's own token reaches its own webhooks and replays alone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

from worker.api.auth import CALLER
from worker.api.body import read_object
from worker.api.errors import ApiError, invalid, json_answer, unauthorized
from worker.api.ports import Replays
from worker.basics.moments import iso
from worker.domain.webhook import DEFAULT_ID, Endpoint
from worker.history.asked import BadFilter
from worker.history.asked import limit as page_limit
from worker.replay.asking import asked, shown
from worker.replay.jobs import CannotReplay
from worker.webhooks.fields import Problem
from worker.webhooks.pausing import AlreadySo, NoSuchWebhook

_FLAGS = {"true": True, "false": False}


class ReplayHandlers:
    """`replays` None: nothing can be replayed here. `now`: Unix seconds."""

    def __init__(self, replays: Replays | None, now: Callable[[], float]) -> None:
        self._replays = replays
        self._now = now

    async def ask(self, request: web.Request) -> web.Response:
        """POST /replay"""
        body = await read_object(request)
        caller = request[CALLER]
        given = {"instance": caller.instance, **body} if caller.instance is not None else body
        try:
            wanted = asked(given, self._now())
        except BadFilter as error:
            raise invalid([Problem(name, text) for name, text in error.problems.items()]) from None
        if not caller.reaches(wanted.instance):
            raise unauthorized()
        with _refusals(wanted.instance, wanted.webhook):
            job = await self._known().ask(wanted, caller.instance)
        return json_answer(shown(job), 202)

    async def show(self, request: web.Request) -> web.Response:
        """GET /replay/{job}; another instance's is as unknown as one that never was."""
        with _refusals():
            job = await self._known().job(request.match_info["job"], request[CALLER].instance)
        if job is None:
            raise _unknown(request)
        return json_answer(shown(job))

    async def list(self, request: web.Request) -> web.Response:
        """GET /replay, newest first"""
        try:
            limit = page_limit(request.query.get("limit"))
        except BadFilter as error:
            raise invalid([Problem(name, text) for name, text in error.problems.items()]) from None
        with _refusals():
            jobs = await self._known().jobs(request[CALLER].instance, limit)
        return json_answer({"items": [shown(job) for job in jobs]})

    async def stop(self, request: web.Request) -> web.Response:
        """DELETE /replay/{job}: what was sent stays sent."""
        job_id, owner = request.match_info["job"], request[CALLER].instance
        with _refusals():
            found = await self._known().job(job_id, owner)
            if found is None:
                raise _unknown(request)
            if not await self._known().stop(job_id, owner):
                raise ApiError(409, ["The replay has ended"])
        return json_answer({"id": job_id, "stopping": True}, 202)

    async def pause(self, request: web.Request) -> web.Response:
        """POST /webhook/pause/{instance}"""
        endpoint = _endpoint(request)
        with _refusals(endpoint.instance, endpoint.webhook_id):
            webhook = (await self._known().pause(endpoint)).webhook
        since = None if webhook.paused_at is None else iso(webhook.paused_at / 1000)
        return json_answer({"instance": webhook.instance, "id": webhook.id, "paused_at": since})

    async def resume(self, request: web.Request) -> web.Response:
        """POST /webhook/resume/{instance}"""
        endpoint, accept_gap = _endpoint(request), _FLAGS.get(request.query.get("accept_gap", "false"))
        if accept_gap is None:
            raise invalid([Problem("accept_gap", "must be true or false")])
        with _refusals(endpoint.instance, endpoint.webhook_id):
            resumed = await self._known().resume(endpoint, accept_gap=accept_gap)
        job = None if resumed.job is None else shown(resumed.job)
        answer = {"instance": endpoint.instance, "id": endpoint.webhook_id, "paused_at": None, "replay": job}
        return json_answer({**answer, "lost": resumed.lost}, 202)

    def _known(self) -> Replays:
        if self._replays is None:
            raise ApiError(409, ["Nothing is replayed here"])
        return self._replays


def _endpoint(request: web.Request) -> Endpoint:
    return Endpoint(request.match_info["instance"], request.query.get("id", DEFAULT_ID))


@contextmanager
def _refusals(instance: str = "", webhook_id: str = "") -> Iterator[None]:
    try:
        yield
    except NoSuchWebhook:
        raise ApiError(404, [f"{instance!r:.200} has no webhook {webhook_id!r:.100}"]) from None
    except (AlreadySo, CannotReplay) as error:
        raise ApiError(409, [str(error)]) from None


def _unknown(request: web.Request) -> ApiError:
    return ApiError(404, [f"There is no replay {request.match_info['job']!r:.200}"])
