"""Signing secrets and header values encrypted at rest (WEBHOOK_SECRET_KEY).

Keys are 32 random bytes in base64, not passphrases: nothing has to be stretched and nothing can be guessed. The
first encrypts, all decrypt, so a key is changed by putting the new one before the old one, `webhook reencrypt`,
and then taking the old one away. `cryptography` is imported with the first sealed or opened text only.
"""

import base64
from functools import cached_property
from typing import TYPE_CHECKING

from worker.basics.importing import importing

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

MARK = "sealed:1:"
"""Before a Fernet token. JSON text, which stands there otherwise, never begins like this."""

KEY_BYTES = 32
HOW = "32 random bytes in base64 (`openssl rand -base64 32`), several separated by commas"

EMPTY = frozenset({"[]", "{}", "null"})
"""JSON text that hides nothing."""


class Unreadable(Exception):
    """No key opens it; the text says which setting to look at."""


class Sealer:
    """`keys` as the setting has them; empty: everything stays plain. Raises ValueError for what is no key."""

    def __init__(self, keys: str) -> None:
        self._keys = tuple(map(_key, filter(None, (part.strip() for part in keys.split(",")))))

    def seal(self, text: str) -> str:
        """Encrypted with the first key; without one, or with nothing to hide, as it is."""
        if not self._keys or text in EMPTY:
            return text
        return MARK + self._fernets[0].encrypt(text.encode()).decode()

    def open(self, stored: str) -> str:
        """What was sealed, or what was stored plain. Raises Unreadable."""
        if not stored.startswith(MARK):
            return stored
        if not self._keys:
            raise Unreadable("is encrypted, and WEBHOOK_SECRET_KEY is empty")
        opened = next(filter(None, (_opened(fernet, stored) for fernet in self._fernets)), None)
        if opened is None:
            raise Unreadable("is encrypted with a key that WEBHOOK_SECRET_KEY does not hold")
        return opened

    def renewed(self, stored: str) -> str | None:
        """The same content under the first key; None: it is already. Raises Unreadable."""
        if not self._keys or stored in EMPTY:
            return None
        if stored.startswith(MARK) and _opened(self._fernets[0], stored) is not None:
            return None
        return self.seal(self.open(stored))

    @cached_property
    def _fernets(self) -> "tuple[Fernet, ...]":
        with importing():
            from cryptography.fernet import Fernet  # noqa: PLC0415 - 40 ms and 5 MB that most deployments do not need

        return tuple(map(Fernet, self._keys))


def _opened(fernet: "Fernet", stored: str) -> str | None:
    from cryptography.fernet import InvalidToken  # noqa: PLC0415

    try:
        return fernet.decrypt(stored.removeprefix(MARK)).decode()
    except InvalidToken:
        return None


def _key(text: str) -> bytes:
    """Both alphabets of base64, as Fernet wants it. Raises ValueError without showing it."""
    try:
        raw = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:
        raw = b""
    if len(raw) != KEY_BYTES:
        raise ValueError(HOW)
    return base64.urlsafe_b64encode(raw)
