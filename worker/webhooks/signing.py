"""A webhook's signing secrets as people write them: plain, or the older of two with the end of its time."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag

from worker.domain.request import secret_key
from worker.domain.webhook import Webhook

SECRET_BYTES = range(24, 65)
"""Standard Webhooks 1.0: a symmetric secret has 24 to 64 bytes."""


def _secret(secret: str) -> str:
    if not secret.startswith("whsec_") or not _decodes(secret):
        raise ValueError("must be whsec_ followed by the base64 of 24 to 64 bytes")
    return secret


def _decodes(secret: str) -> bool:
    try:
        return len(secret_key(secret)) in SECRET_BYTES
    except ValueError:
        return False


class SecretFields(BaseModel):
    """The older of two secrets, and when it stops signing (Unix seconds)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    secret: Annotated[str, AfterValidator(_secret)]
    until: int = Field(ge=0, le=2**40)


def _kind_of_secret(given: object) -> str:
    return "expiring" if isinstance(given, dict) else "plain"


SecretEntry = Annotated[
    Annotated[str, AfterValidator(_secret), Tag("plain")] | Annotated[SecretFields, Tag("expiring")],
    Discriminator(_kind_of_secret),
]


def secret_entries(webhook: Webhook) -> list[object]:
    """The old one with its expiry, where it has one."""
    *others, last = webhook.secrets or ("",)
    if webhook.old_secret_until is None or not others:
        return list(webhook.secrets)
    return [*others, {"secret": last, "until": webhook.old_secret_until}]


def value_of(given: str | SecretFields) -> str:
    return given if isinstance(given, str) else given.secret
