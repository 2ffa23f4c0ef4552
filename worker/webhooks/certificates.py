"""Certificates in PEM form (RFC 7468): what a webhook's must be, and when they end.

`cryptography` is imported with the first certificate only.
"""

import re
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate

_KEY = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)


def client_certificate(text: str) -> str:
    """A chain, the client's own certificate first, and its private key, in either order; "" is none.

    Raises ValueError, which quotes nothing of it.
    """
    if not text.strip():
        return ""
    own, *_ = _certificates(text)
    key = _private_key(text)
    if key.public_key() != own.public_key():
        raise ValueError("has a private key that is not that of its first certificate")
    return text


def authorities(text: str) -> str:
    """Certificates of authorities; "" is none. Raises ValueError, which quotes nothing of it."""
    if not text.strip():
        return ""
    if "PRIVATE KEY" in text:
        raise ValueError("holds a private key, which has no place there")
    _certificates(text)
    return text


def end_of(client_certificate: str) -> datetime:
    """The earliest end of the chain's certificates. Raises ValueError."""
    return min(certificate.not_valid_after_utc for certificate in _certificates(client_certificate))


def _certificates(text: str) -> "list[Certificate]":
    from cryptography.x509 import load_pem_x509_certificates  # noqa: PLC0415 - heavy, and few webhooks need it

    if not text.isascii():
        raise ValueError("holds a character outside ASCII, which PEM has none of")
    try:
        return load_pem_x509_certificates(text.encode())
    except ValueError:
        raise ValueError("holds no certificate in PEM form (BEGIN CERTIFICATE), or a damaged one") from None


def _private_key(text: str) -> "PrivateKeyTypes":
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    block = _KEY.search(text)
    if block is None:
        raise ValueError("holds no private key in PEM form (BEGIN PRIVATE KEY)")
    try:
        return load_pem_private_key(block[0].encode(), None)
    except TypeError:
        raise ValueError("has an encrypted private key: give it without a passphrase (openssl pkey)") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("has a damaged private key, or one of an unknown kind") from None
