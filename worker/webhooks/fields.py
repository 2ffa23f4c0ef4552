"""A webhook from its fields as people write them, checked: every problem at once, each with field and remedy.

Kept apart from request dialects: a dialect maps its own spelling onto the declared names and calls `webhook_from`.
"""

import base64
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from worker.basics.depth import is_deeper
from worker.domain.choosing.document import TOP_KEYS, filter_in, unknown_tops
from worker.domain.choosing.message_types import nearest_type
from worker.domain.choosing.problem import MOST_PROBLEMS, in_json
from worker.domain.request.own_headers import NOT_OVERRIDABLE
from worker.domain.webhook import UNORDERED, Webhook
from worker.webhooks.accepted import EXPIRING, PLAIN, model, problems_within
from worker.webhooks.certificates import end_of
from worker.webhooks.declaration import BY_NAME, CONTENT, FIELDS, Field
from worker.webhooks.scalars import Text


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field (`events[0]`): value, if it may be shown, and what is allowed."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class InvalidWebhook(ValueError):
    """`problems`: all of them, in the order of the fields. No text holds a secret, header value or URL."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


GENERATE = "generate"
"""In the place of a secret: the worker makes one and shows it once."""

_MODEL = model(FIELDS)


def webhook_from(fields: Mapping[str, object], words: Collection[str] = ()) -> Webhook:
    """`instance`, `url` and any others of the declared fields -> a webhook. Raises InvalidWebhook.

    `words`: events that are taken although no Evolution known here has them, because they are stored already or come
    from an Evolution that does.
    """
    try:
        checked = _MODEL.model_validate(dict(fields), context=words).model_dump()
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise InvalidWebhook(tuple(problem for each in found for problem in _problems(each))) from None
    attributes: dict[str, Any] = {}
    for field in FIELDS:
        plain = checked[field.name]
        if plain is not None:  # else the default stands
            attributes |= field.attributes(field.kind.value(plain))
    return Webhook(**attributes)


def set_from(
    fields: Mapping[str, object],
    existing: Webhook | None,
    now: float,
    words: Collection[str] = (),
    *,
    orders: bool = False,
) -> Webhook:
    """As `webhook_from`, of a webhook that somebody sets at `now` (Unix time) in the place of `existing`.

    What was stored passes though its time is over: a change of another field must not fail of it. `orders`: whether
    the workers deliver in order (ORDER).
    """
    webhook = webhook_from(fields, frozenset(words) | (existing.events if existing else frozenset()))
    webhook = _in_order(webhook, existing, int(now * 1000), orders=orders)
    given = webhook.client_certificate
    if given is not None and not (existing and existing.client_certificate == given):
        end = end_of(given)
        if end.timestamp() <= now:
            raise InvalidWebhook((Problem("client_certificate", f"has expired on {end:%Y-%m-%d}"),))
    return _since(webhook, existing, int(now * 1000))


def _since(webhook: Webhook, existing: Webhook | None, now: int) -> Webhook:
    """A webhook that is paused stays so, and keeps since when it is disabled."""
    paused = existing.paused_at if existing else None
    resumed = existing.resumed_at if existing else None
    if webhook.enabled:
        return replace(webhook, paused_at=paused, resumed_at=resumed)
    disabled = existing.disabled_at if existing and not existing.enabled else now
    return replace(webhook, paused_at=paused, resumed_at=resumed, disabled_at=disabled)


def _in_order(webhook: Webhook, existing: Webhook | None, now: int, *, orders: bool) -> Webhook:
    """Another `order` of a webhook that is there is a switch in steps (ordered/switching.py). Raises InvalidWebhook."""
    if existing is None:
        if webhook.order != UNORDERED and not orders:
            raise _order_refused(_NEEDS_ORDER)
        return webhook
    under_way = existing.order_next
    if under_way is not None:
        if webhook.order not in (existing.order, under_way):
            raise _order_refused(f"is being switched to {under_way!r}: try again when this has ended")
        return replace(webhook, order=existing.order, order_next=under_way, order_switch_at=existing.order_switch_at)
    if webhook.order == existing.order:
        return webhook
    if not orders:
        raise _order_refused(_NEEDS_ORDER)
    if existing.paused_at is not None:
        raise _order_refused("cannot be changed while the webhook is paused: resume it first")
    return replace(webhook, order=existing.order, order_next=webhook.order, order_switch_at=now)


_NEEDS_ORDER = "needs workers that deliver in order: set ORDER=true there and here"


def _order_refused(message: str) -> InvalidWebhook:
    return InvalidWebhook((Problem("order", message),))


def fields_of(webhook: Webhook) -> dict[str, object]:
    """The fields of a webhook in plain form, as `webhook_from` accepts them; no instance, id or disabled reason."""
    return {field.name: field.plain_in(webhook) for field in CONTENT}


def new_secret(random_bytes: Callable[[int], bytes]) -> str:
    """A signing secret of 32 bytes."""
    return "whsec_" + base64.b64encode(random_bytes(32)).decode()


def warnings(webhook: Webhook) -> tuple[str, ...]:
    """What is accepted, but does not do what its writer may expect."""
    ignored = sorted(name for name, _ in webhook.headers if name.lower() in NOT_OVERRIDABLE - {"jwt_key"})
    found = [f"header {name!r} is set by the worker itself and not taken from the webhook" for name in ignored]
    if webhook.base64:
        found.append(
            "webhook_base64 is stored only: Evolution embeds media while its own webhook of the instance is "
            "enabled with base64"
        )
    if webhook.order_next is not None:
        found.append(
            f"order: is being switched to {webhook.order_next!r}, which takes some minutes from the instance's next "
            "event on; until then each event is sent twice, with the same webhook-id"
        )
    found += [f"message_types: {text}" for text in type_warnings(webhook.message_types)]
    return (*found, *(f"filter: {text}" for text in filter_warnings(webhook.filter)))


def type_warnings(names: Iterable[str]) -> tuple[str, ...]:
    """Message types that resemble a known one and are none."""
    slips = [(name, near) for name in sorted(names) if (near := nearest_type(name)) is not None]
    return tuple(f"{in_json(name)} is no message type known here: is {near} meant?" for name, near in slips)


def filter_warnings(text: str | None) -> tuple[str, ...]:
    """A stored filter's paths that lead nowhere in any event known here."""
    tops = [] if text is None else unknown_tops(filter_in(text))
    return tuple(
        f"no event known here has {in_json(top)} at its top, so it is taken as absent; there are {', '.join(TOP_KEYS)}"
        for top in tops[:MOST_PROBLEMS]
    )


