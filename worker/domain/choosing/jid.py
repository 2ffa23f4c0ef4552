"""WhatsApp addresses (JIDs): `user@server`, in the one spelling that can be compared.

Source: Baileys 6.7 and 7 (`WABinary/jid-utils`), whatsmeow (`types/jid.go`).
"""

import re
from functools import lru_cache

LONGEST = 128
"""Characters; WhatsApp's own stay below 50."""

PERSON, HIDDEN = "s.whatsapp.net", "lid"
"""Servers of a private chat: by phone number, and by an id that hides the number (LID)."""

STATUS = "status@broadcast"

_SERVERS = {
    PERSON: PERSON,
    "c.us": PERSON,  # WhatsApp Web's older name of the same address
    "hosted": PERSON,  # a business number served by Meta's cloud
    HIDDEN: HIDDEN,
    "hosted.lid": HIDDEN,
    "g.us": "g.us",
    "newsletter": "newsletter",
    "broadcast": "broadcast",
    "call": "call",
    "bot": "bot",
    "msgr": "msgr",
    "interop": "interop",
}
"""Every server -> the one that its addresses are compared by."""

_SHAPE = re.compile(r"([0-9A-Za-z_+-]{1,64})(?:\.[0-9]{1,5})?(?::[0-9]{1,5})?@([a-z.]{1,32})").fullmatch
"""User, then the agent and the device that whatsmeow and Baileys may add (`5511.0:12@s.whatsapp.net`)."""


def canonical_jid(value: object) -> str | None:
    """The address without agent and device, on its canonical server; None when it is no JID.

    `5511:12@s.whatsapp.net` and `5511@c.us` -> `5511@s.whatsapp.net`.
    """
    if type(value) is not str or len(value) > LONGEST:
        return None
    return _canonical(value)


@lru_cache(maxsize=4096)
def _canonical(text: str) -> str | None:
    found = _SHAPE(text)
    server = _SERVERS.get(found[2]) if found else None
    return f"{found[1]}@{server}" if found and server else None


def user_of(jid: str) -> str:
    """`5511@s.whatsapp.net` -> `5511`."""
    return jid.partition("@")[0]


def is_hidden(jid: str) -> bool:
    """The address hides the phone number (LID)."""
    return jid.endswith("@lid")


def is_person(jid: str) -> bool:
    return jid.endswith("@s.whatsapp.net")


def kind_of(jid: str) -> str | None:
    """`groups`, `status`, `channels` or `broadcasts`; None for a private chat."""
    if jid == STATUS:
        return "status"
    return _KINDS.get(jid.partition("@")[2])


_KINDS = {"g.us": "groups", "newsletter": "channels", "broadcast": "broadcasts"}


def addresses_of(user: str) -> tuple[str, ...]:
    """Every canonical address with this user part: `5511` -> `5511@s.whatsapp.net`, `5511@lid`, and so on."""
    return tuple(f"{user}@{server}" for server in dict.fromkeys(_SERVERS.values()))


def addresses_meant(chat: str) -> tuple[str, ...]:
    """What a person means who names a chat: a number, every kind of its addresses; else its canonical address."""
    return addresses_of(chat) if chat.isascii() and chat.isdigit() else (canonical_jid(chat) or chat,)
