"""What each call of the API does. All raise ApiError and StoreUnavailable, which become the answer."""

import asyncio
import base64
import binascii
import json
import logging
from collections.abc import Callable
from typing import Any

from aiohttp import web

from worker.api.answers import after_set, nothing_set, superset, with_notes
from worker.api.auth import CALLER
from worker.api.body import parse, read_bytes, read_object
from worker.api.dialects import Asked, understood
from worker.api.errors import ApiError, invalid, json_answer, unauthorized
from worker.api.ports import Changed, Explain, SendTest
from worker.api.saving import Saving
from worker.domain.event import InvalidEvent
from worker.domain.names import COUNTED, canonical
from worker.domain.webhook import DEFAULT_ID, Endpoint, Webhook
from worker.domain.webhook_test import KIND, event_of_test
from worker.history.asked import BadFilter
from worker.history.asked import limit as page_limit
from worker.history.asking import Asking
from worker.history.shown import Shown, by_webhook
from worker.webhooks.changing import find
from worker.webhooks.declaration import ID
from worker.webhooks.fields import Problem
from worker.webhooks.shown import shown_explained, shown_test
from worker.webhooks.store import WritableStore

log = logging.getLogger(__name__)

EVERY_ID = "*"


class Handlers:
    """The calls of the /webhook API, one method each. `now` gives Unix time in seconds."""

    def __init__(
        self,
        store: WritableStore,
        saving: Saving,
        changed: Changed,
        send_test: SendTest,
        explain: Explain,
        now: Callable[[], float],
        history: Asking | None = None,
    ) -> None:
        self._store = store
        self._saving = saving
        self._changed = changed
        self._send_test = send_test
        self._explain = explain
        self._now = now
        self._history = history

    async def set_named_in_body(self, request: web.Request) -> web.Response:
        """POST /webhook/instance"""
        asked = understood(await read_object(request), webhook_id=request.query.get("id"))
        if "enabled" not in asked.values:
            asked.problems.append(Problem(asked.called("enabled"), "is required"))
        instance = asked.values.get("instance")
        if not request[CALLER].reaches(instance if isinstance(instance, str) else ""):
            raise unauthorized()
        return await self._set(asked)

    async def set_named_in_path(self, request: web.Request) -> web.Response:
        """POST /webhook/set/{instance}"""
        instance = _instance(request)
        return await self._set(understood(await read_object(request), instance, request.query.get("id")))

    async def _set(self, asked: Asked) -> web.Response:
        saved = await self._saving.save(asked)
        log.info("webhook set", extra={"instance": saved.webhook.instance, "webhook": saved.webhook.id})
        found = after_set(asked.style, saved.webhook, saved.stored)
        return json_answer(with_notes(found, saved.warnings, saved.secret), 201)

    async def find(self, request: web.Request) -> web.Response:
        """GET /webhook/find/{instance}"""
        instance, asked_id = _instance(request), request.query.get("id", DEFAULT_ID)
        stored = await find(self._store, Endpoint(instance, asked_id))
        if stored is not None:
            return json_answer({**superset(stored), "health": await self._health(stored.webhook)})
        if asked_id != DEFAULT_ID:
            raise _missing(instance, asked_id)
        return json_answer({**nothing_set(instance), "health": None})

    async def _health(self, webhook: Webhook) -> Shown | None:
        found = await self._history.health(webhook.instance) if self._history else None
        return by_webhook(found, webhook.id)

    async def list(self, request: web.Request) -> web.Response:
        """GET /webhook"""
        limit, after = _limit(request.query.get("limit")), _after(request.query.get("after"))
        instance = request.query.get("instance", request[CALLER].instance)
        if instance is None:
            page = await self._store.list(after, limit)
            items, following = page.items, page.following
        elif not request[CALLER].reaches(instance):
            raise unauthorized()
        else:
            items, following = await self._store.get(instance), None
        cursor = _cursor(following) if following else None
        return json_answer({"webhooks": [superset(item) for item in items], "after": cursor})

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE /webhook/{instance}"""
        instance, webhook_id = _instance(request), request.query.get("id", DEFAULT_ID)
        every = webhook_id == EVERY_ID
        possible = every or ID.fullmatch(webhook_id)
        deleted = await self._store.delete(instance, None if every else webhook_id) if possible else None
        if deleted is None:
            raise _missing(instance, webhook_id)
        await self._changed(instance, deleted.revision)
        log.info("webhook deleted", extra={"instance": instance, "webhook": webhook_id})
        remaining = [item.webhook.id for item in await self._store.get(instance)]
        return json_answer({"deleted": deleted.count, "remaining": remaining})

    async def test(self, request: web.Request) -> web.Response:
        """POST /webhook/test/{instance}"""
        instance = _instance(request)
        body = await read_object(request, empty=True)
        webhook_id = _choice(body, "id", request.query.get("id", DEFAULT_ID))
        event = canonical(_choice(body, "event", KIND))
        if event not in COUNTED:
            raise invalid([Problem("event", f"must be one of {', '.join(sorted(COUNTED))}")])
        stored = await find(self._store, Endpoint(instance, webhook_id))
        if stored is None:
            raise _missing(instance, webhook_id)
        trial = await self._send_test(stored.webhook, event_of_test(instance, event, self._now()))
        return json_answer(shown_test(stored.webhook, event, trial))

    async def explain(self, request: web.Request) -> web.Response:
        """POST /webhook/explain/{instance}; the operator's webhook is told of to the API's key alone."""
        instance = _instance(request)
        content = await read_bytes(request)
        webhooks = await self._store.load(instance)
        try:
            found = await asyncio.to_thread(self._explain, content, webhooks, request[CALLER].instance is None)
        except InvalidEvent as error:
            raise ApiError(400, [[f"the body is no event: {error}"]]) from None
        return json_answer({"webhooks": [shown_explained(each) for each in found]})


def _instance(request: web.Request) -> str:
    instance = request.match_info["instance"]
    if not request[CALLER].reaches(instance):
        raise unauthorized()
    return instance


def _missing(instance: str, webhook_id: str | None) -> ApiError:
    which = "no webhook" if webhook_id == EVERY_ID else f"no webhook {webhook_id!r:.100}"
    return ApiError(404, [f"The {instance!r:.300} instance has {which}"])


def _choice(body: dict[str, Any], name: str, default: str) -> str:
    value = body.get(name, default)
    if not isinstance(value, str):
        raise invalid([Problem(name, "must be a string")])
    return value


def _limit(text: str | None) -> int:
    try:
        return page_limit(text)
    except BadFilter as error:
        raise invalid([Problem(name, problem) for name, problem in error.problems.items()]) from None


def _cursor(following: Endpoint) -> str:
    return base64.urlsafe_b64encode(json.dumps([following.instance, following.webhook_id]).encode()).decode()


def _after(cursor: str | None) -> Endpoint | None:
    if cursor is None:
        return None
    try:
        match parse(base64.b64decode(cursor.encode(), b"-_", validate=True)):
            case [str() as instance, str() as webhook_id]:
                f"{instance}{webhook_id}".encode()
                return Endpoint(instance, webhook_id)
    except (binascii.Error, UnicodeError, ApiError):
        pass
    raise invalid([Problem("after", "must be the `after` of the page before")])
