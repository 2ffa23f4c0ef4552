"""JSON text as its writer meant it: what RFC 8259's parsers disagree on is refused."""

import json
from typing import Any, NoReturn

from worker.basics.depth import MOST_LEVELS, levels_of_json


class NotStrict(ValueError):
    """The text says what is wrong, to follow the name of what was read: `holds NaN, which is not JSON`."""


class SaidTwice(NotStrict):
    """`place`: where the key stands, as in `$or[1].data.n`."""

    def __init__(self, key: str, place: str) -> None:
        super().__init__(f"says the key {key!r:.100} twice")
        self.place = place


def strict_json(text: str, most_keys: int | None = None) -> Any:
    """No key twice, no NaN, no depth and no number without end. Raises NotStrict.

    `most_keys`: of one object.
    """
    twice: list[tuple[dict[str, Any], str]] = []

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if most_keys is not None and len(pairs) > most_keys:
            raise NotStrict(f"has an object with {len(pairs)} keys, {most_keys} at most are allowed")
        found = dict(pairs)
        if len(found) < len(pairs):
            twice.append((found, _second(pairs)))
        return found

    value = _read(text, once)
    if twice:
        holder, key = twice[-1]  # an earlier one may have gone with a value that the later one hides
        raise SaidTwice(key, f"{_way(value, holder)}.{key}".removeprefix("."))
    return value


def _read(text: str, once: Any) -> Any:
    if levels_of_json(text) > MOST_LEVELS:
        raise NotStrict("is nested too deeply")
    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise NotStrict(f"is not JSON: {error.msg}: line {error.lineno} column {error.colno}") from None
    except NotStrict:
        raise
    except ValueError:  # the interpreter's own bound on digits
        raise NotStrict("holds a number with too many digits") from None


def _no_constant(name: str) -> NoReturn:
    raise NotStrict(f"holds {name}, which is not JSON")


def _second(pairs: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return key
        seen.add(key)
    raise AssertionError("no key is there twice")


def _way(value: object, holder: object) -> str:
    """How one gets from the whole to an object in it."""
    left: list[tuple[str, object]] = [("", value)]
    while left:
        place, item = left.pop()
        if item is holder:
            return place
        match item:
            case dict():
                left += ((f"{place}.{key}", inner) for key, inner in item.items())
            case list():
                left += ((f"{place}[{at}]", inner) for at, inner in enumerate(item))
    raise AssertionError("it is not in there")
