"""The console on real stores, over loopback: a browser without a window, and what it was shown."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.api.conftest import KEY, TOKENS, migrated, store
from tests.api.told import Told
from tests.history.fakes import row
from worker.api.auth import Authentication, Failures
from worker.api.saving import Saving
from worker.api.webhooks import WebhookApi
from worker.console.app import console
from worker.console.ports import Backlog, BrokerAway, Ended, OnLine, Parts
from worker.domain.explain import explain
from worker.domain.history import Batch, Row
from worker.history import asking
from worker.history.asking import Asking
from worker.history.store import HistoryStore
from worker.stores.history.store import history_store
from worker.webhooks.changing import leave

__all__ = ["migrated", "store"]

NOW = 1_795_867_200.0
"""2026-11-28, 12:00 UTC."""

HOSTILE = "<script>alert(1)</script>\"'&\u202eevil\u200b{{7*7}}"
"""What somebody could call an instance, or answer with."""


@dataclass
class Seen:
    """One page: its status, text and what its elements say."""

    status: int
    url: URL
    headers: Any
    text: str

    @property
    def words(self) -> str:
        """What a reader sees, on one line."""
        reader = _Words()
        reader.feed(self.text)
        return " ".join(" ".join(reader.words).split())

    @property
    def heading(self) -> str:
        found = re.search(r"<h1[^>]*>(.*?)</h1>", self.text, re.DOTALL)
        assert found, self.text
        return " ".join(found[1].split())

    @property
    def form_token(self) -> str:
        found = re.search(r'name="form_token" value="([0-9a-f]*)"', self.text)
        assert found, self.text
        return found[1]


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@dataclass
class Visitor:
    """Somebody with cookies of their own."""

    base: str
    session: aiohttp.ClientSession
    token: str = ""

    async def get(self, path: str = "", *, follow: bool = True, **headers: str) -> Seen:
        return await self._call("GET", path, follow=follow, headers=headers)

    async def post(
        self,
        path: str,
        form: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        *,
        follow: bool = True,
        **headers: str,
    ) -> Seen:
        """With the session's token, as forms have it, unless the form gives another one."""
        pairs = list(form.items()) if isinstance(form, Mapping) else list(form)
        if self.token and "form_token" not in dict(pairs):
            pairs.append(("form_token", self.token))
        return await self._call("POST", path, follow=follow, data=pairs, headers=headers)

    async def post_raw(self, path: str, body: str) -> Seen:
        """A form as its bytes are sent."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self._call("POST", path, follow=True, data=body, headers=headers)

    async def log_in(self, key: str = KEY) -> Visitor:
        seen = await self.post("/login", {"key": key})
        assert seen.status == 200, seen.words
        self.token = seen.form_token
        return self

    async def _call(self, method: str, path: str, *, follow: bool, **options: Any) -> Seen:
        url = URL(f"{self.base}/console{path}", encoded=True)
        async with self.session.request(method, url, allow_redirects=follow, **options) as response:
            return Seen(response.status, response.url, response.headers, await response.text())


@dataclass
class Console(Told):
    """A running API with its console, and what the rest of the worker was asked."""

    store: Any
    history: Any = None
    successes: bool = True
    elsewhere: str | None = None
    backlog: Backlog | BrokerAway = field(default_factory=lambda: Backlog(12, 3, 2, 2, 1.5))
    now: float = NOW
    resend: Any = None
    replays: Any = None
    body: Any = None
    last_events: Any = None
    commands: list[Sequence[str]] = field(default_factory=list)
    run: Any = None
    tokens: dict[str, str] = field(default_factory=lambda: dict(TOKENS))
    base: str = ""
    server: WebhookApi = field(init=False)
    _sessions: list[aiohttp.ClientSession] = field(default_factory=list)

    async def start(self) -> None:
        self.server = WebhookApi(
            "127.0.0.1",
            0,
            self.store,
            KEY,
            refuse_url=_refused,
            changed=self.changed,
            send_test=self.send_test,
            token_owner=self._owner,
            sleep=self.sleep,
            mounted={"/console": self._console},
        )
        self.base = f"http://127.0.0.1:{await self.server.start()}"

    async def close(self) -> None:
        for session in self._sessions:
            await session.close()
        await self.server.close()

    def visitor(self) -> Visitor:
        session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
        self._sessions.append(session)
        return Visitor(self.base, session)

    async def operator(self) -> Visitor:
        return await self.visitor().log_in()

    async def owner(self) -> Visitor:
        """Of the instance acme."""
        return await self.visitor().log_in("acme-token")

    def _console(self, authentication: Authentication) -> Any:
        parts = Parts(
            store=self.store,
            elsewhere=self.elsewhere,
            saving=Saving(self.store, _refused, self.changed, enabling=leave),
            changed=self.changed,
            send_test=self.send_test,
            explain=lambda content, webhooks, _: explain(content, webhooks, None, self.now),
            resend=self.resend,
            replays=self.replays,
            body=self.body,
            last_events=self.last_events,
            history=self.history,
            successes=self.successes,
            backlog=self._backlog,
            run=self._run,
            now=lambda: self.now,
        )
        return console(KEY, authentication, parts)

    async def _backlog(self) -> Backlog:
        if isinstance(self.backlog, BrokerAway):
            raise self.backlog
        return self.backlog

    async def _run(self, arguments: Sequence[str], on_line: OnLine | None) -> Ended:
        self.commands.append(arguments)
        return await self.run(arguments, on_line)

    async def _owner(self, token: str) -> str | None:
        return self.tokens.get(token)


async def _refused(url: str) -> object | None:
    return "10.1.2.3 is private; allow it with EGRESS_ALLOW" if ".internal" in url else None


MakeConsole = Callable[..., Awaitable[Console]]


@pytest.fixture
async def make_console() -> AsyncIterator[MakeConsole]:
    made: list[Console] = []

    async def make(store: Any, **options: Any) -> Console:
        made.append(Console(store, **options))
        await made[-1].start()
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty history, made once and copied."""
    path = tmp_path_factory.mktemp("console") / "history.db"

    async def make() -> None:
        found = history_store(f"sqlite:///{path}", 7, lambda: int(NOW * 1000))
        await found.prepare()
        await found.close()

    asyncio.run(make())
    return path


