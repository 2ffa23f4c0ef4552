"""Dead letters: what is dead, and what do I do? By webhook and reason, counted before anything is done to them.

Whatever looks through the queue runs in a process of its own (commands.py); an owner's instance is part of each one.
"""

import asyncio
import re

import msgspec
from aiohttp import web

from worker.api.auth import CALLER
from worker.api.errors import ApiError
from worker.basics.moments import iso
from worker.basics.tasks import end
from worker.console import known
from worker.console.dead_counts import (
    DOES,
    FILTERS,
    UNTIL,
    Counted,
    Failed,
    answer,
    arguments,
    is_sayable,
    letters,
    object_in,
    pretty,
    progress_of,
    read_filters,
    read_until,
    result_of,
)
from worker.console.frame.desk import Desk, asked, read_form, seen
from worker.console.frame.jobs import Job, Jobs, Result, TooMany, busy, settled
from worker.console.ports import Ended, Parts
from worker.deadletters.letter import LETTER_REASONS

SHOWN = 50
WAIT_SECONDS = 0.2
"""A page waits so long for a count; then it says that it counts, and asks again by itself. A look takes half a second
at least, and nobody should wait for a page that long."""

KNOWN_SECONDS = 15.0
"""A count is shown again for so long: each one looks at every letter."""

LETTER_SECONDS = 5.0
"""So long a letter's page waits for commands before it."""

_MARK = re.compile(r"[0-9a-f]{1,64}")

BEHIND = "Other work on the dead letters is under way: this begins after that"

MOST_KNOWN = 64
MOST_WAITING = 8
"""Looks that are under way or wait for it."""


