"""The signature of a request (Standard Webhooks 1.0)."""

import base64
from binascii import b2a_base64
from functools import lru_cache

from worker.domain.request.hmac_key import HmacKey
from worker.domain.request.not_sendable import BadHeaders

MOST_KEPT = 16_384
"""Secrets that are kept decoded and hashed."""


def signature(secrets: tuple[str, ...], message_id: str, timestamp: str, content: bytes) -> str:
    """Standard Webhooks 1.0: `v1,<base64 HMAC-SHA256 of id.timestamp.body>`, one for each secret."""
    prefix = f"{message_id}.{timestamp}.".encode()
    return " ".join([f"v1,{_base64(_signing_key(secret).digest(prefix, content))}" for secret in secrets])


@lru_cache(maxsize=MOST_KEPT)
def _signing_key(secret: str) -> HmacKey:
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
