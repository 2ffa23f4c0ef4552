"""A webhook's signing secrets: plain, or the older of two with the end of its time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from worker.webhooks.kind import Json, Kind, json_text, parsed, texts

Signing = tuple[tuple[str, ...], int | None]
"""Signing secrets, newest first, and the Unix second at which the last of several ends (None: it does not)."""


@dataclass(frozen=True, slots=True)
class Secrets(Kind):
    """At most `most` signing secrets; the older one may have an end, so that its value is a Signing."""

    most: int

    def plain(self, value: Signing) -> list[object]:
        return _with_end(value, lambda secret, until: {"secret": secret, "until": until})

    def value(self, plain: Sequence[Any]) -> Signing:
        ends = (item["until"] for item in plain if not isinstance(item, str))
        return tuple(item if isinstance(item, str) else item["secret"] for item in plain), next(ends, None)

    def stored(self, value: Signing) -> str:
        return json_text(_with_end(value, lambda secret, until: [secret, until]))

    def read(self, stored: object) -> Signing:
        match parsed(stored):
            case [str() as new, [str() as old, int() as until]]:
                return (new, old), until
            case found:
                return tuple(texts(found)), None

    def typed(self, given: str) -> list[str]:
        return [given] if given else []

    def masked(self, value: Signing) -> int:
        return len(value[0])

    def unmasked(self, plain: Any, before: Signing) -> Any:  # noqa: ARG002 - Kind's signature
        return plain  # what is shown is a count, which no request takes

    def schema(self) -> Json:
        one = {"type": "string", "pattern": "^(generate|whsec_[A-Za-z0-9+/]+=*)$"}
        return {"anyOf": [one, {"type": "array", "items": one, "maxItems": self.most}]}

    def shown_schema(self) -> Json:
        return {"type": "integer", "description": "how many signing secrets are valid"}


def _with_end(value: Signing, pair: Callable[[str, int], object]) -> list[object]:
    """The secrets; the last of several, where it has an end, as `pair` writes it."""
    secrets, until = value
    if len(secrets) < 2 or until is None:
        return list(secrets)
    return [*secrets[:-1], pair(secrets[-1], until)]