class DeadLetters:
    """Handlers of the screen, its actions and one letter."""

    def __init__(self, desk: Desk, parts: Parts, jobs: Jobs) -> None:
        self._desk = desk
        self._parts = parts
        self._jobs = jobs
        self._queue = asyncio.Lock()
        """Held by the command that has the letters in its hands: another one would not see them, and count too few."""
        self._looks: dict[tuple[str, ...], tuple[float, asyncio.Task[Counted | Failed]]] = {}

    async def page(self, request: web.Request) -> web.Response:
        """GET /console/dead"""
        given, problems = read_filters(request.query, request[CALLER].instance, self._parts.now())
        counted = None if problems else await self._counted(arguments(given))
        values = {
            "given": {name: given.get(name, "") for name in FILTERS},
            "chosen": {
                name: text for name, text in given.items() if name != "instance" or not request[CALLER].instance
            },
            "problems": problems,
            "counted": counted if isinstance(counted, Counted) else None,
            "counting": counted is None and not problems,
            "failed": isinstance(counted, Failed),
            "answer": answer(counted, problems),
            "shown": SHOWN,
            "instances": await known.instances(self._parts, request[CALLER].instance),
            "reasons": LETTER_REASONS,
        }
        status = 400 if problems else 503 if isinstance(counted, Failed) else 200
        return self._desk.show(request, "dead.html", values, status)

    async def ask(self, request: web.Request) -> web.Response:
        """GET /console/dead/redrive, /console/dead/purge: how many, before anything happens. Of those until now, so
        that the number holds however many die meanwhile."""
        does, now = request.match_info["does"], self._parts.now()
        given, problems = read_filters(request.query, request[CALLER].instance, now)
        if problems:
            raise web.HTTPBadRequest
        until = read_until(request.query)
        if until is None and asked(request.query, UNTIL):
            typed = asked(request.query, UNTIL)[:100]
            raise web.HTTPBadRequest(reason=f"Until must be a time such as {iso(now)}, not {typed!r}.")
        if until is None:
            raise seen(f"/dead/{does}", {**given, UNTIL: iso(now)})
        chosen, given = given, {**given, UNTIL: until}
        counted = await self._counted(arguments(given))
        if isinstance(counted, Failed):
            raise ApiError(503, counted.text)
        values = {
            "does": does,
            "given": given,
            "chosen": chosen,
            "until": until,
            "counted": counted,
            "title": DOES[does].format(letters(counted.total)) if counted else "Counting",
        }
        return self._desk.show(request, "dead_ask.html", values)

    async def do(self, request: web.Request) -> web.Response:
        """POST /console/dead/redrive: at most as many as were counted; /console/dead/purge: just those, or none."""
        does, form, owner = request.match_info["does"], await read_form(request), request[CALLER].instance
        given, problems = read_filters(form, owner, self._parts.now())
        count, mark, until = asked(form, "count"), asked(form, "mark"), read_until(form)
        if problems or until is None or not count.isdecimal() or not 0 < int(count[:9]) < 10**8:
            raise web.HTTPBadRequest
        if not _MARK.fullmatch(mark):
            raise web.HTTPBadRequest
        number = int(count[:9])
        options = ("--progress", f"--limit={number}") if does == "redrive" else ("--yes", f"--mark={mark}")
        command = ("dead", does, "--json", *options, *arguments({**given, UNTIL: until}))

        async def work(job: Job) -> Result:
            job.waits = BEHIND if self._queue.locked() else ""
            async with self._queue:
                job.waits = ""
                ended = await self._parts.run(command, progress_of(job))
            self._looks.clear()
            return result_of(does, ended)

        try:
            job = self._jobs.start(does, DOES[does].format(letters(number)), owner, work, number, given)
        except TooMany:
            raise busy() from None
        raise seen("/job", {"id": job.id})

    async def letter(self, request: web.Request) -> web.Response:
        """GET /console/dead/letter: one in full, secrets masked."""
        letter_id = request.query.get("id", "")
        if not is_sayable(letter_id):
            raise web.HTTPNotFound
        ended = await self._soon(("dead", "show", "--json", "--", letter_id))
        found = object_in(ended.out) if ended.code == 0 else None
        if found is None or not request[CALLER].reaches(str(found["letter"]["instance"])):
            return self._desk.show(request, "dead_unknown.html", {"id": letter_id, "why": ended.err}, 404)
        values = {"letter": found["letter"], "body": pretty(found["body"]), "headers": pretty(found["headers"])}
        return self._desk.show(request, "dead_letter.html", values)

    async def close(self) -> None:
        """Ends the looks that are under way."""
        await end(*(task for _, task in self._looks.values() if not task.done()))

    async def _counted(self, chosen: tuple[str, ...]) -> Counted | Failed | None:
        """None: it is still being counted."""
        now = self._parts.now()
        known = self._looks.get(chosen)
        if known is not None and known[1].done() and isinstance(known[1].result(), Failed):
            del self._looks[chosen]  # told once: whoever asks again has it tried again
            return known[1].result()
        if known is None or (known[1].done() and now - known[0] > KNOWN_SECONDS):
            self._forget(now)
            if sum(not task.done() for _, task in self._looks.values()) >= MOST_WAITING:
                return Failed("Many look at this moment. Try again in some seconds")
            known = now, asyncio.ensure_future(self._look(chosen))
            self._looks[chosen] = known
        return known[1].result() if await settled(known[1], WAIT_SECONDS) else None

    def _forget(self, now: float) -> None:
        done = [key for key, (began, task) in self._looks.items() if task.done() and now - began > KNOWN_SECONDS]
        for key in (
            done if len(self._looks) < MOST_KNOWN else [key for key, (_, task) in self._looks.items() if task.done()]
        ):
            del self._looks[key]

    async def _soon(self, command: tuple[str, ...]) -> Ended:
        """For a page that somebody waits for. Raises ApiError behind a redrive or a purge that takes long."""
        try:
            async with asyncio.timeout(LETTER_SECONDS):
                await self._queue.acquire()
        except TimeoutError:
            raise ApiError(503, "The dead letters are being worked on, so that one of them cannot be shown.") from None
        try:
            return await self._parts.run(command, None)
        finally:
            self._queue.release()

    async def _look(self, chosen: tuple[str, ...]) -> Counted | Failed:
        command = ("dead", "list", "--groups", "--json", f"--limit={SHOWN}", *chosen)
        try:
            async with self._queue:
                ended = await self._parts.run(command, None)
        except OSError as error:
            return Failed(f"the command could not be started: {error.strerror or error}")
        if ended.code != 0:
            return Failed(" ".join(ended.err.split()) or f"the command ended with {ended.code}")
        return msgspec.json.decode(ended.out, type=Counted)
