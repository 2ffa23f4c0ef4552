"""What is wrong with a value that somebody set, and where in it."""

import json
from dataclasses import dataclass

MOST_PROBLEMS = 20
"""Told at once; a value of nothing but faults must not become a longer answer than itself."""


@dataclass(frozen=True, slots=True)
class Problem:
    """`str()` reads `filter.$or[1].data.n.$gt: a number or a string, not null`."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


def in_json(value: object, longest: int = 60) -> str:
    """A value as JSON shows it, cut to `longest` characters; an object or array by its kind alone."""
    match value:
        case dict():
            return "an object"
        case list() | tuple():
            return "an array"
        case str():
            rest = "..." if len(value) > longest else ""
            return json.dumps(value[:longest], ensure_ascii=not is_text(value)) + rest
        case bool() | None:
            return json.dumps(value)
        case float():
            return json.dumps(value)
        case int() if value.bit_length() > 4 * longest:
            return "a number"
        case int():
            return str(value)
        case _:
            return f"a {type(value).__name__}"


def printable(key: str, longest: int = 100) -> str:
    """A key as part of a place: cut, and escaped where it would break a line or an encoding."""
    key = key[:longest]
    return key if key.isprintable() else json.dumps(key)[1:-1]


def is_text(value: object) -> bool:
    """A string that UTF-8 can hold: unpaired surrogates could be neither stored nor shown."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
