"""A receiver that notes which event came where and when; a process of its own, on the servers' core.

`POST /ok/<endpoint>` answers 200 at once, `/wait-<ms>/<endpoint>` later, `/broken/<endpoint>` 500, `/hang/<endpoint>`
never. Of those that get a 200 it notes `"number":<n>` and `"sent":<seconds>` of the body, the endpoint, and the time
of arrival: seconds of the monotonic clock, which all processes share. `GET /count` says how many it has noted and how
many of them have a number from SECOND_SERIES on; `GET /noted` gives and forgets them.

Usage: python -m tests.proof.bench.noting PORT
"""

from __future__ import annotations  # array[float] is for 3.12 to evaluate

import asyncio
import gc
import sys
import time
from array import array
from typing import ClassVar

import uvloop

from tests.proof.bench.small_http import BROKEN, HEAD, OK, SmallHttp, serve

SECOND_SERIES = 10_000_000


class Noting(SmallHttp):
    noted: ClassVar[array[float]] = array("d")
    """Number, endpoint, sent, arrived; number, endpoint, ..."""

    second_series: ClassVar[list[int]] = [0]

    def answer(self, method: bytes, path: bytes, body: bytes) -> None:
        _, behaviour, *endpoint = path.split(b"/")
        if behaviour == b"ok":
            self._note(endpoint[0], body)
            self._transport.write(OK)
        elif behaviour.startswith(b"wait-"):
            self._note(endpoint[0], body)
            asyncio.get_running_loop().call_later(int(behaviour[5:]) / 1000, self._transport.write, OK)
        elif behaviour == b"broken":
            self._transport.write(BROKEN)
        elif behaviour == b"count":
            counts = b"%d %d" % (len(self.noted) // 4, self.second_series[0])
            self._transport.write(HEAD % len(counts) + counts)
        elif behaviour == b"noted":
            content = self.noted.tobytes()
            del self.noted[:]
            self.second_series[0] = 0
            self._transport.write(HEAD % len(content) + content)

    def _note(self, endpoint: bytes, body: bytes) -> None:
        number = body.partition(b'"number":')[2].partition(b",")[0]
        sent = body.partition(b'"sent":')[2].partition(b",")[0]
        self.second_series[0] += int(number) >= SECOND_SERIES
        self.noted.extend((float(number), float(endpoint), float(sent), time.monotonic()))


async def main(port: int) -> None:
    gc.freeze()
    await serve(Noting, port)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
