"""Evolution Go's events: their names, the categories in which its users choose them, and the queues they come by.

Source: Evolution Go 0.6.1 to 0.7.1 (its RabbitMQ producer and its page of events). Its events are told from Evolution
API's by their envelope (event.py), never by their name.
"""

import msgspec

CATEGORIES: dict[str, tuple[str, ...]] = {
    "MESSAGE": ("Message",),
    "SEND_MESSAGE": ("SendMessage",),
    "READ_RECEIPT": ("Receipt",),
    "PRESENCE": ("Presence",),
    "HISTORY_SYNC": ("HistorySync", "OfflineSyncCompleted"),
    "CHAT_PRESENCE": ("ChatPresence", "Archive"),
    "CALL": ("CallOffer", "CallAccept", "CallTerminate", "CallOfferNotice", "CallRelayLatency"),
    "CONNECTION": ("Connected", "Disconnected", "LoggedOut", "PairSuccess", "TemporaryBan", "ConnectFailure"),
    "LABEL": ("LabelEdit", "LabelAssociationChat", "LabelAssociationMessage"),
    "CONTACT": ("Contact", "PushName"),
    "GROUP": ("GroupInfo", "JoinedGroup"),
    "NEWSLETTER": ("NewsletterJoin", "NewsletterLeave"),
    "QRCODE": ("QRCode", "QRTimeout", "QRSuccess"),
}
"""Category -> the names on the wire. The category ALL means every event, those that come in later versions too."""

ALL = "ALL"

CHAT_CATEGORIES = {"@g.us": "GROUP", "@newsletter": "NEWSLETTER"}
"""End of a chat's JID -> the category that also gets its Message, SendMessage and Receipt (Evolution Go 0.7.0)."""

OF_A_CHAT = frozenset({"MESSAGE", "SEND_MESSAGE", "RECEIPT"})
"""Kinds to which CHAT_CATEGORIES applies."""


def _spaced(name: str) -> str:
    """`CallOfferNotice` -> `CALL_OFFER_NOTICE`. QR stays one word; its first event is called like its category."""
    if name == "QRCode":
        return "QRCODE"
    head, tail = ("QR", name[2:]) if name.startswith("QR") else (name[0], name[1:])
    spaced = "".join(f"_{char}" if char.isupper() else char for char in tail)
    return f"{head}{spaced}".upper()


WIRE_NAMES: dict[str, str] = {_spaced(name): name for names in CATEGORIES.values() for name in names}
"""Canonical name (`CALL_OFFER`) -> the string that Evolution Go puts into `event` (`CallOffer`)."""

KINDS = frozenset(WIRE_NAMES)

SPELLINGS: dict[str, str] = {name.upper(): kind for kind, name in WIRE_NAMES.items()}
"""Upper-case name on the wire, or of its queue, -> canonical name: `CALLOFFER` -> `CALL_OFFER`."""

CATEGORY_OF: dict[str, str] = {_spaced(name): category for category, names in CATEGORIES.items() for name in names}
"""Canonical name -> category."""


MOST_INSTANCES = 32
"""Whose own queues one worker reads: each has up to 31, and each that is missing costs a channel to look for."""


def queue_of(kind: str) -> str:
    """The global queue of one of KINDS; an instance's own is `<instance's uuid>.<this>`. Raises KeyError."""
    return WIRE_NAMES[kind].lower()


def categories(kind: str, data: bytes) -> frozenset[str]:
    """The categories of an event of this canonical name; `data` is its JSON text. A newer event has none."""
    found = {CATEGORY_OF[kind]} if kind in CATEGORY_OF else set()
    if kind in OF_A_CHAT:
        chat = _chat(data)
        found |= {category for end, category in CHAT_CATEGORIES.items() if chat.endswith(end)}
    return frozenset(found)


class _Source(msgspec.Struct):
    chat: str = msgspec.field(default="", name="Chat")


class _Chatted(msgspec.Struct):
    """Where Evolution Go names the chat: `data.Info.Chat` of a message, `data.Chat` of a receipt (whatsmeow)."""

    info: _Source = msgspec.field(default_factory=_Source, name="Info")
    chat: str = msgspec.field(default="", name="Chat")


_chatted = msgspec.json.Decoder(_Chatted).decode


def _chat(data: bytes) -> str:
    """The chat's JID; empty where there is none, or `data` is no such object: then its category alone counts."""
    try:
        found = _chatted(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return found.info.chat or found.chat
