"""Checks a filter document where it is set, and turns it into conditions on paths.

What it means stands in docs/filters.md, for the person who writes one.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from worker.domain.choosing.operators import OPERATORS
from worker.domain.choosing.problem import MOST_PROBLEMS, Problem, in_json, is_text, printable

DEEPEST = 8
"""Objects within objects, the filter itself being the first."""

MOST_TERMS = 64
"""Operators with an operand; the members of $and, $or and $not count one by one."""

MOST_BYTES = 4096
"""Of the filter as compact JSON in UTF-8."""

LONGEST_PATH = 16
"""Keys from the top of an event; WhatsApp's own messages go down nine."""

TOP_KEYS = (
    *("event", "instance", "data", "sender", "server_url", "date_time", "apikey"),
    *("instanceName", "instanceId", "instanceToken", "state"),
)
"""What an event has at its top: Evolution API's keys, then Evolution Go's."""

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """`place`: where in the filter it stands (`filter.data.key.fromMe`)."""

    place: str
    path: Path
    operator: str
    operand: Any


@dataclass(frozen=True, slots=True)
class Group:
    """`$and`, `$or`, or `$not` (one item, or several that are negated together)."""

    place: str
    operator: str
    items: tuple["Condition | Group", ...]


Term = Condition | Group


@dataclass(slots=True)
class _Check:
    problems: list[Problem] = field(default_factory=list)
    terms: int = 0

    def wrong(self, place: str, message: str) -> None:
        self.problems.append(Problem(place, message))

    def enough(self) -> bool:
        return len(self.problems) >= MOST_PROBLEMS or self.terms > MOST_TERMS


def read_filter(value: object, place: str = "filter") -> tuple[Group | None, list[Problem]]:
    """The filter as terms, all of which must hold; None with the problems of one that cannot be compiled.

    An empty object is a filter that everything passes. Never raises, whatever the value.
    """
    check = _Check()
    terms = tuple(_terms(value, place, (), 1, check)) if value != {} else ()
    if check.terms > MOST_TERMS:
        check.wrong(place, f"at most {MOST_TERMS} conditions")
    if not check.problems and (size := _size(value)) > MOST_BYTES:
        check.wrong(place, f"at most {MOST_BYTES} bytes as JSON, not {size}")
    return (None, check.problems[:MOST_PROBLEMS]) if check.problems else (Group(place, "$and", terms), [])


@lru_cache(maxsize=1024)
def filter_in(text: str) -> Group:
    """The filter of a stored JSON text; instances often share one. Raises ValueError for what cannot be compiled."""
    found, problems = read_filter(json.loads(text))
    if found is None:
        raise ValueError("; ".join(map(str, problems)))
    return found


def paths_of(term: Term) -> Iterator[Path]:
    """Every path that a filter asks for."""
    if isinstance(term, Condition):
        yield term.path
    else:
        for item in term.items:
            yield from paths_of(item)


def unknown_tops(filter_: Group) -> list[str]:
    """Keys at the top of an event that no Evolution known here sends, in the order of the filter.

    Not refused: an Evolution newer than this worker may send them, and its users choose by what they see.
    """
    return list(dict.fromkeys(path[0] for path in paths_of(filter_) if path[0] not in TOP_KEYS))


def _size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def _terms(value: object, place: str, path: Path, depth: int, check: _Check) -> Iterator[Term]:
    """The terms of one object, each below `path`."""
    if not isinstance(value, dict):
        return check.wrong(place, f"an object, not {in_json(value)}")
    if depth > DEEPEST:
        return check.wrong(place, f"at most {DEEPEST} objects deep")
    if not value:
        return check.wrong(place, "at least one condition")
    for key, inner in value.items():
        if check.enough():
            return None
        yield from _member(key, inner, place, path, depth, check)
    return None


def _member(key: object, value: object, place: str, path: Path, depth: int, check: _Check) -> Iterator[Term]:
    if not isinstance(key, str) or not is_text(key):
        return check.wrong(place, "a key is text without unpaired surrogates")
    here = f"{place}.{printable(key)}"
    if key in ("$and", "$or"):
        yield from _listed(key, value, here, path, depth, check)
    elif key == "$not":
        yield Group(here, key, tuple(_terms(value, here, path, depth + 1, check)))
    elif key.startswith("$"):
        yield from _operation(key, value, here, path, check)
    else:
        yield from _below(key, value, here, path, depth, check)
    return None


def _listed(operator: str, value: object, place: str, path: Path, depth: int, check: _Check) -> Iterator[Term]:
    if not isinstance(value, list | tuple) or not value:
        return check.wrong(place, f"a list with at least one object, not {_unlisted(value)}")
    items: list[Term] = []
    for at, item in enumerate(value[: MOST_TERMS + 1]):
        inner = f"{place}[{at}]"
        check.terms += 1
        items.append(Group(inner, "$and", tuple(_terms(item, inner, path, depth + 1, check))))
        if check.enough():
            return None
    yield Group(place, operator, tuple(items))
    return None


def _unlisted(value: object) -> str:
    return "an empty one" if isinstance(value, list | tuple) else in_json(value)


def _operation(name: str, operand: object, place: str, path: Path, check: _Check) -> Iterator[Term]:
    check.terms += 1
    operator = OPERATORS.get(name)
    if operator is None:
        return check.wrong(place, f"no operator; there are {', '.join(OPERATORS)}, $and, $or, $not")
    if not path:
        return check.wrong(place, "an operator stands below a path, as in `data.key.fromMe`")
    if not operator.accepts(operand):
        return check.wrong(place, f"{operator.takes}, not {_refused(operand)}")
    yield Condition(place, path, name, operand)
    return None


def _refused(operand: object) -> str:
    if isinstance(operand, list | tuple):
        return "an array" if operand else "an empty array"
    return in_json(operand)


def _below(key: str, value: object, place: str, path: Path, depth: int, check: _Check) -> Iterator[Term]:
    keys, problem = _split(key)
    path = (*path, *keys)
    if not problem and len(path) > LONGEST_PATH:
        problem = f"at most {LONGEST_PATH} keys in a path"
    if problem:
        return check.wrong(place, problem)
    if isinstance(value, dict):
        yield from _terms(value, place, path, depth + 1, check)
    elif isinstance(value, list | tuple):
        check.wrong(place, 'a value or an object, not an array; one of several values is {"$in": [...]}')
    else:
        yield from _operation("$eq", value, place, path, check)
    return None


def _split(key: str) -> tuple[Path, str | None]:
    r"""`data.key.fromMe` -> its three keys; `\.` is a dot within a key."""
    keys = tuple(part.replace("\0", ".") for part in key.replace("\\.", "\0").split("."))
    if not all(keys):
        return (), "a path's keys are not empty: no dot at an end, nor two together"
    if "\0" in key or any(_unnameable(part) for part in keys):
        return (), "a path's keys hold no quote, no control character, and a backslash before a dot alone"
    if any(part.startswith("$") for part in keys):
        return (), "a path's keys do not start with $"
    return keys, None


def _unnameable(key: str) -> bool:
    """What does not print could make a filter read as another one, in a terminal and in a review."""
    return not key.isprintable() or '"' in key or "\\" in key
