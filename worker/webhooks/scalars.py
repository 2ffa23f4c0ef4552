"""Kinds of values that are one thing: a flag, a whole number, a word, a text, a URL."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from sys import intern
from typing import ClassVar

from worker.basics.masking import MASK, without_credentials
from worker.webhooks.kind import Damaged, Json, Kind, parsed, text, whole

Check = Callable[[str], str]
"""Takes a text and returns it, perhaps in its canonical spelling, or raises ValueError."""


@dataclass(frozen=True, slots=True)
class Flag(Kind):
    """True or false; 1 or 0 in its column."""

    def stored(self, value: bool) -> int:
        return int(value)

    def read(self, stored: object) -> bool:
        if not isinstance(stored, int):
            raise Damaged
        return bool(stored)

    def schema(self) -> Json:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Whole(Kind):
    """A whole number."""

    least: int
    most: int

    def stored(self, value: int) -> int:
        return value

    def read(self, stored: object) -> int:
        return whole(stored)

    def typed(self, given: int | str) -> int | str | None:
        """Text that is no number is left to be refused together with whatever else is wrong."""
        if isinstance(given, str) and not given.strip():
            return None
        return int(given) if isinstance(given, str) and re.fullmatch(r"-?[0-9]{1,18}", given) else given

    def schema(self) -> Json:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Choice(Kind):
    """One of some words, and the word itself in its column."""

    words: tuple[str, ...]

    def placeholder(self) -> str:
        return "|".join(self.words)

    def typed(self, given: str) -> str | None:
        return given or None

    def stored(self, value: str) -> str:
        return value

    def read(self, stored: object) -> str:
        if stored not in self.words:
            raise Damaged
        return intern(str(stored))

    def schema(self) -> Json:
        return {"type": "string", "enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Text(Kind):
    """Text of `least` to `most` characters that `pattern` matches whole, and `check` lets pass. `made_of`: what the
    pattern allows, in words."""

    most: int
    check: Check
    least: int = 0
    pattern: str | None = None
    reserved: str | None = None
    """A text that is refused, and `reserved_for` whom."""
    reserved_for: str = ""
    made_of: str = ""

    def checked(self, text: str) -> str:
        if text == self.reserved:
            raise ValueError(f"is reserved for {self.reserved_for}")
        return self.check(text)

    def read(self, stored: object) -> str:
        found = parsed(stored)
        if not isinstance(found, str):
            raise Damaged
        return found

    def schema(self) -> Json:
        return {
            "type": "string",
            **({"minLength": self.least} if self.least else {}),
            "maxLength": self.most,
            **({"pattern": f"^{self.pattern}$"} if self.pattern else {}),
            **({"not": {"const": self.reserved}} if self.reserved else {}),
        }


@dataclass(frozen=True, slots=True)
class Name(Text):
    """Text as it is in its column, which is a part of the primary key."""

    def stored(self, value: str) -> str:
        return value

    def read(self, stored: object) -> str:
        if not isinstance(stored, str):
            raise Damaged
        return intern(stored)  # thousands of webhooks have the id "default"


@dataclass(frozen=True, slots=True)
class Url(Text):
    """A URL, as it is in its column; it may have credentials."""

    confidential: ClassVar[bool] = True

    def stored(self, value: str) -> str:
        return value

    def read(self, stored: object) -> str:
        return text(stored)

    def masked(self, value: str) -> str:
        return without_credentials(value)

    def masks_left(self, plain: object) -> Iterator[tuple[str, str]]:
        if isinstance(plain, str) and f"//{MASK}@" in plain:
            yield "", "has only the mask that answers show for its credentials: give them"


@dataclass(frozen=True, slots=True)
class Pem(Text):
    """Text in PEM form, which the command line reads from a file; empty text is none."""

    from_file: ClassVar[bool] = True

    def placeholder(self) -> str:
        return "FILE"

    def value(self, plain: str) -> str | None:
        return plain or None


@dataclass(frozen=True, slots=True)
class Authorities(Pem):
    """Certificates alone: shown as they are, but never quoted, in case somebody puts a key there."""

    confidential: ClassVar[bool] = True

    def masked(self, value: str) -> str:
        return value


@dataclass(frozen=True, slots=True)
class OptionalUrl(Url):
    """A URL or None; '' is None, too."""

    def checked(self, text: str) -> str:
        return Url.checked(self, text) if text else text

    def value(self, plain: str) -> str | None:
        return plain or None
