"""People who click through the console while deliveries run: each looks at a page, reads for a moment, goes on."""

import http.cookiejar
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from tests.proof.bench.ledger import LedgerError

KEY = "bench-key"
PAGES = ("", "/webhooks", "/webhook?instance=bench-1&id=default", "/deliveries", "/dead", "/deliveries?outcome=Retried")
READS_SECONDS = 0.5


class Visitor:
    """One of them, with cookies of their own. `times` has the seconds that each page took."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.times: list[float] = []
        self.problem: Exception | None = None
        self._opener.open(f"{url}/login", urllib.parse.urlencode({"key": KEY}).encode(), timeout=20).close()

    def start(self) -> None:
        self._thread.start()

    def leave(self) -> None:
        self._gone.set()
        self._thread.join()

    def _look(self) -> None:
        try:
            while True:
                for page in PAGES:
                    if self._gone.wait(READS_SECONDS):
                        return
                    began = time.monotonic()
                    self._opener.open(self._url + page, timeout=20).read()
                    self.times.append(time.monotonic() - began)
        except OSError as error:
            self.problem = error


@contextmanager
def visitors(url: str, count: int) -> Iterator[None]:
    """Raises LedgerError if one of them did not see what they came for."""
    people = [Visitor(url) for _ in range(count)]
    for one in people:
        one.start()
    try:
        yield
    finally:
        for one in people:
            one.leave()
    wrong = [str(one.problem or "no page") for one in people if one.problem or not one.times]
    if wrong:
        raise LedgerError(f"the console was not looked at: {'; '.join(wrong)}")
