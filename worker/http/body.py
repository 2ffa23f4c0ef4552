"""Request bodies that do not hold the event loop."""

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesPayload, Payload

PIECE_BYTES = 128 * 1024


def payload_of(body: bytes) -> Payload:
    """The body as the HTTP client should get it: in pieces when it is large.

    A payload already, because aiohttp's search for the right kind of one costs 2 us.
    """
    return BytesPayload(body) if len(body) <= PIECE_BYTES else _Pieces(body)


class _Pieces(Payload):
    """Written piece by piece, so that others get the loop while the socket is slow to take it.

    aiohttp writes (and warns of) bytes over 1 MiB in one go.
    """

    _value: bytes
    _autoclose = True

    def __init__(self, body: bytes) -> None:
        super().__init__(body, content_type="application/json")
        self._size = len(body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._value.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        view = memoryview(self._value)[:content_length]
        for start in range(0, len(view), PIECE_BYTES):
            await writer.write(view[start : start + PIECE_BYTES])
