"""The signature of a request (Standard Webhooks 1.0)."""

import base64
from binascii import b2a_base64
from collections.abc import Iterable
from typing import Protocol

from worker.domain.request.hmac_key import HmacKey
from worker.domain.request.not_sendable import BadHeaders


class Key(Protocol):
    """What signs: an HmacKey, or what stands in the place of a secret that cannot be one."""

    def digest(self, prefix: bytes, content: bytes, /) -> bytes:
        """The MAC of `prefix` and `content`, 32 bytes. Raises BadHeaders."""
        ...


def signature(keys: Iterable[Key], message_id: str, timestamp: str, content: bytes) -> str:
    """Standard Webhooks 1.0: `v1,<base64 HMAC-SHA256 of id.timestamp.body>`, one for each key. Raises BadHeaders."""
    prefix = f"{message_id}.{timestamp}.".encode()
    return " ".join([f"v1,{_base64(key.digest(prefix, content))}" for key in keys])


def signing_key(secret: str) -> HmacKey:
    """Raises BadHeaders."""
    return HmacKey(secret_key(secret))


def _base64(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).decode()


def secret_key(secret: str) -> bytes:
    """The key of a `whsec_<base64>` secret. Raises BadHeaders."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise BadHeaders("a signing secret must be whsec_ followed by base64")
    return key
