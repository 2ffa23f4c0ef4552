"""The pydantic type of each kind of value: it accepts plain forms, strictly, and words the problems."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    create_model,
)

from worker.domain.choosing.problem import Problem
from worker.webhooks import checks, declaration
from worker.webhooks.compounds import Headers, Rate, Words
from worker.webhooks.documents import Filter, Seconds
from worker.webhooks.kind import Kind, ProblemsWithin
from worker.webhooks.scalars import Check, Choice, Flag, Text, Whole
from worker.webhooks.signing import Secrets

STRICT = ConfigDict(extra="forbid", strict=True)

PLAIN, EXPIRING = "plain", "expiring"
"""How pydantic's errors name the two forms of a secret in their path."""


def problems_within(error: Any) -> Sequence[Problem]:
    """Of one of pydantic's errors; () if it is about the whole field."""
    cause = error.get("ctx", {}).get("error")
    return cause.problems if isinstance(cause, ProblemsWithin) else ()


def model(fields: tuple[declaration.Field, ...]) -> type[BaseModel]:
    """The model of a whole webhook. What is left out, or null, is None where that is not refused."""
    types: dict[str, Any] = {field.name: _type_and_default(field) for field in fields}
    return create_model("Fields", __config__=STRICT, **types)


def _type_and_default(field: declaration.Field) -> tuple[Any, Any]:
    accepted = accepted_type(field.kind)
    default = ... if field.required else None if field.nullable else field.default
    return (accepted | None if field.nullable else accepted), default


def accepted_type(kind: Kind) -> Any:
    """What a kind's plain form must be."""
    match kind:
        case Flag():
            return bool
        case Whole(least, most):
            return Annotated[int, Field(ge=least, le=most)]
        case Choice(words):
            return Literal[words]
        case Text(most, _, least):
            pattern = f"^{kind.pattern}$" if kind.pattern else None
            limits = Field(min_length=least or None, max_length=most, pattern=pattern)
            return Annotated[str, limits, AfterValidator(kind.checked)]
        case Words(most, check):
            return Annotated[list[Annotated[str, AfterValidator(_word(check))]], Field(max_length=most)]
        case Headers(most):
            return Annotated[_HEADERS, Field(max_length=most), AfterValidator(checks.headers)]
        case Secrets(most):
            return Annotated[list[_SECRET], Field(max_length=most), AfterValidator(_newest_stays)]
        case Rate():
            return _rate(kind)
        case Filter() | Seconds():
            return Annotated[Any, BeforeValidator(partial(_document, kind))]
    raise TypeError(f"{type(kind).__name__} has no pydantic type here")


def _document(kind: Filter | Seconds, given: object) -> object:
    """A plain form whose problems have places of their own within the field."""
    if isinstance(kind, Filter) and isinstance(given, str):  # TOML has no null, an environment no objects
        given = kind.typed(given)
    problems = [] if given is None else kind.problems(given)
    if problems:
        raise ProblemsWithin(problems)
    return given


def _word(check: Check) -> Callable[[str, ValidationInfo], str]:
    """`check`, but for the words that the validation's context lets pass as they are."""

    def checked(word: str, info: ValidationInfo) -> str:
        return checks.name(word) if word in (info.context or ()) else check(word)

    return checked


_HEADERS = dict[str, Annotated[str, AfterValidator(checks.storable_text)]]


class _Expiring(BaseModel):
    """The older of two secrets, and when it stops signing (Unix seconds)."""

    model_config = STRICT

    secret: Annotated[str, AfterValidator(checks.secret)]
    until: int = Field(ge=0, le=2**40)


def _form(given: object) -> str:
    return EXPIRING if isinstance(given, dict | _Expiring) else PLAIN


_SECRET = Annotated[
    Annotated[str, AfterValidator(checks.secret), Tag(PLAIN)] | Annotated[_Expiring, Tag(EXPIRING)],
    Discriminator(_form),
]


def _newest_stays(secrets: list[str | _Expiring]) -> list[str | _Expiring]:
    if secrets and isinstance(secrets[0], _Expiring):
        raise ValueError("only the second can have an end")
    return secrets


def _rate(kind: Rate) -> Any:
    return create_model(
        "RateFields",
        __config__=STRICT,
        per_second=(float, Field(gt=0, le=kind.per_second, allow_inf_nan=False)),
        burst=(int, Field(default=1, ge=1, le=kind.burst)),
    )
