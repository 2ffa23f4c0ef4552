"""The /webhook API under mutated requests: an answer to each, never a 5xx, always the envelope, the store intact."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.api.conftest import KEY
from tests.proof.fuzz.envelope import Broken
from tests.proof.fuzz.requests import Sent
from worker.domain.event import Event
from worker.domain.past import Past
from worker.domain.request.build import build
from worker.domain.routing import Delivery, route
from worker.stores.own.store import SqlStore

ANSWER_SECONDS = 10.0
SILENCE_SECONDS = 0.2
"""How long malformed HTTP is given: half of it waits for bytes that never come, as it may."""

LOOKS = 3
"""Requests that were given up may still be under way between two of them."""

LONGEST_ANSWER = 16 * 1024 * 1024
PAGE = f"GET /webhook?limit=500%s HTTP/1.1\r\nhost: api\r\nconnection: close\r\napikey: {KEY}\r\n\r\n"


class Server:
    """`async with server() as made`: the API as a process; `answers` counts statuses, 0: none came."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, file: Path) -> None:
        self.answers: Counter[int] = Counter()
        self._process = process
        self._port = port
        self._file = file

    async def check(self, sent: Sent) -> None:
        """Raises Broken."""
        answer = await self._send(sent.raw, ANSWER_SECONDS if sent.http else SILENCE_SECONDS)
        if not answer and sent.http:
            raise Broken(f"no answer within {ANSWER_SECONDS} s")
        status = _judge(answer, sent) if answer else 0
        self.answers[status] += 1

    async def look(self) -> int:
        """Through all pages, then each row as the worker reads it. Returns how many. Raises Broken."""
        if self._process.returncode is not None:
            raise Broken(f"the server ended with {self._process.returncode}")
        for _ in range(LOOKS):
            listed, stored = await self._listed(), await self._deliverable()
            if listed == stored:
                return stored
        raise Broken(f"{listed} webhooks are listed, {stored} are stored")

    async def _listed(self) -> int:
        listed, after = 0, ""
        while True:
            answer = await self._send((PAGE % after).encode(), ANSWER_SECONDS)
            page = _json(answer)
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise Broken(f"the webhooks cannot be listed: {page!r:.300}")
            listed += len(page["webhooks"])
            if page["after"] is None:
                return listed
            after = f"&after={page['after']}"

    async def _deliverable(self) -> int:
        """How many rows there are; each of them can be loaded, and a request be built for it."""
        store = SqlStore(f"sqlite:///{self._file}", lambda: 0)
        try:
            webhooks = [one for name in await store.instances() for one in await store.load(name)]
        except Exception as error:
            raise Broken(f"the store cannot be read: {error!r:.300}") from error
        finally:
            await store.close()
        for webhook in webhooks:
            event = Event("call", "CALL", webhook.instance, {})
            found = route(event, Past("0" * 64, 0.0, "", ""), webhook, [webhook])
            if isinstance(found, Delivery):
                build(found, time.time())
            elif webhook.enabled and webhook.wants("CALL"):
                raise Broken(f"a stored webhook cannot be delivered to: {found}")
        return len(webhooks)

    async def _send(self, raw: bytes, seconds: float) -> bytes:
        """The whole answer; as much as came in time."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=LONGEST_ANSWER)
        answer = bytearray()
        try:
            async with asyncio.timeout(seconds):
                writer.write(raw)
                while chunk := await reader.read(1 << 16):
                    answer += chunk
        except (TimeoutError, ConnectionError):
            pass
        finally:
            writer.close()
        return bytes(answer)


@asynccontextmanager
async def server() -> AsyncIterator[Server]:
    with tempfile.TemporaryDirectory(prefix="webhooks-fuzz-") as folder:
        file = Path(folder) / "webhooks.db"
        command = (sys.executable, "-m", "tests.proof.fuzz.server", str(file))
        # What the server logs of faults is not read: a fault is an answer of 500.
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=quiet)
        try:
            assert process.stdout is not None
            yield Server(process, int(await process.stdout.readline()), file)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


_STATUS = re.compile(rb"HTTP/\d\.\d (\d{3}) ")


def _judge(answer: bytes, sent: Sent) -> int:
    """The status. Raises Broken."""
    found = _STATUS.match(answer)
    if found is None:
        raise Broken(f"not an answer of HTTP: {answer[:200]!r}")
    status = int(found[1])
    if status >= 500:
        raise Broken(f"{status}: {answer[-300:]!r}")
    if sent.http and status >= 400 and not sent.raw.startswith(b"HEAD "):
        _check_envelope(status, _json(answer))
    return status


def _json(answer: bytes) -> Any:
    try:
        return json.loads(answer.partition(b"\r\n\r\n")[2])
    except ValueError as error:
        raise Broken(f"not JSON: {answer[:300]!r}") from error


def _check_envelope(status: int, envelope: Any) -> None:
    try:
        right = (envelope["status"], envelope["error"]) == (status, HTTPStatus(status).phrase)
        right = right and bool(envelope["response"]["message"]) and set(envelope) == {"status", "error", "response"}
    except (LookupError, TypeError):
        right = False
    if not right:
        raise Broken(f"not the error envelope: {envelope!r:.300}")
