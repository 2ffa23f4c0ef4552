"""Kinds of values that hold several things: a set of words, headers, a rate limit."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from worker.basics.masking import MASK
from worker.domain.webhook import RateLimit
from worker.webhooks.kind import Damaged, Json, Kind, json_text, parsed, parts, texts
from worker.webhooks.scalars import Check


@dataclass(frozen=True, slots=True)
class Words(Kind):
    """A set of at most `most` words that `check` lets pass; `offered`: all there are, () if they are without number."""

    repeats: ClassVar[bool] = True

    most: int
    check: Check
    offered: tuple[str, ...] = ()

    def plain(self, value: frozenset[str]) -> list[str]:
        return sorted(value)

    def value(self, plain: Sequence[str]) -> frozenset[str]:
        return _shared(frozenset(plain))

    def read(self, stored: object) -> frozenset[str]:
        return _shared(frozenset(texts(parsed(stored))))

    def placeholder(self) -> str:
        return "NAME[,NAME]"

    def typed(self, given: Sequence[str]) -> list[str]:
        return parts(given)

    def schema(self) -> Json:
        items = {"enum": list(self.offered)} if self.offered else {"type": "string"}
        return {"type": "array", "items": items, "maxItems": self.most}

    def shown_schema(self) -> Json:
        return {"type": "array", "items": {"type": "string"}}


@dataclass(frozen=True, slots=True)
class Headers(Kind):
    """At most `most` header names with their values, in their order."""

    repeats: ClassVar[bool] = True

    most: int

    def plain(self, value: tuple[tuple[str, str], ...]) -> dict[str, str]:
        return dict(value)

    def value(self, plain: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        return tuple(plain.items())

    def stored(self, value: tuple[tuple[str, str], ...]) -> str:
        return json_text(value)

    def read(self, stored: object) -> tuple[tuple[str, str], ...]:
        found = parsed(stored)
        if not isinstance(found, list):
            raise Damaged
        if not all(isinstance(pair, list) and [type(item) for item in pair] == [str, str] for pair in found):
            raise Damaged
        return tuple((name, content) for name, content in found)

    def placeholder(self) -> str:
        return "'NAME: VALUE'"

    def typed(self, given: Sequence[str]) -> dict[str, str]:
        """`Name: value`, the option again for each; '' is none."""
        pairs = [line.partition(":") for line in given if line.strip()]
        if not all(colon for _, colon, _ in pairs):
            raise ValueError('must be given as "Name: value"')
        found = {name.strip(): content.strip() for name, _, content in pairs}
        if len(found) < len(pairs):
            raise ValueError("one of them is given twice")
        return found

    def masked(self, value: tuple[tuple[str, str], ...]) -> dict[str, str]:
        return {name: MASK for name, _ in value}

    def unmasked(self, plain: Any, before: tuple[tuple[str, str], ...]) -> Any:
        if not isinstance(plain, dict):
            return plain
        stored = dict(before)
        return {name: stored.get(name, value) if value == MASK else value for name, value in plain.items()}

    def masks_left(self, plain: object) -> Iterator[tuple[str, str]]:
        if isinstance(plain, dict):
            for name in (name for name, value in plain.items() if value == MASK):
                yield f".{name}", "is only the mask that answers show: give the value"

    def schema(self) -> Json:
        return {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": self.most}

    def shown_schema(self) -> Json:
        return {"type": "object", "additionalProperties": {"const": MASK}}


@dataclass(frozen=True, slots=True)
class Rate(Kind):
    """A RateLimit of at most so many a second and so large a burst."""

    per_second: int
    burst: int

    def plain(self, value: RateLimit) -> Json:
        return {"per_second": value.per_second, "burst": value.burst}

    def value(self, plain: Mapping[str, Any]) -> RateLimit:
        return RateLimit(plain["per_second"], plain["burst"])

    def read(self, stored: object) -> RateLimit:
        match parsed(stored):
            case {"per_second": int() | float() as rate, "burst": int() as burst}:
                return RateLimit(rate, burst)
        raise Damaged

    def placeholder(self) -> str:
        return "PER_SECOND[/BURST]"

    def typed(self, given: str) -> Json | None:
        """`10` or `10/20`: attempts a second, and the burst; '' is no limit."""
        if not given.strip():
            return None
        found = re.fullmatch(r"(-?[0-9]{1,9}(?:\.[0-9]{1,9})?)(?:/(-?[0-9]{1,9}))?", given)
        if found is None:
            raise ValueError(f"must be PER_SECOND or PER_SECOND/BURST, not {given!r:.100}")
        return {"per_second": float(found[1]), **({"burst": int(found[2])} if found[2] else {})}

    def schema(self) -> Json:
        properties = {
            "per_second": {"type": "number", "exclusiveMinimum": 0, "maximum": self.per_second},
            "burst": {"type": "integer", "minimum": 1, "maximum": self.burst, "default": 1},
        }
        return {"type": "object", "properties": properties, "required": ["per_second"], "additionalProperties": False}


@lru_cache(maxsize=1024)
def _shared(words: frozenset[str]) -> frozenset[str]:
    """One object for all webhooks that ask for the same: 10,000 sets of their own fill the processor's cache."""
    return words
