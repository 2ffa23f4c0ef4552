"""People who click through the console while deliveries run: each looks at a page, reads it, goes on from there."""

import http.cookiejar
import multiprocessing
import random
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Self

from tests.proof.bench.ledger import LedgerError

KEY = "bench-key"
READS_SECONDS = (1.0, 4.0)
"""For how long somebody reads a page, at least and at most."""

PATIENCE_SECONDS = 20.0

_LINK = re.compile(r'href="/console(/(?:delivery|replay)\?id=[^"]+)"')
_TOKEN = re.compile(r'name="form_token" value="([0-9a-f]+)"')
_ERROR = re.compile(r'<h1 id="answer">(.*?)</section>', re.DOTALL)
_BUSY = "Examining"


class Visitor:
    """Somebody who is logged in. Each page that is not answered as it should be raises LedgerError with its words."""

    def __init__(self, url: str, instance: str) -> None:
        self._url, self._instance = url, instance
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        self._seen = self._call("/login", {"key": KEY})

    def walk(self) -> Sequence[Callable[[], None]]:
        """Every kind of page once, in an order that makes sense to somebody who looks for a lost event."""
        of = urllib.parse.urlencode({"instance": self._instance})
        return [
            *(lambda page=page: self.look(page) for page in ("", "/webhooks", f"/webhook?{of}&id=default")),
            lambda: self.look("/deliveries"),
            self.follow,
            lambda: self.look(f"/deliveries?{of}&outcome=Delivered&since=1h"),
            lambda: self.look("/deliveries?chat=5511000000042"),
            self.follow,
            lambda: self.look("/dead"),
            lambda: self.look("/dead?reason=rejected"),
            lambda: self.look("/replays"),
            self.follow,
            lambda: self.look("/doctor"),
            self.examine,
        ]

    def look(self, page: str) -> None:
        self._seen = self._call(page)

    def follow(self) -> None:
        """The first delivery or replay of the page that they see; without one, they look at the page again."""
        found = _LINK.search(self._seen)
        self._seen = self._call(found[1].replace("&amp;", "&") if found else "/deliveries")

    def examine(self) -> None:
        self._seen = self._call("/doctor", {"form_token": self._token()})

    def count_a_replay(self) -> None:
        """Of seconds that are hardly over: there is a job to look at."""
        asked = {"instance": self._instance, "webhook": "default", "since": "10s", "until": "9s", "do": "count"}
        self.look("/replays")
        self._seen = self._call("/replays", {**asked, "form_token": self._token()})

    def wait_until_examined(self) -> None:
        """Nothing of theirs runs on."""
        deadline = time.monotonic() + 60
        while _BUSY in self._call("/doctor"):
            if time.monotonic() > deadline:
                raise LedgerError("the examination does not end")
            time.sleep(0.1)

    def _token(self) -> str:
        found = _TOKEN.search(self._seen)
        if found is None:
            raise LedgerError("a page of somebody who is logged in has no form")
        return found[1]

    def _call(self, page: str, form: dict[str, str] | None = None) -> str:
        data = None if form is None else urllib.parse.urlencode(form).encode()
        try:
            with self._opener.open(self._url + page, data, timeout=PATIENCE_SECONDS) as answer:
                text: str = answer.read().decode()
        except urllib.error.HTTPError as error:
            said = _ERROR.search(error.read().decode())
            words = " ".join(re.sub(r"<[^>]*>", " ", said[1]).split()) if said else ""
            raise LedgerError(f"{page or '/'} was answered {error.code}: {words}") from None
        except OSError as error:
            raise LedgerError(f"{page or '/'} was not answered: {error}") from None
        return text


class Walk:
    """One of them, walking in a thread from `start` to `leave`. `times`: seconds that each page took."""

    def __init__(self, visitor: Visitor, seed: int) -> None:
        self.visitor, self._chance, self._next = visitor, random.Random(seed), seed * 5
        self.times: list[float] = []
        self.problem: LedgerError | None = None

    def start(self) -> None:
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._walk, daemon=True)
        self._thread.start()

    def leave(self) -> None:
        self._gone.set()
        self._thread.join()

    def _walk(self) -> None:
        steps = self.visitor.walk()
        try:
            while not self._gone.wait(self._chance.uniform(*READS_SECONDS)):
                began = time.monotonic()
                steps[self._next % len(steps)]()
                self._next += 1
                self.times.append(time.monotonic() - began)
        except LedgerError as error:
            self.problem = error


class People:
    """They live in a process of their own: in the publisher's it would wait for its interpreter while they read, and
    each event be late by that. Each has seen every kind of page before `walking`: what is made and imported only once
    is there. They begin at different pages, and each goes on where they left. LedgerError for what one did not see."""

    def __init__(self, url: str, instances: Sequence[str]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_live, args=(theirs, url, instances), daemon=True)
        self.times: list[float] = []
        """Seconds that each page took."""

    def __enter__(self) -> Self:
        self._process.start()
        self._told()
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.send(False)
        self._process.join(PATIENCE_SECONDS)

    @contextmanager
    def walking(self) -> Iterator[None]:
        self._pipe.send(True)
        try:
            yield
        finally:
            self._pipe.send(True)
            self._told()

    def _told(self) -> None:
        times, problem = self._pipe.recv()
        self.times += times
        if problem is not None:
            raise LedgerError(f"the console was not looked at: {problem}")


def _live(pipe: Connection, url: str, instances: Sequence[str]) -> None:
    """Walks from one word to the next, until False is heard; after each turn tells what it was like."""
    try:
        people = [Visitor(url, instance) for instance in instances]
        people[0].count_a_replay()
        for step in people[0].walk():
            step()
        people[0].wait_until_examined()
    except LedgerError as error:
        pipe.send(((), str(error)))
        return
    pipe.send(((), None))
    walks = [Walk(person, number) for number, person in enumerate(people)]
    while pipe.recv():
        for walk in walks:
            walk.start()
        pipe.recv()
        for walk in walks:
            walk.leave()
        wrong = [str(walk.problem) for walk in walks if walk.problem]
        if not wrong:
            people[0].wait_until_examined()
        pipe.send(([took for walk in walks for took in walk.times], "; ".join(wrong) or None))
        for walk in walks:
            walk.times.clear()
