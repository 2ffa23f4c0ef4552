"""Doctor: is the installation healthy? The doctor's own findings, each with its fix; and the page of a job."""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
from aiohttp import web

from worker.api.auth import CALLER
from worker.basics.moments import iso
from worker.console import shown
from worker.console.frame.desk import Desk, seen
from worker.console.frame.jobs import DOCTOR, Job, Jobs, Result, TooMany, busy
from worker.console.ports import Parts

LEVELS = {"problem": "bad", "warning": "warn", "advice": "off", "ok": "ok"}
"""Tone of each, the worst first."""

HEADINGS = {"problem": "Problems", "warning": "Warnings", "advice": "Advice", "ok": "In order"}


class Finding(msgspec.Struct, frozen=True):
    """As `doctor --json` has it."""

    level: str
    name: str
    what: str
    fix: str = ""
    items: tuple[str, ...] = ()


class Doctor:
    """The operator's alone: it names every instance."""

    def __init__(self, desk: Desk, parts: Parts, jobs: Jobs) -> None:
        self._desk = desk
        self._parts = parts
        self._jobs = jobs

    async def page(self, request: web.Request) -> web.Response:
        """GET /console/doctor: the last examination."""
        self._check(request)
        job = self._jobs.newest(DOCTOR, None)
        findings = findings_of(job)
        levels = [(level, HEADINGS[level], [each for each in findings if each.level == level]) for level in LEVELS]
        values = {"job": job, "levels": levels, "tones": LEVELS, "answer": answer(job, findings)}
        return self._desk.show(request, "doctor.html", values)

    async def examine(self, request: web.Request) -> web.Response:
        """POST /console/doctor"""
        self._check(request)
        running = self._jobs.newest(DOCTOR, None)
        if running is None or not running.running:
            try:
                self._jobs.start(DOCTOR, "Examination", None, self._examined)
            except TooMany:
                raise busy() from None
        raise seen("/doctor")

    async def job(self, request: web.Request) -> web.Response:
        """GET /console/job?id=: how far it is, or how it ended."""
        job = self._jobs.find(request.query.get("id", ""), request[CALLER].instance)
        if job is None:
            text = "This work is not known here: it was started on another replica, or before a restart"
            return self._desk.show(
                request, "problem.html", {"title": "Not known here", "text": text, "soon": False}, 404
            )
        values = {"job": job, "answer": state_of(job, self._parts.now()), "deliveries": _deliveries_since(job)}
        return self._desk.show(request, "job.html", values)

    async def _examined(self, _: Job) -> Result:
        ended = await self._parts.run(("doctor", "--json"), None)
        try:
            found = msgspec.json.decode(ended.out, type=tuple[Finding, ...])
        except msgspec.MsgspecError:
            return Result("bad", f"The doctor could not examine: {ended.err or f'it ended with {ended.code}'}")
        return Result("ok", "Examined.", found)

    @staticmethod
    def _check(request: web.Request) -> None:
        if request[CALLER].instance is not None:
            raise web.HTTPNotFound


def _deliveries_since(job: Job) -> Mapping[str, str]:
    """The filters of deliveries of what it is about, since it began."""
    found = {name: job.chosen[name] for name in ("instance", "webhook", "event") if name in job.chosen}
    return {**found, "since": iso(job.started)}


def findings_of(job: Job | None) -> Sequence[Finding]:
    value = job.result.value if job is not None and job.result is not None else None
    return value if isinstance(value, tuple) else ()


def answer(job: Job | None, findings: Sequence[Finding]) -> shown.State:
    """Is it healthy? As the doctor's exit code has it."""
    if job is None:
        return shown.State("off", "Not examined yet", "Everything is looked at, and nothing is changed")
    if job.result is None:
        return shown.State("off", "Examining", "It takes some seconds; this page asks again by itself")
    if not findings:
        return shown.State("bad", "Not examined", job.result.text)
    counts = Counter(finding.level for finding in findings)
    said = [
        f"{counts[level]} {level}{'s' if counts[level] > 1 else ''}"
        for level in ("problem", "warning")
        if counts[level]
    ]
    if said:
        tone = "bad" if counts["problem"] else "warn"
        return shown.State(tone, " and ".join(said).capitalize(), "Each has its fix beside it")
    return shown.State("ok", "Healthy", f"{counts['ok']} subjects are in order, {counts['advice']} with advice")


def state_of(job: Job, now: float) -> shown.State:
    """How far a job is."""
    if job.result is not None:
        word = "Ended with trouble" if job.result.tone in ("warn", "bad") else "Done"
        return shown.State(job.result.tone, word, job.result.text)
    if job.waits:
        return shown.State("off", "Waits", f"{job.waits}; you may leave and come back")
    of = f"{shown.number(job.done)} of {shown.number(job.of)}, " if job.of and job.done else ""
    return shown.State("off", "Under way", f"{of}for {shown.duration(now - job.started)}; you may leave and come back")
