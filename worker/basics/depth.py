"""How deeply something is nested, told alike by every version of Python: their own limits differ, and move."""

import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

MOST_LEVELS = 100
"""Of JSON that a person writes. Everything that is done with it, by recursion too, works to this depth."""

P = ParamSpec("P")
R = TypeVar("R")

_HOLDERS = (Mapping, list, tuple, set, frozenset)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def levels_of_json(text: str) -> int:
    """The most brackets that are open at once in JSON text, well-formed or not."""
    most = level = 0
    for char in _STRING.sub("", text):
        if char in "[{":
            level += 1
            most = max(most, level)
        elif char in "]}":
            level -= 1
    return most


def is_deeper(value: object, levels: int = MOST_LEVELS) -> bool:
    """Whether a value of JSON's types has more levels of lists and objects."""
    holders: list[object] = [value]
    for _ in range(levels):
        holders = [inner for holder in holders for inner in _inside(holder) if isinstance(inner, _HOLDERS)]
        if not holders:
            return False
    return True


def _inside(holder: object) -> Iterable[object]:
    match holder:
        case Mapping():
            return holder.values()
        case list() | tuple() | set() | frozenset():
            return holder
    return ()


def with_a_whole_stack(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What the call returns in a thread of its own, while this one waits: 0.3 to 0.8 ms.

    Python 3.11 takes the levels of whoever calls a parser off the thousand that the parser has (sys.getrecursionlimit).
    There nobody calls it, so that no other part of a worker gets deeper.
    """
    with ThreadPoolExecutor(1) as alone:
        return alone.submit(call, *args, **kwargs).result()