def _problems(error: Any) -> list[Problem]:
    within = [Problem(problem.place, problem.message) for problem in problems_within(error)]
    return within or [_problem(error)]


def _problem(error: Any) -> Problem:
    path = [part for part in error["loc"] if part not in (PLAIN, EXPIRING)]
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    field = BY_NAME.get(error["loc"][0]) if error["loc"] else None
    message = _WORDS.get(error["type"]) or _of_text(error, field) or error["msg"].removeprefix("Value error, ")
    if field is not None and not field.hidden and error["type"] not in (*_WORDS, "too_long"):
        value = _quoted(error["input"])
        message = f"{value} {message}" if error["type"] == "value_error" else f"{message}, not {value}"
    return Problem(name.removesuffix(".[key]"), message)


def _quoted(value: object) -> str:
    if is_deeper(value):  # JSON is parsed to a depth that repr, called further down, may not follow
        return "what is nested so deeply"
    text = repr(value)
    return _AS_JSON.get(text, text[:100])


def _of_text(error: Any, field: Field | None) -> str | None:
    """What is wrong with a text, in plain words; None: it is something else."""
    match error["type"], field.kind if field else None:
        case "string_too_long", _:
            return f"must have at most {error['ctx']['max_length']} characters"
        case "string_pattern_mismatch", Text(made_of=made_of) if made_of:
            return f"may have {made_of} alone"
    return None


_WORDS = {
    "missing": "is required",
    "extra_forbidden": "is not a field of a webhook",
    "string_too_short": "must not be empty",
}
_AS_JSON = {"None": "null", "True": "true", "False": "false"}
