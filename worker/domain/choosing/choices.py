"""Which events a webhook's owner chose: `ignore`, `only_chats`, `except_chats`, `message_types`, `filter`."""

import re
from dataclasses import dataclass

from worker.domain.choosing.document import Group
from worker.domain.choosing.jid import canonical_jid

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


def chat_name(value: object) -> str | None:
    """A chat as it is compared: a canonical JID, or a phone number; None: it is neither."""
    if isinstance(value, str) and _PHONE(value):
        return value
    return canonical_jid(value)


def type_name(value: object) -> str | None:
    """A message type; None: it cannot be one."""
    return value if isinstance(value, str) and _TYPE(value) else None
