"""Replays and pauses: what can be got back? A range is counted first, then sent; jobs survive whoever runs them."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from aiohttp import web
from msgspec.structs import replace

from worker.api.auth import CALLER
from worker.api.ports import Replays
from worker.console import known, shown
from worker.console.frame.desk import Desk, asked, read_form, seen
from worker.console.ports import Parts
from worker.console.webhook import UNKNOWN
from worker.domain.history import REPLAYED
from worker.domain.webhook import Endpoint
from worker.history.asked import BadFilter
from worker.replay.asking import asked as asked_for
from worker.replay.asking import waits_until
from worker.replay.became import Became
from worker.replay.jobs import Asked, CannotReplay, Counts, Job, State, id_of_sending
from worker.webhooks.pausing import AlreadySo, NoSuchWebhook

LISTED = 30
FIELDS = ("instance", "webhook", "since", "until", "event", "chat")

WORDS = {
    State.QUEUED: ("off", "Waits"),
    State.COUNTING: ("off", "Counting"),
    State.SENDING: ("off", "Sending"),
    State.DONE: ("ok", "Done"),
    State.STOPPED: ("warn", "Stopped"),
    State.FAILED: ("bad", "Failed"),
}


ENDS = {"delivered": {"outcome": "Delivered"}, "given up": {"outcome": "DeadLettered"}, "sent": {"reason": REPLAYED}}
"""What is looked for among its webhook's deliveries once it has sent some: words, and the history's filter."""


class ReplayPages:
    """Whose replays and webhooks are reached is part of each question, as in the API."""

    def __init__(self, desk: Desk, parts: Parts) -> None:
        self._desk = desk
        self._parts = parts

    async def page(self, request: web.Request) -> web.Response:
        """GET /console/replays: the form, and the newest jobs."""
        given = {name: asked(request.query, name) for name in FIELDS}
        return await self._page(request, given, {})

    async def ask(self, request: web.Request) -> web.Response:
        """POST /console/replays: counts (`do=count`), or sends."""
        typed, owner = await read_form(request), request[CALLER].instance
        given = {name: asked(typed, name) for name in FIELDS}
        if owner is not None:
            given["instance"] = owner
        wanted: dict[str, object] = {name: text for name, text in given.items() if text and name != "event"}
        wanted |= {"events": [given["event"]] if given["event"] else [], "all": "all" in typed}
        wanted["dry_run"] = asked(typed, "do") != "send"
        counted = None if wanted["dry_run"] else asked(typed, "counted") or None
        try:
            job = await self._known().ask(asked_for(wanted, self._parts.now()), owner, counted)
        except CannotReplay as error:
            return await self._page(request, given, {}, refused=f"{error}.")
        except BadFilter as error:
            problems = {"event" if name == "events" else name: text for name, text in error.problems.items()}
            return await self._page(request, given, problems)
        raise seen("/replay", {"id": job.id})

    async def one(self, request: web.Request) -> web.Response:
        """GET /console/replay?id="""
        owner = request[CALLER].instance
        with _refusals():
            job = await self._known().job(request.query.get("id", ""), owner)
            if job is None:
                raise web.HTTPNotFound(reason="There is no such replay.")
            sending = (
                await self._known().job(id_of_sending(job.id, job.asked.instance), owner) if counted(job) else None
            )
            became = await self._known().became(job) if job.sent else None
            waits = waits_for(job, await self._known().jobs(owner, LISTED)) if job.state is State.QUEUED else None
        to_send = job.counts.to_send if counted(job) and job.counts and sending is None else 0
        values = {"job": job, "answer": state_of(job, sending, became, waits), "to_send": to_send, "sending": sending}
        values |= {"its": deliveries_of(job), "outcomes": ENDS if job.sent else {}}
        values |= {"failing": await self._failing(job.asked) if to_send else None, "again": again(job)}
        return self._desk.show(request, "replay.html", values)

    async def stop(self, request: web.Request) -> web.Response:
        """POST /console/replay/stop: what was sent stays sent."""
        job_id = asked(await read_form(request), "id")
        with _refusals():
            await self._known().stop(job_id, request[CALLER].instance)
        raise seen("/replay", {"id": job_id})

    async def pause(self, request: web.Request) -> web.Response:
        """POST /console/webhook/pause"""
        endpoint = _endpoint(request)
        with _refusals():
            await self._known().pause(endpoint)
        raise seen("/webhook", {"instance": endpoint.instance, "id": endpoint.webhook_id, "done": "paused"})

    async def resume(self, request: web.Request) -> web.Response:
        """POST /console/webhook/resume: a gap is told first, and accepted with `accept_gap`."""
        endpoint, accept = _endpoint(request), "accept_gap" in await read_form(request)
        try:
            resumed = await self._known().resume(endpoint, accept_gap=accept)
        except CannotReplay as error:
            values = {"endpoint": endpoint, "why": str(error), "accepted": accept}
            return self._desk.show(request, "resume_gap.html", values, 409)
        except (AlreadySo, NoSuchWebhook) as error:
            raise web.HTTPConflict(reason=_reason(error)) from None
        if resumed.job is None:
            done = "lost" if resumed.lost else "resumed"
            raise seen("/webhook", {"instance": endpoint.instance, "id": endpoint.webhook_id, "done": done})
        raise seen("/replay", {"id": resumed.job.id})

    async def _page(
        self, request: web.Request, given: Mapping[str, str], problems: Mapping[str, str], refused: str | None = None
    ) -> web.Response:
        """`refused`: why what was typed cannot be replayed, though each field of it is right."""
        away, jobs = None, []
        try:
            jobs = [*await self._known().jobs(request[CALLER].instance, LISTED)]
        except CannotReplay as error:
            away = str(error)
        values = {
            "given": given,
            "problems": problems,
            "replays": _with_states(jobs),
            "gone": dict.fromkeys(job.gone for job in jobs if job.gone),
            "answer": _answer(jobs, away, problems, refused),
            "away": away,
            "instances": await known.instances(self._parts, request[CALLER].instance),
        }
        return self._desk.show(request, "replays.html", values, 409 if refused else 400 if problems else 200)

    async def _failing(self, wanted: Asked) -> shown.State | None:
        """How its webhook fares, if its newest attempt failed: what is sent to it may fail likewise."""
        endpoint, history = Endpoint(wanted.instance, wanted.webhook), self._parts.history
        trends = await history.trends([endpoint]) if history else None
        trend = trends.get(endpoint) if trends else None
        if trend is None or (trend.last_failure or 0) <= (trend.last_success or 0):
            return None
        return shown.by_trend(trend, successes=self._parts.successes)

    def _known(self) -> Replays:
        if self._parts.replays is None:
            raise CannotReplay("nothing is replayed here")
        return self._parts.replays


def _endpoint(request: web.Request) -> Endpoint:
    instance, webhook_id = request.query.get("instance", ""), request.query.get("id", "")
    if not request[CALLER].reaches(instance):
        raise web.HTTPNotFound(reason=UNKNOWN)
    return Endpoint(instance, webhook_id)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except NoSuchWebhook:
        raise web.HTTPNotFound(reason=UNKNOWN) from None
    except (AlreadySo, CannotReplay) as error:
        raise web.HTTPConflict(reason=_reason(error)) from None


def _reason(error: Exception) -> str:
    """On one line, as a status's reason must be."""
    return " ".join(str(error).split()) or UNKNOWN


