"""One generated decoder for all paths that an instance's webhooks ask for.

Of an event of 1 MB only the values at those paths become Python objects; msgspec skips the rest as bytes. Where it
refuses what JavaScript writes (unpaired surrogates, numbers beyond a float, bytes that are not UTF-8), the json module
reads the event into the same objects, several times slower.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import UNSET, Raw

Path = tuple[str, ...]
Fields = Mapping[str, Raw | bytes]

_SCALARS = str | int | float | bool | None
_Leaf = msgspec.defstruct("_Leaf", [], gc=False)
"""An object of which nothing but its being there was asked for."""


class _Tree:
    """The keys asked for below one key, and once all are known the class that holds their values."""

    __slots__ = ("below", "struct")

    def __init__(self) -> None:
        self.below: dict[str, _Tree] = {}
        self.struct: Any = _Leaf

    def generate(self) -> Any:
        """The type of a value here: an object, an array of them, or a scalar."""
        node: Any = _Leaf
        fields = [(name, tree.generate(), UNSET) for name, _, tree in self.names()]
        if fields:
            node = msgspec.defstruct("_Node", fields, rename={name: key for name, key, _ in self.names()}, gc=False)
        self.struct = node
        return node | list[node | list[Raw] | _SCALARS] | _SCALARS

    def names(self) -> Iterator[tuple[str, str, "_Tree"]]:
        for at, (key, tree) in enumerate(self.below.items()):
            yield f"k{at}", key, tree


class TooDeep(ValueError):
    """The event is nested so deeply that no decoder reads it (over 900 levels)."""


class View(msgspec.Struct, gc=False):
    """The values of one event that the paths ask for; `looks` counts the array elements looked at."""

    top: Any
    data: Any
    looks: int = 0


class Shape:
    """Decodes exactly `paths` (from the top of an event), and hands out getters for them."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._tree = _tree(paths)
        self._tree.generate()
        self._top = self._tree.struct
        self._tops = [
            (name, key, msgspec.json.Decoder(tree.generate()).decode, tree) for name, key, tree in self._tree.names()
        ]
        self._data = next((name for name, key, _, _ in self._tops if key == "data"), None)
        self._data_alone = self._tops[0] if self._data is not None and len(self._tops) == 1 else None

    def read(self, fields: Fields) -> View:
        """Raises TooDeep, and nothing else, whatever the fields of a parsed event hold."""
        if self._data_alone is not None:  # nearly always
            _, key, decode, tree = self._data_alone
            value = self._value(fields, key, decode, tree)
            return View(self._top(value), value)
        top = self._top(*(self._value(fields, key, decode, tree) for _, key, decode, tree in self._tops))
        return View(top, getattr(top, self._data) if self._data else UNSET)

    def _value(self, fields: Fields, key: str, decode: Callable[[Any], object], tree: _Tree) -> object:
        raw = fields.get(key)
        if raw is None:
            return UNSET
        try:
            return decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return _slowly(raw, tree)

    def point(self, view: View, element: object) -> None:
        """Let `data` be one element of its array, an array within it being nothing to look into."""
        assert self._data
        setattr(view.top, self._data, [] if type(element) is list else element)

    def getter(self, path: Path) -> Callable[[Any], object]:
        """For `View.top`: the value, UNSET if the last key is absent; AttributeError where the way there ends."""
        return attrgetter(".".join(self.names(path)))

    def names(self, path: Path) -> tuple[str, ...]:
        """The attributes that the keys of a path became."""
        tree, names = self._tree, []
        for key in path:
            names.append(f"k{list(tree.below).index(key)}")
            tree = tree.below[key]
        return tuple(names)


def leaves(value: object, names: tuple[str, ...], spend: Callable[[int], None]) -> list[object]:
    """Every value at the end of a path, through the arrays on its way; arrays within arrays hold none.

    `spend` hears how many array elements are about to be looked at, and may raise.
    """
    found: list[object] = [value]
    for name in names:
        holders: list[object] = []
        for item in found:
            if type(item) is list:
                spend(len(item))
                holders += item
            else:
                holders.append(item)
        found = [item for holder in holders if (item := getattr(holder, name, UNSET)) is not UNSET]
    return found


def _tree(paths: Iterable[Path]) -> _Tree:
    root = _Tree()
    for path in paths:
        tree = root
        for key in path:
            tree = tree.below.setdefault(key, _Tree())
    return root


def _slowly(raw: Raw | bytes, tree: _Tree) -> object:
    try:
        text = bytes(raw).decode("utf-8", "surrogateescape")
        return _shaped(json.loads(text, parse_int=_integer, strict=False), tree)
    except RecursionError:
        raise TooDeep("the event is nested too deeply to be looked into") from None


def _integer(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:  # over 4,300 digits (sys.int_info): Python's guard against quadratic conversions
        return float(text)


def _shaped(value: object, tree: _Tree, within_array: bool = False) -> object:
    match value:
        case dict():
            node = tree.struct()
            for name, key, inner in tree.names():
                if key in value:
                    setattr(node, name, _shaped(value[key], inner))
            return node
        case list():
            return [] if within_array else [_shaped(item, tree, True) for item in value]
        case _:
            return value
