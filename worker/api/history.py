"""/history: what became of deliveries, and one of them sent again.

An instance's own token reaches its own rows and letters alone: that is part of each question.
"""

from collections.abc import Callable

from aiohttp import web

from worker.api.auth import CALLER
from worker.api.errors import ApiError, invalid, json_answer
from worker.api.ports import Body, BodyGone, CannotResend, Resend
from worker.history import asked, shown
from worker.history.asking import Asking
from worker.webhooks.fields import Problem

OFF = "no history is kept: HISTORY is off"


class HistoryHandlers:
    """`asking` None: HISTORY is off. `resend` None: there is no broker to resend from. `now`: Unix seconds."""

    def __init__(
        self, asking: Asking | None, resend: Resend | None, now: Callable[[], float], body: Body | None = None
    ) -> None:
        self._body = body
        self._asking = asking
        self._resend = resend
        self._now = now

    async def page(self, request: web.Request) -> web.Response:
        """GET /history"""
        asking = self._known()
        query = request.query
        filters = {name: text for name, text in query.items() if name not in ("after", "limit")}
        try:
            question = asked.question(filters, request[CALLER].instance, self._now())
            after, limit = asked.cursor(query.get("after")), asked.limit(query.get("limit"))
        except asked.BadFilter as error:
            raise invalid([Problem(name[:100], text) for name, text in error.problems.items()]) from None
        return json_answer(shown.page(await asking.page(question, after, limit)))

    async def timeline(self, request: web.Request) -> web.Response:
        """GET /history/{id}; another instance's delivery is as unknown as one that never was."""
        delivery_id = request.match_info["id"]
        found = await self._known().timeline(delivery_id, request[CALLER].instance)
        if not found:
            raise ApiError(404, [f"The history has no delivery {delivery_id!r:.200}"])
        return json_answer({"id": delivery_id, "items": [shown.row(kept) for kept in found]})

    async def body(self, request: web.Request) -> web.Response:
        """GET /history/{id}/body, credentials masked"""
        delivery_id = request.match_info["id"]
        if self._body is None:
            raise ApiError(404, ["Events are not kept here"])
        try:
            return json_answer({"id": delivery_id, "body": await self._body(delivery_id, request[CALLER].instance)})
        except BodyGone as error:
            raise ApiError(404, [str(error)]) from None
        except CannotResend as error:
            raise ApiError(503, [str(error)]) from None

    async def resend(self, request: web.Request) -> web.Response:
        """POST /history/{id}/resend"""
        delivery_id = request.match_info["id"]
        if self._resend is None:
            raise ApiError(404, ["Events are not kept here"])
        try:
            row = await self._resend(delivery_id, request[CALLER].instance)
        except BodyGone as error:
            raise ApiError(404, [str(error)]) from None
        except CannotResend as error:
            raise ApiError(503 if error.away else 409, [str(error)]) from None
        return json_answer(shown.resent(row))

    def _known(self) -> Asking:
        if self._asking is None:
            raise ApiError(404, [OFF])
        return self._asking