def _answer(jobs: list[Job], away: str | None, problems: Mapping[str, str], refused: str | None = None) -> shown.State:
    """What can be got back?"""
    if away is not None:
        return shown.State("off", "Nothing", away)
    if refused:
        return shown.State("warn", "Not counted", refused)
    if problems:
        return shown.State("warn", "Not counted", "See what is wrong below")
    running = sum(not job.ended for job in jobs)
    if running:
        return shown.State("off", f"{running} under way", "They go on when this page is left")
    return shown.State("ok", "What the archive keeps", "Count a range first; then send what its webhook has not had")


def _with_states(jobs: list[Job]) -> list[tuple[Job, shown.State]]:
    """One that counted is older than the one that sends what it counted."""
    by_id = {job.id: job for job in jobs}
    sending = [by_id.get(id_of_sending(job.id, job.asked.instance)) for job in jobs]
    told = [replace(job, gone=None) for job in jobs]  # said once, below them
    return [(job, state_of(job, its, None, waits_for(job, jobs))) for job, its in zip(told, sending, strict=True)]


def counted(job: Job) -> bool:
    """Whether it was only to count, and has."""
    return job.state is State.DONE and job.asked.dry_run


def deliveries_of(job: Job) -> dict[str, str]:
    """The filters of its webhook's deliveries since it was asked for."""
    return {"instance": job.asked.instance, "webhook": job.asked.webhook, "since": _iso(job.created_at)}