@pytest.fixture
async def history(prepared: Path, tmp_path: Path) -> AsyncIterator[HistoryStore]:
    shutil.copy(prepared, tmp_path)
    found = history_store(f"sqlite:///{tmp_path}/history.db", 7, lambda: int(NOW * 1000))
    yield found
    await found.close()


@pytest.fixture
async def served(
    make_console: MakeConsole, store: Any, history: HistoryStore, monkeypatch: pytest.MonkeyPatch
) -> Console:
    # What is not known in time is a page of its own; a busy machine would show it to every test.
    monkeypatch.setattr(asking, "HEALTH_SECONDS", 60.0)

    async def last_events(instance: str) -> list[bytes]:
        return [
            json.dumps({"event": "call", "instance": instance, "data": {"a": number}}).encode() for number in (1, 2)
        ]

    return await make_console(store, history=Asking(history, lambda: None, lambda: NOW), last_events=last_events)


ROW = row(int(NOW * 1000) - 60_000, event_id="evt_1", chat="5511999999999@s.whatsapp.net", host="h.example:443")
FAILED = ROW._replace(id="msg_2", outcome="Retried", reason="5xx", status=503, error="answered 503", answer="no room")


async def remember(history: HistoryStore, *rows: Row, producer: str = "test") -> None:
    """As the writer would."""
    await history.write([Batch(producer, 0, "replica-1", rows)])


def authentication(clock: Callable[[], float]) -> Authentication:
    return Authentication(KEY, None, Failures(clock))
