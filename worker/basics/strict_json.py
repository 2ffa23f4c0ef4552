"""JSON text as its writer meant it: what RFC 8259's parsers disagree on is refused."""

import json
from typing import Any

from worker.basics.depth import MOST_LEVELS, levels_of_json


class NotStrict(ValueError):
    """The text says what is wrong, to follow the name of what was read: `holds NaN, which is not JSON`.

    `place`: where, as in `$or[1].data.n`; empty: in the whole.
    """

    def __init__(self, text: str, place: str = "") -> None:
        super().__init__(text)
        self.place = place


class SaidTwice(NotStrict):
    """A key of one object."""

    def __init__(self, key: str, place: str) -> None:
        super().__init__(f"says the key {key!r:.100} twice", place)


class _Wrong:
    """In place of a value that JSON does not have."""

    def __init__(self, text: str) -> None:
        self.text = text


def strict_json(text: str, most_keys: int | None = None) -> Any:
    """No key twice, no NaN, no depth and no number without end. Raises NotStrict.

    `most_keys`: of one object.
    """
    twice: list[tuple[dict[str, Any], str]] = []
    wrong: list[_Wrong] = []

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if most_keys is not None and len(pairs) > most_keys:
            raise NotStrict(f"has an object with {len(pairs)} keys, {most_keys} at most are allowed")
        found = dict(pairs)
        if len(found) < len(pairs):
            twice.append((found, _second(pairs)))
        return found

    def no_constant(name: str) -> _Wrong:
        wrong.append(_Wrong(f"holds {name}, which is not JSON"))
        return wrong[-1]

    def integer(digits: str) -> int | _Wrong:
        try:
            return int(digits)
        except ValueError:  # the interpreter's own bound on digits
            wrong.append(_Wrong("holds a number with too many digits"))
            return wrong[-1]

    value = _read(text, object_pairs_hook=once, parse_constant=no_constant, parse_int=integer)
    if twice:
        holder, key = twice[-1]  # an earlier one may have gone with a value that the later one hides
        raise SaidTwice(key, f"{_way(value, holder)}.{key}".removeprefix("."))
    if wrong:
        raise NotStrict(wrong[0].text, _way(value, wrong[0]).removeprefix("."))
    return value


def _read(text: str, **hooks: Any) -> Any:
    if levels_of_json(text) > MOST_LEVELS:
        raise NotStrict("is nested too deeply")
    try:
        return json.loads(text, **hooks)
    except json.JSONDecodeError as error:
        raise NotStrict(f"is not JSON: {error.msg}: line {error.lineno} column {error.colno}") from None


def _second(pairs: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return key
        seen.add(key)
    raise AssertionError("no key is there twice")


def _way(value: object, holder: object) -> str:
    """How one gets from the whole to what is in it."""
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
