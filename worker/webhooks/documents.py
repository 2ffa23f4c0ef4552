"""Kinds of values that are JSON objects: a filter, and seconds by event."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from worker.basics.strict_json import NotStrict, SaidTwice, strict_json
from worker.domain.choosing.document import filter_in, read_filter
from worker.domain.choosing.problem import MOST_PROBLEMS, Problem, in_json, printable
from worker.domain.choosing.timely import LONGEST_TTL, MOST_EVENTS, read_ttl
from worker.domain.names import canonical
from worker.webhooks import checks
from worker.webhooks.kind import Damaged, Json, Kind, ProblemsWithin, json_text, parsed, parts, text

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?").fullmatch


@dataclass(frozen=True, slots=True)
class Filter(Kind):
    """A filter (docs/filters.md) as its JSON text: hashable, compared at once, a string's memory. None: `{}`."""

    def plain(self, value: str) -> object:
        return orjson.loads(value)

    def value(self, plain: object) -> str | None:
        return json_text(plain) if plain else None

    def stored(self, value: str) -> str:
        return value

    def read(self, stored: object) -> str:
        """Raises Damaged for a filter that cannot be compiled, too: without it the webhook would hear everything."""
        try:
            filter_in(text(stored))
        except ValueError:
            raise Damaged from None
        return text(stored)

    def placeholder(self) -> str:
        return "JSON"

    def typed(self, given: str) -> object:
        """'' is `{}`, which requires nothing."""
        try:
            return strict_json(given or "{}")
        except SaidTwice as error:
            raise ProblemsWithin([Problem(f"filter.{printable(error.place)}", "is there twice")]) from None
        except NotStrict as error:
            if not error.place:
                raise
            raise ProblemsWithin([Problem(f"filter.{printable(error.place)}", str(error))]) from None

    def problems(self, plain: object) -> list[Problem]:
        return read_filter(plain)[1] or _unstorable(plain)

    def schema(self) -> Json:
        return {"type": ["object", "string"]}

    def shown_schema(self) -> Json:
        return {"type": "object"}


def _unstorable(plain: object) -> list[Problem]:
    try:
        json_text(plain)
    except TypeError:
        return [Problem("filter", "whole numbers fit 64 bits")]
    return []


@dataclass(frozen=True, slots=True)
class Seconds(Kind):
    """Canonical event name and seconds, in pairs, ordered by name."""

    repeats: ClassVar[bool] = True

    def plain(self, value: tuple[tuple[str, float], ...]) -> Json:
        return dict(value)

    def value(self, plain: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
        found, problems = read_ttl(dict(plain))
        if found is None:
            raise ValueError("; ".join(map(str, problems)))
        return tuple(sorted(found.items()))

    def read(self, stored: object) -> tuple[tuple[str, float], ...]:
        found = parsed(stored)
        if not isinstance(found, dict):
            raise Damaged
        try:
            return self.value(found)
        except ValueError:
            raise Damaged from None

    def placeholder(self) -> str:
        return "EVENT=SECONDS"

    def typed(self, given: Sequence[str]) -> dict[str, float]:
        """`QRCODE_UPDATED=60`, several with commas or the option again; '' is none."""
        pairs = [pair.partition("=") for pair in parts(given)]
        wrong = [_no_pair(name, seconds) for name, _, seconds in pairs if not _SECONDS(seconds.strip())]
        if wrong:
            raise ProblemsWithin(wrong[:MOST_PROBLEMS])
        names = [canonical(name.strip()) for name, _, _ in pairs]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"names {name} twice")
        return {name.strip(): float(seconds) for name, _, seconds in pairs}

    def problems(self, plain: Any) -> list[Problem]:
        found, wrong = read_ttl(plain)
        if found is None:
            return wrong
        return [problem for name in plain for problem in _no_event(name)]

    def schema(self) -> Json:
        seconds = {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_TTL}
        return {"type": "object", "additionalProperties": seconds, "maxProperties": MOST_EVENTS}


def _no_pair(name: str, seconds: str) -> Problem:
    place = printable(f"ttl_seconds.{name.strip()}") if seconds else "ttl_seconds"
    return Problem(place, f"must be given as EVENT=SECONDS, not {in_json(f'{name}={seconds}' if seconds else name)}")


def _no_event(name: str) -> list[Problem]:
    try:
        checks.single_event(name)
    except ValueError as error:
        return [Problem(f"ttl_seconds.{name}", str(error))]
    return []
