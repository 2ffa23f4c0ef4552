"""Questions to the history as people write them: the filters of the command line and of the API, read and checked."""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from worker.basics.moments import moment_or_age
from worker.domain.choosing.jid import canonical_jid
from worker.domain.choosing.problem import is_text
from worker.domain.history import REPLAYED
from worker.domain.names import canonical
from worker.domain.outcome import REASONS
from worker.history.filters import FILTERS, LONGEST
from worker.history.store import LARGEST_PAGE, Cursor, Question

PAGE = 100
OUTCOMES = tuple(outcome.__name__ for outcome in REASONS)
REASON_NAMES = tuple(sorted({REPLAYED, *(reason.value for reasons in REASONS.values() for reason in reasons)}))


class BadFilter(ValueError):
    """`problems`: by the filter's name, what is wrong with it."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name} {problem}" for name, problem in problems.items()))
        self.problems = problems


def question(given: Mapping[str, str], owner: str | None, now: float) -> Question:
    """Of the filters in FILTERS, as text. `owner`: the instance that asks, None: the operator. Raises BadFilter."""
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name, text in given.items():
        try:
            values[name] = _READERS[name](name, text, now) if name in FILTERS else _unknown(FILTERS)
        except ValueError as error:
            problems[name] = str(error)
    if not problems and (values.get("since") or 0) > (values.get("until") or values.get("since") or 0):
        problems["since"] = "must be before until"
    if problems:
        raise BadFilter(problems)
    return Question(owner=owner, **values)


def limit(text: str | None) -> int:
    """Raises BadFilter."""
    if text is None:
        return PAGE
    if re.fullmatch(r"[1-9][0-9]{0,2}", text) and int(text) <= LARGEST_PAGE:
        return int(text)
    raise BadFilter({"limit": f"must be a whole number from 1 to {LARGEST_PAGE}, not {text!r:.100}"})


def written(cursor: Cursor | None) -> str | None:
    """A cursor as text, for whoever asks for the next page."""
    return None if cursor is None else base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode()


def cursor(text: str | None) -> Cursor | None:
    """What `written` wrote. It says where a page ends and nothing else: whose rows are seen is the question's. Raises
    BadFilter."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(base64.b64decode(text.encode("ascii"), b"-_", validate=True), type=Cursor)
    except (binascii.Error, UnicodeError, msgspec.MsgspecError):
        raise BadFilter({"after": "must be the `next` of the page before"}) from None


def _unknown(known: Iterable[str]) -> Any:
    raise ValueError(f"is no filter; there are {', '.join(known)}, after and limit")


def _name(name: str, text: str, _: float) -> str:
    if not text or len(text) > LONGEST[name] or "\0" in text or not is_text(text):
        raise ValueError(f"must be 1 to {LONGEST[name]} characters")
    return text


def _event(name: str, text: str, now: float) -> str:
    return canonical(_name(name, text, now))


def _chat(_: str, text: str, __: float) -> str:
    found = text.strip().removeprefix("+")
    digits = re.sub(r"[ ().-]", "", found)
    if re.fullmatch(r"[0-9]{5,20}", digits):
        return digits
    jid = canonical_jid(found)
    if jid is None:
        raise ValueError(
            f"must be a chat's address (5511999999999@s.whatsapp.net) or a phone number, not {text!r:.100}"
        )
    return jid


def _one_of(allowed: Iterable[str]) -> Callable[[str, str, float], str]:
    by_lower = {each.lower(): each for each in allowed}

    def read(_: str, text: str, __: float) -> str:
        found = by_lower.get(text.strip().lower())
        if found is None:
            raise ValueError(f"must be one of {', '.join(by_lower.values())}, not {text!r:.100}")
        return found

    return read


def _status(_: str, text: str, __: float) -> int:
    if not re.fullmatch(r"[1-9][0-9]{2}", text):
        raise ValueError(f"must be a status code of three digits, not {text!r:.100}")
    return int(text)


def _moment(_: str, text: str, now: float) -> int:
    found = moment_or_age(text, now) * 1000
    if not -(2**53) < found < 2**53:
        raise ValueError("must be a time that a clock can show")
    return int(found)


_READERS: Mapping[str, Callable[[str, str, float], Any]] = {
    "instance": _name,
    "webhook": _name,
    "event": _event,
    "chat": _chat,
    "outcome": _one_of(OUTCOMES),
    "reason": _one_of(REASON_NAMES),
    "status": _status,
    "since": _moment,
    "until": _moment,
    "id": _name,
}
