"""All choices of an instance's webhooks, compiled together: an event is decoded once for all of them."""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from worker.domain.choosing.chat import CHAT_PATHS, NOT_ONE, Chat, Path
from worker.domain.choosing.chat_clauses import ChatReader, choice_clauses, choice_paths
from worker.domain.choosing.choices import Choices
from worker.domain.choosing.compiled import Clause, TooMuch, allow_words, clauses, spend
from worker.domain.choosing.document import paths_of
from worker.domain.choosing.shape import Fields, Shape, TooDeep, View

Key = TypeVar("Key", bound=Hashable)


class Plan(Generic[Key]):
    """Made when the cache takes an instance's webhooks in; 0.2 to 2 ms. `Key` names a webhook.

    It holds nothing of an event and may be used from several threads, each with a View of its own.
    """

    def __init__(self, shape: Shape, requirements: Mapping[Key, tuple[Clause, ...]]) -> None:
        self._shape = shape
        self._requirements = requirements

    def judges(self, key: Key) -> bool:
        """Whether this webhook chose anything."""
        return key in self._requirements

    def read(self, fields: Fields) -> View | None:
        """Decodes what the choices ask for, once an event; None for an event that no decoder reads."""
        try:
            return self._shape.read(fields)
        except TooDeep:
            return None

    def refuse(self, keys: Iterable[Key], fields: Fields, refused: dict[Key, Clause]) -> None:
        """Puts each of these webhooks that does not hear the event into `refused`, with the clause. Never raises."""
        view: View | None = None
        for key in keys:
            requirements = self._requirements.get(key)
            if requirements is None:
                continue
            view = view or self.read(fields)
            if view is None:
                return
            try:
                clause = self._failing(requirements, view)
            except TooMuch:
                continue
            if clause is not None:
                refused[key] = clause

    def refusal(self, key: Key, view: View | None) -> Clause | None:
        """The clause by which this webhook does not hear the event; None: it passes. Never raises.

        An event that cannot be decided in its time passes: it is better to deliver one too many than to lose one.
        """
        requirements = self._requirements.get(key)
        if not requirements or view is None:
            return None
        try:
            return self._failing(requirements, view)
        except TooMuch:
            return None

    def undecided(self, key: Key, view: View | None) -> str | None:
        """Why an event passes without having been judged; None: it is judged."""
        if view is None:
            return "it is nested too deeply"
        try:
            self._failing(self._requirements.get(key, ()), view)
        except TooMuch:
            return "its arrays have too many elements"
        return None

    def _failing(self, requirements: tuple[Clause, ...], view: View) -> Clause | None:
        """Raises TooMuch."""
        view.looks = 0
        if type(view.data) is list and view.data:
            return self._failing_all(requirements, view, view.data)
        for clause in requirements:  # as _first_failing, without the call
            if not clause.holds(view):
                return clause
        return None

    def explain(self, key: Key, view: View | None) -> str | None:
        """As refusal, in words: `filter.data.key.fromMe: true is not false`. A microsecond or two more."""
        clause = self.refusal(key, view)
        if clause is None or view is None:
            return None
        allow_words(view)
        return clause.told(view)

    def _failing_all(self, requirements: tuple[Clause, ...], view: View, elements: list[object]) -> Clause | None:
        """Each element on its own, as though it were `data`; the event passes whole if one of them does.

        When none does, the clause is the one that the first element fails, and the view points at that.
        """
        looks = sum(clause.looks for clause in requirements)
        for element in elements:
            spend(view, looks)
            self._shape.point(view, element)
            if _first_failing(requirements, view) is None:
                return None
        view.looks = 0
        self._shape.point(view, elements[0])
        return _first_failing(requirements, view)


def _first_failing(requirements: tuple[Clause, ...], view: View) -> Clause | None:
    for clause in requirements:
        if not clause.holds(view):
            return clause
    return None


def plan_for(choices: Mapping[Key, Choices]) -> Plan[Key] | None:
    """One plan for an instance's webhooks; None when none of them has chosen anything: nothing is decoded then."""
    made = {key: chosen for key, chosen in choices.items() if chosen.any_made()}
    if not made:
        return None
    shape = _shape(frozenset(path for chosen in made.values() for path in _paths(chosen)))
    return Plan(shape, {key: tuple(_requirements(chosen, shape)) for key, chosen in made.items()})


_shapes: WeakValueDictionary[frozenset[Path], Shape] = WeakValueDictionary()
"""By what they decode: 90 KB for the chats alone, which thousands of instances ask for, each in its own way."""


def _shape(paths: frozenset[Path]) -> Shape:
    shape = _shapes.get(paths)
    if shape is None:
        shape = _shapes[paths] = Shape(sorted(paths))
    return shape


def _paths(choices: Choices) -> Iterator[Path]:
    yield from choice_paths(choices)
    if choices.filter is not None:
        yield from paths_of(choices.filter)


def _requirements(choices: Choices, shape: Shape) -> Iterator[Clause]:
    yield from choice_clauses(choices, shape)
    if choices.filter is not None:
        yield from clauses(choices.filter, shape)


class ChatOfEvent:
    """The canonical chat of whole events, for what goes by chat without having chosen anything (latest, order)."""

    def __init__(self) -> None:
        self._shape = Shape(CHAT_PATHS)
        self._reader = ChatReader(self._shape)

    def __call__(self, fields: Fields) -> Chat | None:
        """None also for an event about several chats (an array with two). Never raises."""
        chat = self.one(fields)
        return None if chat is NOT_ONE else chat

    def one(self, fields: Fields) -> Chat | None:
        """None for an event about no chat; NOT_ONE for one about several (an array with two), about one by an unknown
        name, or for one that no decoder reads. Never raises."""
        try:
            view = self._shape.read(fields)
        except TooDeep:
            return NOT_ONE
        if type(view.data) is not list:
            return self._reader.one_chat(view)
        return self._chat_of_all(view, view.data)

    def _chat_of_all(self, view: View, elements: list[object]) -> Chat | None:
        only: Chat | None = None
        for element in elements:
            self._shape.point(view, element)
            chat = self._reader.one_chat(view)
            if chat is None or (only is not None and chat.jid != only.jid):
                return NOT_ONE
            only = chat
        return only
