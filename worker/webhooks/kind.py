"""What a kind of value is: the forms that a value takes, and what is known of each.

`value`: as Webhook holds it. `plain`: JSON, as requests, files and answers have it. `stored`: its column's content,
text or a whole number. `typed`: what the command line was given. Pure, and without pydantic, whose import (0.1 s) has
no place on the way from a row to a delivery; the pydantic type of each kind is in accepted.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from worker.basics.masking import MASK
from worker.domain.choosing.problem import Problem

Json = dict[str, Any]


class Damaged(ValueError):
    """A column holds what no value of its kind is stored as."""


class ProblemsWithin(ValueError):
    """What is wrong within one field: `problems`, each with its place."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Kind:
    """A value that is its own plain form, stored as JSON."""

    confidential: ClassVar[bool] = False
    """Whether a value may hold credentials without being a secret as a whole: masked, and never quoted."""
    repeats: ClassVar[bool] = False
    """Whether its option may be given several times."""
    from_file: ClassVar[bool] = False
    """Whether its option names a file that holds the value."""

    def plain(self, value: Any) -> Any:
        return value

    def value(self, plain: Any) -> Any:
        """Of a plain form that is accepted."""
        return plain

    def stored(self, value: Any) -> int | str:
        return json_text(self.plain(value))

    def read(self, stored: object) -> Any:
        """The value. Raises Damaged."""
        return self.value(parsed(stored))

    def typed(self, given: Any) -> Any:
        """The plain form of what was typed; None: '' was, which is the default. Raises ValueError, which says how to
        type it, or ProblemsWithin."""
        return given

    def placeholder(self) -> str | None:
        """What stands for the value in the command line's help; None: its option's name."""
        return None

    def masked(self, value: Any) -> Any:
        """What is shown of a confidential value."""
        return MASK if value else value

    def unmasked(self, plain: Any, before: Any) -> Any:
        """The plain form that is meant by one in which masks of the value `before` may have been sent back."""
        return self.plain(before) if before and plain == self.masked(before) else plain

    def masks_left(self, plain: Any) -> Iterator[tuple[str, str]]:
        """Where a mask stands for nothing (a path below the field, or ""), and what to do."""
        if plain == MASK:
            yield "", "is only the mask that answers show: give the value"

    def schema(self) -> Json:
        """JSON Schema of the plain form."""
        return {}

    def shown_schema(self) -> Json:
        """JSON Schema of what is shown."""
        return {"type": self.schema()["type"]}


def json_text(value: object) -> str:
    return orjson.dumps(value).decode()


def parsed(stored: object) -> object:
    """Raises Damaged."""
    if not isinstance(stored, str):
        raise Damaged
    try:
        value: object = orjson.loads(stored)
    except orjson.JSONDecodeError:
        raise Damaged from None
    return value


def text(stored: object) -> str:
    """Raises Damaged."""
    if not isinstance(stored, str):
        raise Damaged
    return stored


def whole(stored: object) -> int:
    """Raises Damaged."""
    if not isinstance(stored, int):
        raise Damaged
    return stored


def texts(found: object) -> list[str]:
    """Raises Damaged."""
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise Damaged
    return found


def parts(given: Sequence[str]) -> list[str]:
    """What was typed with commas between; '' holds none. Raises ValueError for commas alone: a slip empties no list."""
    found = [[part.strip() for part in item.split(",") if part.strip()] for item in given]
    if any(item.strip() and not held for item, held in zip(given, found, strict=True)):
        raise ValueError("has nothing between its commas; '' stands for none")
    return [part for held in found for part in held]
