"""Evolution's three request shapes, mapped onto the fields of a webhook; nothing is checked here but the shape.

1.x: flat, `webhook_by_events`. 2.0: flat, `webhookByEvents`. 2.1+: nested in `webhook`, `byEvents`.
Source: Evolution API 1.8 (`webhook.schema.ts`), 2.0 and 2.3 (`webhook.schema.ts`, `webhook.controller.ts`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum
from typing import Any

from worker.domain.webhook import DEFAULT_ID
from worker.webhooks import declaration
from worker.webhooks.declaration import ADDRESS, BY_NAME, RESPELLED
from worker.webhooks.fields import Problem


class Style(Enum):
    """How the answer to a set looks."""

    V1 = "1.x"
    V2 = "2.x"


FIELDS = {field.requested: field.spellings for field in declaration.FIELDS}
"""A field's name in requests, and all its spellings: each is taken in each shape."""

READ_ONLY = frozenset(
    {"createdAt", "updatedAt", "instanceId", "disabled_reason", "disabled_at", "paused_at", "warnings"}
    | {"order_next", "order_switch_at"}
)
"""What answers hold beside those: so that what `find` answered can be sent back."""

_NAMED = {spelling: name for name, spellings in FIELDS.items() for spelling in spellings}
_SNAKE = {spelling.v1 for spelling in RESPELLED.values()}
_CAMEL = {"instanceId"} | {
    name for spelling in RESPELLED.values() for name in (spelling.v20, spelling.v21) if not name.islower()
}


@dataclass(slots=True)
class Asked:
    """A request's fields by our names, only those given, and how the caller spelled each (`webhook.byEvents`)."""

    style: Style
    nested: bool
    whole: bool = False
    """Every field is given as it is to be: no habit of Evolution's is added."""
    values: dict[str, Any] = field(default_factory=dict)
    spelled: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def called(self, our_field: str) -> str:
        """`events[0]` or `secrets[1]`, as the model names it, in the caller's spelling."""
        match = re.match(r"\w+", our_field)
        root = match.group() if match else ""
        rest, field = our_field[len(root) :], BY_NAME.get(root)
        root = field.requested if field else root
        prefix = "webhook." if self.nested and root not in ADDRESS else ""
        return self.spelled.get(root, prefix + root) + rest

    def take(self, spelling: str, path: str, value: Any) -> None:
        name = _NAMED[spelling]
        if name in self.values and self.values[name] != value:
            self.problems.append(Problem(path, f"contradicts {self.spelled[name]}: give one of the two"))
        self.values.setdefault(name, value)
        self.spelled.setdefault(name, path)


def understood(body: Mapping[str, Any], instance: str | None = None, webhook_id: str | None = None) -> Asked:
    """What a request asks for. `instance` (of the path) and `webhook_id` (of the query) win: a body may only agree."""
    inner = body.get("webhook")
    nested = "webhook" in body
    asked = Asked(_style(body, nested), nested)
    for name, value, place in (("instance", instance, "the path"), ("id", webhook_id, "the query")):
        if value is not None:
            asked.values[name], asked.spelled[name] = value, place
    if not nested:
        _take_all(asked, body, "")
    elif isinstance(inner, dict):
        _take_beside(asked, {key: value for key, value in body.items() if key != "webhook"})
        _take_all(asked, inner, "webhook.")
    else:
        asked.problems.append(Problem("webhook", "must be an object with the webhook's fields"))
    asked.values.setdefault("id", DEFAULT_ID)
    return asked


def _style(body: Mapping[str, Any], nested: bool) -> Style:
    camel = bool(_CAMEL & body.keys()) and not _SNAKE & body.keys()
    return Style.V2 if nested or camel else Style.V1


def _take_all(asked: Asked, fields: Mapping[str, Any], prefix: str) -> None:
    for key, value in fields.items():
        if key in _NAMED:
            asked.take(key, prefix + key, value)
        elif key == "secrets":
            if type(value) is not int:  # the count that answers show
                asked.problems.append(Problem(prefix + key, "cannot be set: give `secret`"))
        elif key not in READ_ONLY:
            _unknown(asked, key, prefix)


def _take_beside(asked: Asked, fields: Mapping[str, Any]) -> None:
    for key, value in fields.items():
        if _NAMED.get(key) in ADDRESS:
            asked.take(key, key, value)
        elif key in _NAMED:
            asked.problems.append(Problem(key, "belongs into `webhook`"))
        elif key not in READ_ONLY:
            _unknown(asked, key, "")


def _unknown(asked: Asked, key: str, prefix: str) -> None:
    """Evolution ignores what it does not know; a slip in a name that it does know must not pass silently."""
    near = get_close_matches(_plain(key), {_plain(name) for name in _NAMES}, n=1, cutoff=0.8)
    path = prefix + (key if key.isidentifier() and key.isascii() else repr(key))[:100]
    if near:
        same = [name for name in _NAMES if _plain(name) == near[0]]
        nearest = get_close_matches(key[:100], same, n=1, cutoff=0.0)[0]
        asked.problems.append(Problem(path, f"is not a field; the nearest is {nearest}"))
    else:
        asked.warnings.append(f"{path} is not a field of a webhook and was ignored")


def _plain(key: str) -> str:
    return key[:100].lower().replace("_", "").replace("-", "")


_NAMES = (*_NAMED, "webhook")
