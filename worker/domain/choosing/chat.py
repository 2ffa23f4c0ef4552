"""The one chat and the one participant of an event, whichever of their names WhatsApp used.

A private chat comes under its phone number (`@s.whatsapp.net`) or under an id that hides it (`@lid`). The phone
number's name is canonical where the event tells it, in front or beside the other; else the `@lid` one stands. Source:
Evolution API 1.8 to 2.4 (Baileys 6.7 and 7), Evolution Go 0.7 (whatsmeow).
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
    """`jid`: the canonical name. `other`: its LID, where the event tells both."""

    jid: str
    other: str | None = None


NOT_ONE = Chat("")
"""Of an event about several chats, or about one whose name nobody here knows: it is no news of any other one's."""


def _at(*dotted: str) -> tuple[Path, ...]:
    return tuple(("data", *path.split(".")) for path in dotted)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a name may stand, and where the same one's other name: the phone number's, or the one that hides it.

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
    _place("key.remoteJid", "key.remoteJidAlt key.previousRemoteJid", "key.senderPn key.senderLid"),  # messages
    # updates, deletes, chats, contacts, typebots
    _place("remoteJid", "remoteJidAlt previousRemoteJid", "senderPn senderLid"),
    _place("Info.Chat", "Info.RecipientAlt", "Info.SenderAlt"),  # Evolution Go: Message, SendMessage
    _place("Chat", "RecipientAlt", "SenderAlt"),  # Evolution Go: Receipt, ChatPresence
    _place("groupJid"),  # calls in a group
    _place("chatId", "chatIdAlt callerPn"),  # calls, labels
    _place("GroupJID"),  # Evolution Go: calls in a group
    _place("JID", "JIDAlt"),  # Evolution Go: Archive, Contact, GroupInfo, LabelAssociationChat
    _place("From", "CallCreatorAlt"),  # Evolution Go: Presence, calls
    _place("id", "phoneNumber jid pnJid lid lidJid"),  # presence, groups, participants, contacts, chats of old versions
    _place("ID"),  # Evolution Go: newsletters
    _place("from", "fromAlt callerPn"),  # calls that name the caller alone
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
    """The instance itself sent it: the first of the places that says true or false."""
    return next((mine for mine in map(read, _FROM_ME) if isinstance(mine, bool)), False)


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
    if is_person(jid):
        return Chat(jid, _beside(place, read, is_hidden))
    shown = _beside(place, read, is_person) if is_hidden(jid) else None
    return Chat(jid) if shown is None else Chat(shown, jid)


def _beside(place: _Place, read: Read, wanted: Callable[[str], bool]) -> str | None:
    """The other name of a private chat or a participant, where the event tells it."""
    for path in (*place.alternatives, *place.senders):
        jid = canonical_jid(read(path))
        if jid is not None and wanted(jid):
            return None if path in place.senders and from_me(read) else jid
    return None


def lid_in_front(read: Read) -> str | None:
    """The LID beside the phone number of a chat that stands where messages have it."""
    return _beside(_CHATS[0], read, is_hidden)


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
        names = [jid for key in _MEMBERS_NAMES if (jid := canonical_jid(member.get(key))) is not None]
        return next(filter(is_person, names), names[0] if names else None)
    return canonical_jid(member)


_MEMBERS_NAMES = ("id", "phoneNumber", "jid", "lid")


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
