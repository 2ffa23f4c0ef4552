"""A receiver that knows when each event came, and misbehaves where it is told to; a process of its own.

`POST /ok/...` answers 200 at once, `/tenth/...` after 100 ms, `/slow/...` after ten seconds, `/broken/...` 500 at
once, `/hang/...` never. Of each POST it notes the time in `"sent":<seconds>` of the body, and that of its arrival
(both of the monotonic clock, which all processes share). `GET /count` says how many are noted, `GET /noted` gives
and forgets them.

Usage: python -m tests.proof.bench.receiver PORT
"""

import asyncio
import json
import sys
import time
from typing import ClassVar

import uvloop

from tests.proof.bench.small_http import BROKEN, HEAD, OK, SmallHttp, serve

_LATER = {b"/tenth": 0.1, b"/slow": 10.0}
"""Path -> seconds until the answer."""


class Receiver(SmallHttp):
    noted: ClassVar[list[tuple[float, float]]] = []

    def answer(self, method: bytes, path: bytes, body: bytes) -> None:
        if method == b"GET":
            self._tell(path)
            return
        sent = body.partition(b'"sent":')[2].partition(b",")[0]
        self.noted.append((float(sent or 0), time.monotonic()))
        path = path[: path.find(b"/", 1)] if b"/" in path[1:] else path
        if path in _LATER:
            asyncio.get_running_loop().call_later(_LATER[path], self._write, OK)
        elif path != b"/hang":
            self._write(BROKEN if path == b"/broken" else OK)

    def _tell(self, path: bytes) -> None:
        if path == b"/noted":
            content = json.dumps(self.noted).encode()
            self.noted.clear()
        else:
            content = b"%d" % len(self.noted)
        self._write(HEAD % len(content) + content)

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


if __name__ == "__main__":
    uvloop.run(serve(Receiver, int(sys.argv[1])))