def waits_for(job: Job, others: Iterable[Job]) -> str | None:
    """Why nobody has begun it, as far as the asker's own replays tell: a worker carries out one at a time."""
    if job.state is not State.QUEUED:
        return None
    under_way = [other for other in others if not other.ended and other.id != job.id]
    if not job.asked.dry_run and any(_is_before(other, job) for other in under_way):
        return "another replay of this webhook is under way: it begins after that"
    if any(other.state is not State.QUEUED for other in under_way):
        return "another one is under way: it begins when a worker has room for it"
    return "it begins when a worker is free"


def _is_before(other: Job, job: Job) -> bool:
    """Those of one webhook are sent one after the other; a count is in nobody's way."""
    same = (other.asked.instance, other.asked.webhook) == (job.asked.instance, job.asked.webhook)
    return same and not other.asked.dry_run and (other.created_at, other.id) < (job.created_at, job.id)


def state_of(
    job: Job, sending: Job | None = None, became: Became | None = None, waits: str | None = None
) -> shown.State:
    """How far it is, in a sentence. `sending`: the job that sends what this one counted. `became`: of what it sent;
    None: nobody has looked. `waits`: for what."""
    tone, word = WORDS[job.state]
    counts = job.counts
    if counted(job):
        tone, word = "off", "Sent" if sending else _to_send(counts.to_send if counts else 0)
    elif job.state is State.DONE and job.sent:
        tone, word = _stands(became)
    said = [] if counts is None else _counted(counts, job.asked)
    ends = _ends(job, became) if became and became.of else None
    if not job.asked.dry_run and not ends and (job.sent or job.ended):
        said.append(f"{shown.number(job.sent)} sent")
    text = ", ".join(said) or _sentence(waits or "the archive is asked")
    retries = "what waits is sent by itself" if counts and counts.on_their_way else None
    until = waits_until(job)
    late = f"it goes on until {shown.moment(until, 0).exact} for what comes late" if until else None
    more = (_sentence(each) for each in (ends, retries, late, job.gone, job.error) if each)
    return shown.State(tone, word, ". ".join([text, *more]))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _stands(became: Became | None) -> tuple[str, str]:
    """Tone and word of one that has sent all: well only once all of it was delivered."""
    if became is None or not became.of:
        return "off", "Sent"
    if became.given_up:
        return "warn" if became.delivered else "bad", f"{shown.number(became.given_up)} given up"
    if became.skipped:
        return "warn", f"{shown.number(became.skipped)} skipped"
    return ("off", "Sent, not all delivered yet") if became.waits else WORDS[State.DONE]


def _ends(job: Job, became: Became) -> str:
    """`18 sent: 0 delivered, 18 given up`"""
    of = "" if became.of >= job.sent else f", {shown.number(became.of)} of them looked at"
    said = [f"{shown.number(became.delivered)} delivered", f"{shown.number(became.given_up)} given up"]
    rest = {"skipped": became.skipped, "waiting for the receiver": became.waits}
    said += [f"{shown.number(count)} {words}" for words, count in rest.items() if count]
    return f"{shown.number(job.sent)} sent{of}: {', '.join(said)}"


def _to_send(count: int) -> str:
    return f"{shown.number(count)} {'event' if count == 1 else 'events'} to send" if count else "Nothing to send"


def _counted(counts: Counts, wanted: Asked) -> list[str]:
    said = [f"Found {shown.number(counts.found)}"]
    if not wanted.everything:
        said.append(f"{shown.number(counts.delivered)} were delivered")
    if counts.on_their_way:
        said.append(f"{shown.number(counts.on_their_way)} wait for their retry")
    return [*said, f"{shown.number(counts.to_send)} to send{', delivered before or not' if wanted.everything else ''}"]


def again(job: Job) -> dict[str, str]:
    """The form that sends what this one counted: the same range, to the millisecond."""
    wanted = job.asked
    return {
        "instance": wanted.instance,
        "webhook": wanted.webhook,
        "since": _iso(wanted.since),
        "until": _iso(wanted.until),
        "event": wanted.events[0] if wanted.events else "",
        "chat": wanted.chat or "",
        "counted": job.id,
    }


def _iso(ms: int) -> str:
    return shown.moment(ms, 0).machine
