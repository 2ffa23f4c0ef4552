"""WEBHOOK_GLOBAL_<FIELD>: readers of what the global webhook chooses, by the declaration of a webhook's fields."""

from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter, ValidationError

from worker.webhooks.accepted import accepted_type, problems_within
from worker.webhooks.declaration import BY_NAME
from worker.webhooks.kind import ProblemsWithin


def chosen(name: str) -> Callable[[object], Any]:
    """Reader of a field's value, in text as the command line takes it; lists also as arrays. Empty: nothing chosen."""
    field, nothing = BY_NAME[name], nothing_chosen(name)
    adapter: TypeAdapter[Any] = TypeAdapter(accepted_type(field.kind))

    def read(given: object) -> Any:
        if given == nothing or given in ("", [], {}):
            return nothing
        typed: Any = [given] if field.kind.repeats else given
        try:
            plain = field.kind.typed(typed) if isinstance(given, str) else given
            return field.kind.value(adapter.validate_python(plain, strict=True))
        except ValidationError as error:
            raise ValueError(_problem(name, error)) from None
        except ProblemsWithin as error:
            raise ValueError(f"put right: {error.problems[0]}") from None
        except ValueError as error:
            raise ValueError(f"put right: {name}: {error}") from None

    return read


def nothing_chosen(name: str) -> Any:
    """The setting's default: that of any webhook, and empty text where that is None."""
    default = BY_NAME[name].default
    return "" if default is None else default


def _problem(name: str, error: ValidationError) -> str:
    """The first, with its place: `put right: filter.data.n.$gt: a number or a string, not null`."""
    found = error.errors(include_url=False)[0]
    within = problems_within(found)
    if within:
        return f"put right: {within[0]}"
    place = "".join(f"[{part}]" for part in found["loc"] if isinstance(part, int))
    return f"put right: {name}{place}: {found['input']!r:.100} {found['msg'].removeprefix('Value error, '):.150}"
