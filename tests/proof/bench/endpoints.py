"""Receivers in processes of their own (`tests.proof.bench.receiver`), and events that say when they were sent."""

import json
import time
import urllib.error
import urllib.request
from typing import Self

from tests.proof.bench.rig import SERVERS_CORE, Process, python
from tests.support.local_process import free_port

BODY_BYTES = 800
"""Of every event: so bytes that are held tell how many messages are."""

_HEAD = b'{"event":"messages.upsert","instance":"bench-%03d","data":{"sent":%.6f,"text":"'
_TAIL = b'"},"server_url":"https://evo.example","date_time":"2026-11-22T08:37:36.202Z","apikey":"T"}'

Noted = list[tuple[float, float]]
"""(sent, arrived) of POSTs in order of arrival: seconds of the monotonic clock, which all processes share."""


class Endpoints(Process):
    """One receiver process."""

    def __init__(self) -> None:
        self._port = free_port()
        super().__init__(python("-m", "tests.proof.bench.receiver", str(self._port)), core=SERVERS_CORE)

    def __enter__(self) -> Self:
        while True:
            try:
                self.count()
            except urllib.error.URLError:
                self.check_running()
                time.sleep(0.02)
            else:
                return self

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._port}{path}"

    def count(self) -> int:
        """POSTs noted since the last `noted`."""
        return int(self._get("/count"))

    def noted(self) -> Noted:
        """POSTs since the last call."""
        return [(sent, arrived) for sent, arrived in json.loads(self._get("/noted"))]

    def wait(self, count: int, limit: float) -> bool:
        """Until so many are noted; False after `limit` seconds without."""
        deadline = time.monotonic() + limit
        while self.count() < count:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url(path), timeout=30) as answer:
            content: bytes = answer.read()
        return content


def name(number: int) -> str:
    """The instance behind an endpoint."""
    return f"bench-{number:03d}"


def stamped(number: int) -> bytes:
    """An event of the instance `name(number)`, sent now."""
    head = _HEAD % (number, time.monotonic())
    return head + b"x" * (BODY_BYTES - len(head) - len(_TAIL)) + _TAIL
