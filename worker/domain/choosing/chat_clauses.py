"""Turns the choices about chats, senders and message types into functions over what a Shape decoded."""

from collections.abc import Callable, Iterator
from functools import partial
from weakref import WeakKeyDictionary

from msgspec import Struct

from worker.domain.choosing.chat import (
    CHAT_PATHS,
    DATA,
    NOT_ONE,
    Chat,
    Path,
    chat_of,
    from_me,
    lid_in_front,
    names_unknown,
)
from worker.domain.choosing.choices import Choices
from worker.domain.choosing.compiled import Clause
from worker.domain.choosing.jid import canonical_jid, is_hidden, is_person, kind_of, user_of
from worker.domain.choosing.problem import in_json
from worker.domain.choosing.shape import Shape, View

_TYPES = (("data", "messageType"), ("data", "Info", "Type"))
_REMOTE, _MINE = ("data", "key", "remoteJid"), ("data", "key", "fromMe")


def choice_paths(choices: Choices) -> Iterator[Path]:
    """What these choices, `filter` aside, read of an event."""
    if choices.ignore or choices.only_chats or choices.except_chats:
        yield from CHAT_PATHS
    if choices.message_types:
        yield from _TYPES


def choice_clauses(choices: Choices, shape: Shape) -> Iterator[Clause]:
    """One clause for each choice but `filter`, in the order in which they are judged."""
    if choices.ignore or choices.only_chats or choices.except_chats:
        yield from _about_chats(choices, _reader(shape))
    if choices.message_types:
        yield _about_types(choices.message_types, shape)


_LOOKS = 5
"""Of a clause about chats or senders at an element of `data`: it may have to ask many paths."""


class ChatReader:
    """The canonical chat of what a View points at; its Shape must have CHAT_PATHS."""

    def __init__(self, shape: Shape) -> None:
        self._getters = {path: shape.getter(path) for path in CHAT_PATHS}
        self._remote, self._mine, self._data = (self._getters[path] for path in (_REMOTE, _MINE, DATA))

    def chat(self, view: View) -> Chat | None:
        jid = self._plain(view)
        if jid is None:
            return self._elsewhere(view)
        return Chat(jid, lid_in_front(partial(self._value, view)) if is_person(jid) else None)

    def kind(self, view: View) -> str | None:
        """As kind_of the chat; None also where there is no chat. Asked most often of all, so without a Chat."""
        jid = self._plain(view)
        if jid is None:
            chat = self._elsewhere(view)
            jid = chat.jid if chat else ""
        return kind_of(jid)

    def one_chat(self, view: View) -> Chat | None:
        """As `chat`; NOT_ONE where it is about a chat that is not known."""
        chat = self.chat(view)
        if chat is None and names_unknown(partial(self._value, view)):
            return NOT_ONE
        return chat

    def _plain(self, view: View) -> str | None:
        """Where a message has it, unless that name hides the number."""
        try:
            jid = canonical_jid(self._remote(view.top))
        except AttributeError:
            return None
        return None if jid is None or is_hidden(jid) else jid

    def _elsewhere(self, view: View) -> Chat | None:
        data = self._data(view.top)
        if type(data) is str:  # chats.delete: names alone
            return chat_of(lambda path: data if path == DATA else None)
        return chat_of(partial(self._value, view)) if isinstance(data, Struct) else None

    def from_me(self, view: View) -> bool:
        try:
            mine = self._mine(view.top)
        except AttributeError:
            mine = None
        if isinstance(mine, bool):
            return mine
        return isinstance(self._data(view.top), Struct) and from_me(partial(self._value, view))

    def _value(self, view: View, path: Path) -> object:
        try:
            return self._getters[path](view.top)
        except AttributeError:
            return None


_readers: WeakKeyDictionary[Shape, ChatReader] = WeakKeyDictionary()


def _reader(shape: Shape) -> ChatReader:
    reader = _readers.get(shape)
    if reader is None:
        reader = _readers[shape] = ChatReader(shape)
    return reader


def _about_chats(choices: Choices, reader: ChatReader) -> Iterator[Clause]:
    kinds = frozenset(choices.ignore) - {"from_me"}
    if kinds:
        yield _kinds(kinds, reader)
    if "from_me" in choices.ignore:
        yield Clause("ignore", lambda view: not reader.from_me(view), lambda _: "ignore: from_me", _LOOKS)
    if choices.only_chats:
        yield _only(choices.only_chats, reader)
    if choices.except_chats:
        yield _except(choices.except_chats, reader)


def _kinds(ignored: frozenset[str], reader: ChatReader) -> Clause:
    return Clause(
        "ignore",
        lambda view: reader.kind(view) not in ignored,
        lambda view: f"ignore: {reader.kind(view)}",
        _LOOKS,
    )


def _only(chosen: frozenset[str], reader: ChatReader) -> Clause:
    def holds(view: View) -> bool:
        chat = reader.chat(view)
        return chat is None or _is_among(chat, chosen)

    return Clause("only_chats", holds, lambda view: f"only_chats: {_name(reader, view)} is not in the list", _LOOKS)


def _except(excepted: frozenset[str], reader: ChatReader) -> Clause:
    def holds(view: View) -> bool:
        chat = reader.chat(view)
        return chat is None or not _is_among(chat, excepted)

    return Clause("except_chats", holds, lambda view: f"except_chats: {_name(reader, view)} is in the list", _LOOKS)


def _is_among(chat: Chat, listed: frozenset[str]) -> bool:
    """Under either of its names: as a JID, or the phone number as its user part."""
    if chat.jid in listed or user_of(chat.jid) in listed:
        return True
    return chat.other is not None and (chat.other in listed or user_of(chat.other) in listed)


def _name(reader: ChatReader, view: View) -> str:
    chat = reader.chat(view)
    if chat is None:
        return "no chat"
    return chat.jid if chat.other is None else f"{chat.jid} ({chat.other})"


def _about_types(chosen: frozenset[str], shape: Shape) -> Clause:
    type_of = _type_reader(shape)

    def holds(view: View) -> bool:
        found = type_of(view)
        return found is None or found in chosen

    return Clause("message_types", holds, lambda view: f"message_types: {in_json(type_of(view))} is not in the list")


def _type_reader(shape: Shape) -> Callable[[View], str | None]:
    getters = tuple(shape.getter(path) for path in _TYPES)

    def type_of(view: View) -> str | None:
        for get in getters:
            try:
                value = get(view.top)
            except AttributeError:
                continue
            if type(value) is str:
                return value
        return None

    return type_of
