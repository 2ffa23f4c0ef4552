"""Deliveries that are like one before: recognised by comparing, which takes half of what reading takes."""

import struct
from collections.abc import Mapping
from typing import Protocol

from worker.broker.properties import NO_HEADERS

FRAME_END = 0xCE


class Take(Protocol):
    """Takes one message. Called in the order of arrival, from within the event loop's read; never raises."""

    def __call__(
        self,
        body: bytes,
        headers: Mapping[str, object],
        message_id: str | None,
        exchange: str,
        routing_key: str,
        tag: int,
        redelivered: bool,
        /,
    ) -> None: ...


class Alike:
    """What deliveries to one consumer have in common that have the same names and properties: all but four numbers.

    Comparing takes 13,000 instructions where reading takes 24,000.
    """

    __slots__ = ("_before", "_between", "_exchange", "_names", "_numbers", "_routing_key", "_size", "_tail", "_take")

    def __init__(
        self,
        take: Take,
        exchange: str,
        routing_key: str,
        data: bytes,
        at: int,
        after_tag: int,
        header: int,
        body: int,
    ) -> None:
        """Of the delivery whose frames begin `at`, its delivery tag at `after_tag`, its `header`, its `body`."""
        self._take = take
        self._exchange = exchange
        self._routing_key = routing_key
        self._before = data[at + 7 : after_tag]
        self._names = after_tag + 9 - at
        self._between = data[after_tag + 9 : header + 11]
        self._tail = data[header + 19 : body - 4]
        numbers = struct.Struct(f">{after_tag - at}xQB{len(self._between)}xQ{len(self._tail)}xI")
        self._numbers = numbers.unpack_from  # delivery tag, redelivered, size of the body, size of its frame
        self._size = numbers.size

    def cut(self, data: bytes, at: int) -> int:
        """As `Cutter._like_one_before`."""
        begin = at + self._size
        if begin >= len(data):
            return 0
        tag, redelivered, length, size = self._numbers(data, at)
        end: int = begin + size
        names = at + self._names
        if (
            end < len(data)
            and length == size
            and data[end] == FRAME_END
            and data.startswith(self._before, at + 7)
            and data.startswith(self._between, names)
            and data.startswith(self._tail, begin - 4 - len(self._tail))
        ):
            self._take(data[begin:end], NO_HEADERS, None, self._exchange, self._routing_key, tag, redelivered & 1 == 1)
            return end + 1
        return 0
