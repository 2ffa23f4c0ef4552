"""Checks which events a webhook's owner chose: `ignore`, `only_chats`, `except_chats`, `message_types`, `filter`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from worker.domain.choosing.document import Group, read_filter
from worker.domain.choosing.jid import canonical_jid
from worker.domain.choosing.problem import MOST_PROBLEMS, Problem, in_json

IGNORABLE = ("groups", "status", "channels", "broadcasts", "from_me")

MOST_CHATS = 1000
MOST_TYPES = 100

_PHONE = re.compile(r"[0-9]{5,20}", re.ASCII).fullmatch
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}").fullmatch


@dataclass(frozen=True, slots=True)
class Choices:
    """What must hold of an event, canonical: JIDs without device, phone numbers in digits. Empty: no such choice."""

    ignore: tuple[str, ...] = ()
    only_chats: frozenset[str] = frozenset()
    except_chats: frozenset[str] = frozenset()
    message_types: frozenset[str] = frozenset()
    filter: Group | None = None

    def any_made(self) -> bool:
        has_terms = self.filter is not None and bool(self.filter.items)
        return bool(self.ignore or self.only_chats or self.except_chats or self.message_types or has_terms)


NONE_MADE = Choices()


def read_choices(values: Mapping[str, object]) -> tuple[Choices | None, list[Problem]]:
    """The choices among a webhook's fields (others are left alone); None with every problem. null: not chosen."""
    problems: list[Problem] = []

    def listed(field: str, most: int, takes: str, read: Callable[[object], str | None]) -> list[str]:
        found, wrong = _listed(values.get(field), field, most, takes, read)
        problems.extend(wrong)
        return found

    ignore = listed("ignore", len(IGNORABLE), f"one of {', '.join(IGNORABLE)}", _ignorable)
    only = listed("only_chats", MOST_CHATS, _CHAT, chat_name)
    excepted = listed("except_chats", MOST_CHATS, _CHAT, chat_name)
    types = listed("message_types", MOST_TYPES, "a message type such as imageMessage", type_name)
    group = None
    if values.get("filter") is not None:
        group, wrong = read_filter(values["filter"])
        problems.extend(wrong)
    if problems:
        return None, problems[:MOST_PROBLEMS]
    ordered = tuple(name for name in IGNORABLE if name in ignore)
    return Choices(ordered, frozenset(only), frozenset(excepted), frozenset(types), group), []


def _listed(
    value: object, place: str, most: int, takes: str, read: Callable[[object], str | None]
) -> tuple[list[str], list[Problem]]:
    if value is None:
        return [], []
    if not isinstance(value, list | tuple):
        return [], [Problem(place, f"a list, not {in_json(value)}")]
    if len(value) > most:
        return [], [Problem(place, f"at most {most} entries, not {len(value)}")]
    found = [read(item) for item in value]
    wrong = [
        Problem(f"{place}[{at}]", f"{takes}, not {in_json(item)}")
        for at, (item, good) in enumerate(zip(value, found, strict=True))
        if good is None
    ]
    return [item for item in found if item is not None], wrong


_CHAT = "a JID (5511999999999@s.whatsapp.net, 1203630@g.us) or a phone number in digits"


def _ignorable(value: object) -> str | None:
    return value if isinstance(value, str) and value in IGNORABLE else None


def chat_name(value: object) -> str | None:
    """A chat as it is compared: a canonical JID, or a phone number; None: it is neither."""
    if isinstance(value, str) and _PHONE(value):
        return value
    return canonical_jid(value)


def type_name(value: object) -> str | None:
    """A message type; None: it cannot be one."""
    return value if isinstance(value, str) and _TYPE(value) else None
