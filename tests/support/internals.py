"""What the worker relies on in a library's inside, as a table whose rows are found or named."""

import inspect
from collections.abc import Iterable
from typing import Any, NamedTuple


class Internal(NamedTuple):
    """An attribute of `owner`; of a function also its parameters that we give."""

    owner: Any
    name: str
    parameters: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{getattr(self.owner, '__name__', self.owner)}.{self.name}"


def problem_with(internal: Internal) -> str | None:
    """What is wrong, in a sentence that names it; None: it is where we look for it."""
    if not hasattr(internal.owner, internal.name):
        return f"{internal} is gone"
    if not internal.parameters:
        return None
    parameters = inspect.signature(getattr(internal.owner, internal.name)).parameters
    absent = [name for name in internal.parameters if name not in parameters]
    if absent:
        return f"{internal} has no parameter {', '.join(absent)}: {', '.join(parameters)}"
    required = [n for n, p in parameters.items() if p.default is p.empty and p.kind < p.VAR_POSITIONAL and n != "self"]
    unknown = [name for name in required if name not in internal.parameters]
    return f"{internal} wants {', '.join(unknown)} as well" if unknown else None


def gone_from(owner: Any, names: Iterable[str]) -> list[str]:
    """Those attributes of an object that it has not, as `<type>.<name> is gone`."""
    return [f"{type(owner).__name__}.{name} is gone" for name in names if not hasattr(owner, name)]
