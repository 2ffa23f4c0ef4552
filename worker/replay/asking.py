"""A replay as people ask for it, read and checked: what the command line and the API share."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from worker.basics.moments import iso
from worker.basics.printable import printable
from worker.domain.choosing.problem import in_json
from worker.domain.webhook import DEFAULT_ID
from worker.history.asked import BadFilter, question
from worker.replay.jobs import Asked, Job, Kind, State
from worker.webhooks.checks import single_event

MOST_EVENTS = 100
SLOWEST, FASTEST = 0.1, 100_000.0

_TEXTS = ("instance", "webhook", "chat", "since", "until")
_FLAGS = ("all", "accept_gap", "dry_run")
FIELDS = (*_TEXTS, "events", "rate", *_FLAGS)


def asked(given: Mapping[str, object], now: float) -> Asked:
    """Of FIELDS, as JSON has them; None: not given. `now`: Unix seconds. Raises BadFilter with each problem."""
    present = {name: value for name, value in given.items() if value is not None}
    problems = {name[:100]: f"is no field; there are {', '.join(FIELDS)}" for name in present if name not in FIELDS}
    problems |= {name: "is required" for name in ("instance", "since") if name not in present}
    texts = {name: present[name] for name in _TEXTS if name in present}
    problems |= {name: "must be a text" for name, value in texts.items() if not isinstance(value, str)}
    problems |= {name: "must be true or false" for name in _FLAGS if type(present.get(name, False)) is not bool}
    events = _events(present.get("events", []), problems)
    rate = _rate(present.get("rate"), problems)
    try:
        wanted = question({name: text for name, text in texts.items() if isinstance(text, str)}, None, now)
    except BadFilter as error:
        problems = {**error.problems, **problems}
    if not problems and (wanted.since or 0) >= int(now * 1000):
        problems["since"] = "must be before now"
    if problems:
        raise BadFilter(problems)
    return Asked(
        instance=wanted.instance or "",
        webhook=wanted.webhook or DEFAULT_ID,
        since=wanted.since or 0,
        until=min(wanted.until or int(now * 1000), int(now * 1000)),
        events=events,
        chat=wanted.chat,
        everything=present.get("all") is True,
        rate=rate,
        accept_gap=present.get("accept_gap") is True,
        dry_run=present.get("dry_run") is True,
    )


def _events(given: object, problems: dict[str, str]) -> tuple[str, ...]:
    names = given if isinstance(given, Sequence) and not isinstance(given, str) else None
    if names is None or len(names) > MOST_EVENTS:
        problems["events"] = f"must be a list of at most {MOST_EVENTS} event names"
        return ()
    found = []
    for name in names:
        try:
            found.append(_event(name))
        except ValueError as error:
            problems["events"] = f"{in_json(name)} {error}"
    return tuple(dict.fromkeys(found))


def _event(given: object) -> str:
    if not _is_name(given):
        raise ValueError("is no event's name, such as messages.upsert or MESSAGES_UPSERT")
    return single_event(str(given))


def _is_name(given: object) -> bool:
    return isinstance(given, str) and re.fullmatch(r"[\w.\-]{1,255}", given) is not None


def _rate(given: object, problems: dict[str, str]) -> float | None:
    if given is None:
        return None
    if isinstance(given, int | float) and not isinstance(given, bool) and SLOWEST <= given <= FASTEST:
        return float(given)
    problems["rate"] = f"must be a number of events a second, from {SLOWEST:g} to {FASTEST:g}"
    return None


def shown(job: Job) -> dict[str, object]:
    """As the API answers it and `--json` prints it."""
    asked_for, counts = job.asked, job.counts
    return {
        "id": job.id,
        "state": job.state.value,
        "kind": asked_for.kind.value,
        "instance": asked_for.instance,
        "webhook": asked_for.webhook,
        "events": list(asked_for.events),
        "chat": asked_for.chat,
        "since": _moment(asked_for.since),
        "until": _moment(asked_for.until),
        "all": asked_for.everything,
        "rate": asked_for.rate,
        "dry_run": asked_for.dry_run,
        "found": counts.found if counts else None,
        "delivered": counts.delivered if counts and not asked_for.everything else None,
        "on_their_way": counts.on_their_way if counts else None,
        "to_send": counts.to_send if counts else None,
        "sent": job.sent,
        "gone": job.gone,
        "error": job.error,
        "created_at": _moment(job.created_at),
        "ended_at": _moment(job.ended_at),
    }


def in_words(job: Job) -> str:
    """One line: `replay_1f.. sending: 40 of 120 to send, 12 sent`."""
    counts = job.counts
    parts = [] if counts is None else [f"found {counts.found}"]
    parts += [f"{counts.delivered} were delivered"] if counts and not job.asked.everything else []
    parts += [] if counts is None else [f"{counts.on_their_way} are on their way", f"{counts.to_send} to send"]
    is_counting = job.state is State.COUNTING
    parts += [f"found {job.counted.found} so far"] if is_counting and job.counted.found else []
    parts += [] if job.asked.dry_run or is_counting else [f"{job.sent} sent"]
    parts += ["waits for its turn"] if job.state is State.QUEUED else []
    parts += [f"waits for late ones until {_moment(waits_until(job))}"] if waits_until(job) else []
    said = "; ".join(filter(None, (", ".join(parts), job.gone, job.error)))
    return f"{job.id} {job.state.value}" + (f": {said}" if said else "")


def waits_until(job: Job) -> int | None:
    """Unix ms: a RESUME takes what comes until its range ends, which lies ahead when it begins."""
    return job.asked.until if job.state is State.SENDING and job.asked.kind is Kind.RESUME else None


def in_words_among_others(job: Job) -> str:
    """One line that also says whose it is: `acme default, resume since 2026-11-28T08:00:00.000Z: replay_1f.. done`."""
    asked_for = job.asked
    whose = f"{asked_for.instance} {asked_for.webhook}, {asked_for.kind.value} since {_moment(asked_for.since)}"
    return f"{printable(whose)}: {in_words(job)}"


def _moment(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    try:
        return iso(milliseconds / 1000)
    except (OverflowError, ValueError, OSError):
        return iso(datetime.max.replace(tzinfo=UTC).timestamp()) if milliseconds > 0 else iso(0)
