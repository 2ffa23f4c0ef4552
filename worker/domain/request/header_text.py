"""The headers of a request, as the text that is sent."""

from collections.abc import Iterator, Mapping


class HeaderText(Mapping[str, str]):
    """Headers in one text: `name: value` and CRLF each (RFC 9112, 5). A mapping for whoever asks for one of them.

    A POST makes no dict of ten entries, to join it again: that is 20,000 instructions. Whoever makes one has seen to it
    that no name and no value ends a line. `plain`: none is `Host` or `Authorization`, so that others may be put before
    it and after it without a look inside.
    """

    __slots__ = ("_headers", "plain", "text")

    def __init__(self, text: str, *, plain: bool) -> None:
        self.text = text
        self.plain = plain
        self._headers: dict[str, str] | None = None

    def __getitem__(self, name: str) -> str:
        return self._mapping[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._mapping)

    def __len__(self) -> int:
        return len(self._mapping)

    @property
    def _mapping(self) -> dict[str, str]:
        if self._headers is None:
            lines = (line.partition(": ") for line in self.text.split("\r\n")[:-1])
            self._headers = {name: value for name, _, value in lines}
        return self._headers


def lines_of(headers: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


NOT_PLAIN = frozenset({"host", "authorization"})


def is_plain(headers: Mapping[str, str]) -> bool:
    return NOT_PLAIN.isdisjoint(map(str.lower, headers))
