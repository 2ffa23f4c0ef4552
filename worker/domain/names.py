"""Event names as Evolution spells them on the wire, in webhook settings, in URLs and in queue names.

Source: Evolution API 1.0.7 to 2.4.0 (`Events` enum, `EventController.events`).
"""

from functools import lru_cache
from urllib.parse import quote

from worker.domain import evolution_go

_DOTTED = (  # noqa: SIM905 - a table of words reads better than 34 lines of quotes
    "application.startup qrcode.updated connection.update "
    "messages.set messages.upsert messages.update messages.delete send.message "
    "contacts.set contacts.upsert contacts.update presence.update "
    "chats.set chats.update chats.upsert chats.delete "
    "groups.upsert groups.update group-participants.update "
    "messages.edited send.message.update labels.edit labels.association call "
    "typebot.start typebot.change-status remove.instance logout.instance "
    "instance.create instance.delete status.instance "
    "chama-ai.action messaging-history.set"
).split()

SYNONYMS = {"GROUP_UPDATE": "GROUPS_UPDATE", "NEW_JWT_TOKEN": "NEW_TOKEN", "NEW_JWT": "NEW_TOKEN"}
"""Spellings of one event: Evolution's lists say GROUP_UPDATE where its events say groups.update."""


_FOLDED = SYNONYMS | evolution_go.SPELLINGS


def canonical(name: str) -> str:
    """`messages.upsert`, `messages-upsert` or `MESSAGES_UPSERT` -> `MESSAGES_UPSERT`, `CallOffer` -> `CALL_OFFER`.

    Synonyms are folded. Evolution API and Evolution Go share SEND_MESSAGE, which means the same in both.
    """
    upper = name.replace(".", "_").replace("-", "_").upper()
    return _FOLDED.get(upper, upper)


WIRE_NAMES: dict[str, str] = {canonical(wire): wire for wire in _DOTTED} | {"NEW_TOKEN": "new.jwt"}
"""Canonical name -> the string that Evolution puts into `event` and the routing key."""

KNOWN = frozenset(WIRE_NAMES)
"""Canonical names of every event that some version of Evolution API publishes."""

COUNTED = KNOWN | evolution_go.KINDS
"""Canonical names of every event that Evolution API or Evolution Go publishes: the labels that metrics have."""

CHOOSABLE = COUNTED | {*evolution_go.CATEGORIES, evolution_go.ALL}
"""What a webhook's `events` may name: an event, or a category of Evolution Go (ALL: every event, of both)."""


@lru_cache(maxsize=1024)
def path_of(kind: str) -> str:
    """The URL segment of a canonical name: `MESSAGES_UPSERT` -> `messages-upsert`.

    An unknown name is percent-encoded, so that it can add neither a path segment nor a query.
    """
    wire = WIRE_NAMES.get(kind, kind)
    return quote(wire.replace(".", "-").replace("_", "-").lower(), safe="")


def queue_spellings(kind: str) -> frozenset[str]:
    """Every name that an Evolution version gave to the queue of one event, without its prefix.

    2.x and 1.8.2: the event (`messages.upsert`); 1.8.0-1.8.1: dashes; 2.x's init also spells the names of its
    list with dots only (`group.participants.update`). Raises KeyError for a name that is not KNOWN.
    """
    listed = [kind, *(old for old, new in SYNONYMS.items() if new == kind)]
    dotted = {WIRE_NAMES[kind], *(name.lower().replace("_", ".") for name in listed)}
    return frozenset(dotted | {name.replace(".", "-") for name in dotted})
