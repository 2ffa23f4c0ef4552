"""schemathesis: requests of every kind, made from the OpenAPI document, against the live server on a real store."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig

from tests.api.conftest import KEY
from tests.history.fakes import row
from worker.api.openapi.document import document
from worker.api.webhooks import WebhookApi
from worker.domain.history import Batch
from worker.domain.webhook_test import WebhookTest
from worker.history.asking import Asking
from worker.stores.history.store import history_store
from worker.stores.own.store import SqlStore

CHECKS = {
    # What a URL, a header name or a secret must be, JSON Schema cannot say: valid by the schema may still be refused.
    "positive_data_acceptance": {"enabled": False},
    # /webhook/instance is also the path of an instance that is called "instance", which can be deleted.
    "allow_header_conformance": {"enabled": False},
}
# Its body is that of /webhook/set/{instance}, which is covered to its last field; and each case is a write.
OPERATIONS = [{"include-path": "/webhook/instance", "phases": {"coverage": {"enabled": False}}}]
# A query parameter that a call does not know is refused, which the document cannot say.
CONFIG = SchemathesisConfig.from_dict(
    {"checks": CHECKS, "generation": {"allow-extra-parameters": False}, "operations": OPERATIONS}
)


def with_few_events(part: Any) -> Any:
    """Of the names of events some: each would be a write of its own for each field and dialect, hundreds in all."""
    if isinstance(part, dict):
        if "MESSAGES_UPSERT" in part.get("enum", ()):
            names = part["enum"]
            few = [name for name in names if name in {"MESSAGES_UPSERT", "QRCODE_UPDATED", names[0], names[-1]}]
            return {**part, "enum": few}
        return {key: with_few_events(value) for key, value in part.items()}
    return [with_few_events(each) for each in part] if isinstance(part, list) else part


SCHEMA = schemathesis.openapi.from_dict(with_few_events(document()), config=CONFIG)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API in a thread with an event loop of its own: schemathesis calls it blocking."""
    started: Future[str] = Future()
    ended = threading.Event()
    path = tmp_path_factory.mktemp("schema") / "webhooks.db"
    thread = threading.Thread(target=lambda: asyncio.run(_serve(path, started, ended)))
    thread.start()
    yield started.result(timeout=20)
    ended.set()
    thread.join(timeout=20)


async def _serve(path: Path, started: "Future[str]", ended: threading.Event) -> None:
    store = SqlStore(f"sqlite:///{path}", lambda: 1_795_000_000_123)
    await store.migrate()
    history = history_store(f"sqlite:///{path.with_name('history.db')}", 7, lambda: 1_795_000_000_123)
    await history.prepare()
    rows = tuple(row(1_795_000_000_000 + n, id=f"msg_{n}", instance=None if n else "acme") for n in range(3))
    await history.write([Batch("run-1", 0, "pod-1", rows)])
    api = WebhookApi(
        "127.0.0.1",
        0,
        store,
        KEY,
        refuse_url=_nothing,
        changed=_nothing,
        send_test=_answered,
        sleep=_nothing,
        history=Asking(history, lambda: None, lambda: 1_795_000_000.0),
    )
    started.set_result(f"http://127.0.0.1:{await api.start()}")
    await asyncio.to_thread(ended.wait)
    await api.close()
    await history.close()
    await store.close()


async def _nothing(*_: Any) -> None:
    return None


async def _answered(*_: Any) -> WebhookTest:
    return WebhookTest(200, 1.0, b"ok")


@pytest.mark.timeout(600)  # a hundred of them, one after the other in one test
@SCHEMA.parametrize()
@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_call_keeps_to_the_document(case: schemathesis.Case, base: str) -> None:
    case.call_and_validate(base_url=base, headers={"apikey": KEY}, timeout=20)
