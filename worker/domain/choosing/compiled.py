"""Turns the terms of a filter into functions over what a Shape decoded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET

from worker.domain.choosing.document import DEEPEST, Condition, Group, Term
from worker.domain.choosing.operators import EXIST, OPERATORS, Test
from worker.domain.choosing.problem import in_json
from worker.domain.choosing.shape import Shape, View, leaves

MOST_LOOKS = 10_000
"""Of one webhook at one event's array elements: each that a condition looks at counts one. Up to 20 ms."""

Holds = Callable[[View], bool]


class TooMuch(Exception):
    """The event has so many array elements that a decision would take too long."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One requirement of a webhook.

    `told` says what an event that does not meet it had instead: `filter.data.key.fromMe: true is not false`.
    `looks` is what it costs for each element of `data`.
    """

    place: str
    holds: Holds
    told: Callable[[View], str]
    looks: int = 1


def clauses(filter_: Group, shape: Shape) -> tuple[Clause, ...]:
    """The requirements of a filter, in the order they were written; all must hold."""
    return tuple(_clause(term, shape) for term in filter_.items)


def _clause(term: Term, shape: Shape) -> Clause:
    if isinstance(term, Condition):
        return _condition(term, shape)
    items = tuple(_clause(item, shape) for item in term.items)
    looks = sum(item.looks for item in items)
    match term.operator:
        case "$or":
            none = f"{term.place}: none of its {len(items)} holds"
            return Clause(term.place, _any(items), lambda _: none, looks)
        case "$not":
            every, denied = _all(items), f"{term.place}: what it denies holds"
            return Clause(term.place, lambda view: not every(view), lambda _: denied, looks)
        case _:
            return Clause(term.place, _all(items), lambda view: _first(items, view), looks)


def _first(items: tuple[Clause, ...], view: View) -> str:
    return next(item.told(view) for item in items if not item.holds(view))


def _any(items: tuple[Clause, ...]) -> Holds:
    tests = tuple(item.holds for item in items)
    if len(tests) == 1:
        return tests[0]

    def holds(view: View) -> bool:
        for test in tests:  # noqa: SIM110 - a generator in any() costs half a microsecond more
            if test(view):
                return True
        return False

    return holds


def _all(items: tuple[Clause, ...]) -> Holds:
    tests = tuple(item.holds for item in items)
    if len(tests) == 1:
        return tests[0]

    def holds(view: View) -> bool:
        for test in tests:  # noqa: SIM110 - see _any
            if not test(view):
                return False
        return True

    return holds


def _condition(condition: Condition, shape: Shape) -> Clause:
    operator = OPERATORS[condition.operator]
    names = shape.names(condition.path)
    get = shape.getter(condition.path)
    test = operator.test(condition.operand)
    if condition.operator == EXIST:
        holds = _exists(get, names, condition.operand)
    elif condition.operator == "$eq" and type(condition.operand) is bool:
        holds = _is(get, names, condition.operand, test)
    else:
        holds = _matches(get, names, test)
    operand = in_json(condition.operand)

    def told(view: View) -> str:
        return f"{condition.place}: {operator.fails.format(seen=_seen(view, names), operand=operand)}"

    return Clause(condition.place, holds, told)


def _matches(get: Callable[[Any], object], names: tuple[str, ...], test: Test) -> Holds:
    def holds(view: View) -> bool:
        try:
            value = get(view.top)
        except AttributeError:
            return _any_matches(_values(view, names), test)
        if type(value) is list:
            return _any_matches(_spread(view, [value]), test)
        return test(value)

    return holds


def _is(get: Callable[[Any], object], names: tuple[str, ...], wanted: bool, test: Test) -> Holds:
    """As _matches, for what filters ask most often (`fromMe`): the value is met without a call."""
    otherwise = _matches(get, names, test)

    def holds(view: View) -> bool:
        try:
            value = get(view.top)
        except AttributeError:
            return otherwise(view)
        return value is wanted or (type(value) is list and otherwise(view))

    return holds


def _exists(get: Callable[[Any], object], names: tuple[str, ...], wanted: bool) -> Holds:
    def holds(view: View) -> bool:
        try:
            there = get(view.top) is not UNSET
        except AttributeError:
            there = bool(_leaves(view, names))
        return there is wanted

    return holds


def _any_matches(values: list[object], test: Test) -> bool:
    return any(map(test, values)) if values else test(UNSET)


def _values(view: View, names: tuple[str, ...]) -> list[object]:
    return _spread(view, _leaves(view, names))


def _leaves(view: View, names: tuple[str, ...]) -> list[object]:
    return leaves(view.top, names, lambda count: spend(view, count))


def _spread(view: View, found: list[object]) -> list[object]:
    """Arrays at the end of a path stand for their elements."""
    values: list[object] = []
    for item in found:
        if type(item) is list:
            spend(view, len(item))
            values += item
        else:
            values.append(item)
    return values


def allow_words(view: View) -> None:
    """Saying why looks again at what was just looked at, once for each level of the filter."""
    view.looks = -DEEPEST * MOST_LOOKS


def spend(view: View, looks: int) -> None:
    """Raises TooMuch beyond MOST_LOOKS."""
    view.looks += looks
    if view.looks > MOST_LOOKS:
        raise TooMuch


def _seen(view: View, names: tuple[str, ...]) -> str:
    values = _values(view, names)
    if not values:
        return "an absent value"
    if len(values) > 1:
        return f"each of {len(values)} values"
    return in_json(values[0]) if values[0] is None or type(values[0]) in _SHOWN else "an object"


_SHOWN = (str, int, float, bool, list)
"""What a Shape leaves as it is; every other value was an object."""
