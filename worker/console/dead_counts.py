"""What the command line counts of dead letters, and how the console words it. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from worker.basics.moments import moment_of, moment_or_age
from worker.console import shown
from worker.console.frame.desk import asked
from worker.console.frame.jobs import Job, Result
from worker.console.ports import Ended
from worker.deadletters.letter import LETTER_REASONS
from worker.domain.choosing.problem import is_text

UNTIL = "until"
"""Added when somebody asks for a deed: what dies after that is not meant."""

FILTERS = ("instance", "webhook", "reason", "event", "since")
LONGEST = 300
LONGEST_TEXT, BEGINNING = 4000, 200
"""Characters of a text in a body; a picture has a hundred thousand."""

DOES = {"redrive": "Send {} again", "purge": "Delete {} for good"}
ENDS = {"redrive": "off", "purge": "ok"}
"""Tone of one that has done all: what was sent may yet fail."""

DID = {"redrive": "{} sent back to work. Sent is not delivered: see what became of them.", "purge": "{} deleted."}


class Group(msgspec.Struct, frozen=True):
    """As `dead list --groups --json` has it."""

    instance: str | None
    webhook: str | None
    reason: str
    count: int
    newest: str | None


class Counted(msgspec.Struct, frozen=True):
    """What a look found."""

    groups: tuple[Group, ...]
    letters: tuple[dict[str, Any], ...]
    mark: str
    """By which the command knows them again."""

    @property
    def total(self) -> int:
        return sum(group.count for group in self.groups)


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there is no count."""

    text: str


def read_filters(query: Mapping[str, str], owner: str | None, now: float) -> tuple[dict[str, str], dict[str, str]]:
    """What was typed, and what is wrong with it. An owner's instance is theirs, whatever was typed."""
    given = {name: text for name in FILTERS if (text := asked(query, name)[:LONGEST])}
    problems = {name: "holds what no letter's can" for name, text in given.items() if not is_sayable(text)}
    if given.get("reason") not in (None, *LETTER_REASONS):
        problems["reason"] = f"must be one of {', '.join(LETTER_REASONS)}"
    try:
        moment_or_age(given.get("since", "1s"), now)
    except ValueError as error:
        problems["since"] = str(error)
    if owner is not None:
        given["instance"] = owner
    return given, problems


def arguments(given: Mapping[str, str]) -> tuple[str, ...]:
    """The command line's filters."""
    return tuple(f"--{name}={given[name]}" for name in (*FILTERS, UNTIL) if name in given)


def read_until(query: Mapping[str, str]) -> str | None:
    """Before when letters must have died, as an ISO time; None: it does not say, or not so that a clock could."""
    text = asked(query, UNTIL)[:LONGEST]
    try:
        moment_of(text)
    except (ValueError, OverflowError):
        return None
    return text


def answer(counted: Counted | Failed | None, problems: Mapping[str, str]) -> shown.State:
    """What is dead?"""
    if problems:
        return shown.State("warn", "Not counted", "See the field below")
    if counted is None:
        return shown.State("off", "Counting", "Each letter is looked at; this page asks again by itself")
    if isinstance(counted, Failed):
        return shown.State("bad", "The dead letters cannot be counted", counted.text)
    if not counted.total:
        return shown.State("ok", "None", "Nothing was given up that matches")
    whose = len({(group.instance, group.webhook) for group in counted.groups})
    of = f"Of {whose} webhooks" if whose > 1 else "Of one webhook"
    return shown.State("bad", letters(counted.total), f"{of}. Mend the receiver, then send them again")


def letters(count: int) -> str:
    """`1 letter`, `1,240 letters`"""
    return f"{shown.number(count)} {'letter' if count == 1 else 'letters'}"


def progress_of(job: Job) -> Callable[[str], bool]:
    """Reads what `dead redrive --progress` writes."""

    def read(line: str) -> bool:
        found = object_in(line.encode())
        if found is None or not isinstance(found.get("moved"), int):
            return False
        job.done = found["moved"]
        return True

    return read


def result_of(does: str, ended: Ended) -> Result:
    """How it ended, in words."""
    found = object_in(ended.out) or {}
    count = found.get("count", 0)
    done = DID[does].format(letters(count) + (" was" if count == 1 else " were"))
    if ended.code == 0:
        return Result(ENDS[does], done)
    return Result("bad" if not count else "warn", f"{done} {ended.err or f'The command ended with {ended.code}'}")


def is_sayable(text: str) -> bool:
    """Whether a program can be given it as an argument."""
    return bool(text) and is_text(text) and "\0" not in text


def object_in(text: bytes) -> dict[str, Any] | None:
    """None: it is no JSON object."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def pretty(value: object) -> str:
    """Indented JSON, or text; of a text in it that nobody reads, such as a picture in base64, the beginning."""
    found = shortened(value)
    return found if isinstance(found, str) else orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()


def shortened(value: object) -> object:
    """JSON types, with the beginning of each text that is longer than LONGEST_TEXT."""
    match value:
        case str() if len(value) > LONGEST_TEXT:
            return f"{value[:BEGINNING]}... ({shown.number(len(value))} characters)"
        case dict():
            return {name: shortened(each) for name, each in value.items()}
        case list():
            return [shortened(each) for each in value]
    return value
