"""An answer's body, read whole and within a bound."""

from collections.abc import AsyncIterable


async def gathered(parts: AsyncIterable[bytes], most: int) -> bytes:
    """All parts as one. Raises ValueError as soon as there are more than `most` bytes (whole MiB)."""
    body = bytearray()
    async for part in parts:
        body += part
        if len(body) > most:
            raise ValueError(f"an answer of more than {most // 1024**2} MiB is not read")
    return bytes(body)
