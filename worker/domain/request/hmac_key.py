"""HMAC-SHA256 (RFC 2104) with the key's part of it done once."""

from hashlib import sha256

_BLOCK_BYTES = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


class HmacKey:
    """A key, with its two blocks hashed: what `hmac.digest` does anew for every message, half of the time it takes.

    `hmac.new(key).copy()` would do the same through objects that cost more than they save.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        if len(key) > _BLOCK_BYTES:
            key = sha256(key).digest()
        block = key.ljust(_BLOCK_BYTES, b"\0")
        self._inner = sha256(block.translate(_INNER))
        self._outer = sha256(block.translate(_OUTER))

    def digest(self, prefix: bytes, content: bytes) -> bytes:
        """Of `prefix` and `content`, which are not joined for it."""
        inner = self._inner.copy()
        inner.update(prefix)
        inner.update(content)  # releases the interpreter lock when it is long
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()
