"""The API on a real SQLite store, over loopback, with what it tells others written down."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.api.told import Told
from worker.api.webhooks import WebhookApi
from worker.http.egress import EgressPolicy, refuse_url
from worker.stores.own.store import SqlStore

KEY = "B6D711FC-DE4D-4FD5-9365-44120E713976"
TOKENS = {"acme-token": "acme"}

MakeApi = Callable[..., Awaitable["Api"]]


@dataclass
class Answered:
    status: int
    headers: Any
    text: str
    json: Any


@dataclass
class Api(Told):
    """A running server and what it said to the rest of the worker. `store_calls` may replace the store."""

    store: Any
    token_owner: Any = None
    history: Any = None
    resend: Any = None
    host: str = "127.0.0.1"
    base: str = ""
    monotonic: float = 1000.0
    server: WebhookApi = field(init=False)
    session: aiohttp.ClientSession = field(init=False)

    async def start(self) -> None:
        self.server = WebhookApi(
            self.host,
            0,
            self.store,
            KEY,
            refuse_url=self._refuse_url,
            changed=self.changed,
            send_test=self.send_test,
            token_owner=self.token_owner,
            history=self.history,
            resend=self.resend,
            now=lambda: 1_795_000_000.123,
            monotonic=lambda: self.monotonic,
            sleep=self.sleep,
        )
        self.base = f"http://127.0.0.1:{await self.server.start()}"
        self.session = aiohttp.ClientSession()

    async def close(self) -> None:
        await self.session.close()
        await self.server.close()

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = KEY,
        raw: bytes | None = None,
        content_type: str = "application/json",
    ) -> Answered:
        """One request; `path` goes out byte for byte."""
        headers = {"apikey": key} if key is not None else {}
        options: dict[str, Any] = {"json": body} if body is not None else {}
        if raw is not None:
            options = {"data": BytesIO(raw)}
            headers["content-type"] = content_type
        url = URL(self.base + path, encoded=True)
        async with self.session.request(method, url, headers=headers, **options) as response:
            text = await response.text()
            json = await response.json() if response.content_type == "application/json" else None
            return Answered(response.status, response.headers, text, json)

    async def set(self, instance: str, body: Any, query: str = "") -> Answered:
        return await self.call("POST", f"/webhook/set/{instance}{query}", body)

    async def find(self, instance: str, query: str = "") -> Answered:
        return await self.call("GET", f"/webhook/find/{instance}{query}")

    async def _refuse_url(self, url: str) -> object | None:
        return await refuse_url(url, EgressPolicy(), _addresses)


async def _addresses(host: str) -> list[str]:
    if host.endswith(".internal"):
        return ["10.1.2.3"]
    if host.endswith(".hangs"):
        await asyncio.Event().wait()
    return ["8.8.8.8"]


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database, made once and copied: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("api") / "webhooks.db"

    async def make() -> None:
        store = SqlStore(f"sqlite:///{path}", lambda: 0)
        await store.migrate()
        await store.close()

    asyncio.run(make())
    return path


@pytest.fixture
async def store(migrated: Path, tmp_path: Path) -> AsyncIterator[SqlStore]:
    shutil.copy(migrated, tmp_path)
    found = SqlStore(f"sqlite:///{tmp_path}/webhooks.db", lambda: 1_795_000_000_123)
    yield found
    await found.close()


@pytest.fixture
async def make_api() -> AsyncIterator[MakeApi]:
    made: list[Api] = []

    async def make(store: Any, **options: Any) -> Api:
        made.append(Api(store, **options))
        await made[-1].start()
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture
async def api(make_api: MakeApi, store: SqlStore) -> Api:
    return await make_api(store)
