"""The operators of a filter: which operands each takes, and what it asks of one value.

Types are strict: a string is never a number, and `true` is not 1. Numbers compare exactly, integers of any size
included, whatever way they were written (1, 1.0, 1e0). Strings compare by code point and by case.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any

from msgspec import UNSET

from worker.domain.choosing.problem import is_text

Test = Callable[[object], bool]
"""Of one value that is no array; UNSET for an absent path."""


@dataclass(frozen=True, slots=True)
class Operator:
    """`takes` names the operands in words. `fails` describes a failed test (`{seen}`, `{operand}`)."""

    takes: str
    accepts: Callable[[Any], bool]
    test: Callable[[Any], Test]
    fails: str


def _is_number(value: object) -> bool:
    return type(value) is int or (type(value) is float and isfinite(value))


def _is_scalar(value: object) -> bool:
    return value is None or type(value) is bool or _is_number(value) or is_text(value)


def _is_ordered(value: object) -> bool:
    return _is_number(value) or is_text(value)


def _is_part(value: object) -> bool:
    return is_text(value) and value != ""


def _is_choice(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(map(_is_scalar, value))


def _equal(operand: object) -> Test:
    if operand is None or type(operand) is bool:
        return lambda value: value is operand
    if type(operand) is str:
        return lambda value: value == operand
    return lambda value: value == operand and type(value) is not bool


def _one_of(operands: Iterable[object]) -> Test:
    chosen = list(operands)
    texts = frozenset(item for item in chosen if type(item) is str)
    numbers = frozenset(item for item in chosen if type(item) is int or type(item) is float)
    singles = tuple(item for item in chosen if item is None or type(item) is bool)

    def test(value: object) -> bool:
        kind = type(value)
        if kind is str:
            return value in texts
        if kind is int or kind is float:
            return value in numbers
        return any(value is single for single in singles)

    return test


def _not(test: Test) -> Test:
    return lambda value: not test(value)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any], Test]:
    def of(operand: Any) -> Test:
        if type(operand) is str:
            return lambda value: type(value) is str and compare(value, operand)
        return lambda value: (type(value) is int or type(value) is float) and compare(value, operand)

    return of


def _textual(compare: Callable[[str, str], bool]) -> Callable[[str], Test]:
    return lambda operand: lambda value: type(value) is str and compare(value, operand)


_SCALAR = "a string, a number, true, false or null"
_ORDERED = "a number or a string"
_PART = "a string with at least one character"
_CHOICE = "a list with at least one string, number, true, false or null"

EXIST = "$exist"

OPERATORS: dict[str, Operator] = {
    "$eq": Operator(_SCALAR, _is_scalar, _equal, "{seen} is not {operand}"),
    "$ne": Operator(_SCALAR, _is_scalar, lambda operand: _not(_equal(operand)), "{seen} is {operand}"),
    "$in": Operator(_CHOICE, _is_choice, _one_of, "{seen} is not in the list"),
    "$nin": Operator(_CHOICE, _is_choice, lambda operand: _not(_one_of(operand)), "{seen} is in the list"),
    "$gt": Operator(_ORDERED, _is_ordered, _ordered(lambda a, b: a > b), "{seen} is not greater than {operand}"),
    "$gte": Operator(_ORDERED, _is_ordered, _ordered(lambda a, b: a >= b), "{seen} is less than {operand}"),
    "$lt": Operator(_ORDERED, _is_ordered, _ordered(lambda a, b: a < b), "{seen} is not less than {operand}"),
    "$lte": Operator(_ORDERED, _is_ordered, _ordered(lambda a, b: a <= b), "{seen} is greater than {operand}"),
    "$startsWith": Operator(_PART, _is_part, _textual(str.startswith), "{seen} does not start with {operand}"),
    "$endsWith": Operator(_PART, _is_part, _textual(str.endswith), "{seen} does not end with {operand}"),
    "$contains": Operator(_PART, _is_part, _textual(lambda a, b: b in a), "{seen} does not contain {operand}"),
    EXIST: Operator(
        "true or false",
        lambda operand: type(operand) is bool,
        lambda operand: lambda value: (value is not UNSET) is operand,
        "{seen}, and $exist asks for {operand}",
    ),
}
