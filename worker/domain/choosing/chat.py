"""The one chat and the one participant of an event, whichever of their names WhatsApp used.

A private chat comes under its phone number (`@s.whatsapp.net`) or under an id that hides it (`@lid`). The phone
number's name is canonical where the event tells it beside the other; else the `@lid` one stands. Source: Evolution API
1.8 to 2.4 (Baileys 6.7 and 7), Evolution Go 0.7 (whatsmeow).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from worker.domain.choosing.jid import canonical_jid, is_hidden, is_person, kind_of

Path = tuple[str, ...]
Read = Callable[[Path], object]
"""The value at a path of the event, from its top; anything but a string where there is none."""


DATA: Path = ("data",)


class Chat(NamedTuple):
    """`jid`: the canonical name. `other`: the name under which the event had it, if another (LID)."""

    jid: str
    other: str | None = None


NOT_ONE = Chat("")
"""Of an event about several chats, or about one whose name nobody here knows: it is no news of any other one's."""


def _at(*dotted: str) -> tuple[Path, ...]:
    return tuple(("data", *path.split(".")) for path in dotted)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a name may stand, and where the phone number's name when that one hides it.

    `senders`: true for the sender alone, so no name of the chat when the sender is the instance itself.
    """

    name: Path
    alternatives: tuple[Path, ...]
    senders: tuple[Path, ...] = ()

    def paths(self) -> tuple[Path, ...]:
        return (self.name, *self.alternatives, *self.senders)


def _place(name: str, alternatives: str = "", senders: str = "") -> _Place:
    return _Place(_at(name)[0], _at(*alternatives.split()), _at(*senders.split()))


_CHATS = (
    _place("key.remoteJid", "key.remoteJidAlt key.previousRemoteJid", "key.senderPn"),  # messages
    _place("remoteJid", "remoteJidAlt previousRemoteJid", "senderPn"),  # updates, deletes, chats, contacts, typebots
    _place("Info.Chat", "Info.RecipientAlt", "Info.SenderAlt"),  # Evolution Go: Message, SendMessage
    _place("Chat", "RecipientAlt", "SenderAlt"),  # Evolution Go: Receipt, ChatPresence
    _place("groupJid"),  # calls in a group
    _place("chatId", "chatIdAlt callerPn"),  # calls, labels
    _place("GroupJID"),  # Evolution Go: calls in a group
    _place("JID", "JIDAlt"),  # Evolution Go: Archive, Contact, GroupInfo, LabelAssociationChat
    _place("From", "CallCreatorAlt"),  # Evolution Go: Presence, calls
    _place("id", "phoneNumber jid pnJid"),  # presence, groups, participants, contacts, chats of old versions
    _place("ID"),  # Evolution Go: newsletters
    _Place(DATA, ()),  # arrays of names: chats.delete
)

_PARTICIPANTS = (
    _place("key.participant", "key.participantAlt key.participantPn"),
    _place("participant", "participantAlt participantPn"),
    _place("Info.Sender", "Info.SenderAlt"),
    _place("Sender", "SenderAlt SenderPN"),
    _place("from", "fromAlt callerPn"),
    _place("CallCreator", "CallCreatorAlt"),
)

_FROM_ME = _at("key.fromMe", "fromMe", "Info.IsFromMe", "IsFromMe")

CHAT_PATHS: tuple[Path, ...] = tuple(path for place in _CHATS for path in place.paths()) + _FROM_ME
"""What chat_of and from_me read of an event; wherever `data` is an array, of one of its elements."""


def from_me(read: Read) -> bool:
    """The instance itself sent it."""
    return any(read(path) is True for path in _FROM_ME)


def chat_of(read: Read) -> Chat | None:
    """The chat that an event, or one element of its `data`, is about; None for one that is about none."""
    for place in _CHATS:
        jid = canonical_jid(read(place.name))
        if jid is not None:
            return _named(jid, place, read)
    return None


def names_unknown(read: Read) -> bool:
    """Whether an event without a chat has one all the same, by a name that is none of those known here."""
    return any(type(name) is str and "@" in name for name in (read(place.name) for place in _CHATS))


def _named(jid: str, place: _Place, read: Read) -> Chat:
    if not is_hidden(jid):
        return Chat(jid)
    senders = () if not place.senders or from_me(read) else place.senders
    for path in (*place.alternatives, *senders):
        shown = canonical_jid(read(path))
        if shown is not None and is_person(shown):
            return Chat(shown, jid)
    return Chat(jid)


def participant_of(data: object) -> str | None:
    """Who acted in a group, status or broadcast: one element of `data`, decoded. None in a private chat.

    Of several participants (`group-participants.update` with two numbers) there is no one to name.
    """
    read = reader(data)
    chat = chat_of(read)
    if chat is None or kind_of(chat.jid) is None or not isinstance(data, Mapping):
        return None
    for place in _PARTICIPANTS:
        jid = canonical_jid(read(place.name))
        if jid is not None:
            return _named(jid, place, read).jid
    return _only_one(data.get("participants")) or _only_one(data.get("presences"))


def _only_one(members: Any) -> str | None:
    if not isinstance(members, list | dict) or len(members) != 1:
        return None
    member = next(iter(members))
    if isinstance(member, dict):
        member = member.get("phoneNumber") if is_hidden(str(member.get("id"))) else member.get("id")
    return canonical_jid(member)


def reader(data: object) -> Read:
    """Reads a decoded `data` (or one element of it) as chat_of wants it."""

    def read(path: Path) -> object:
        value: object = data
        for key in path[1:]:
            if not isinstance(value, Mapping):
                return None
            value = value.get(key)
        return value

    return read
