"""`python -m tests.proof.fuzz.server FILE`: the API on a SQLite file, on a free port that it prints.

A process of its own, so that a crash or a hang is seen as such. No name is looked up: every host has one public
address, `.internal` a private one. A test event is built and signed as for its POST, which is not made.
"""

from __future__ import annotations

import asyncio
import sys
import time

from tests.api.conftest import KEY
from worker.api.webhooks import WebhookApi
from worker.domain.webhook import Webhook
from worker.domain.webhook_test import WebhookTest, request_of_test
from worker.http.egress import EgressPolicy, refuse_url
from worker.stores.own.store import SqlStore


async def main(file: str) -> None:
    store = SqlStore(f"sqlite:///{file}", lambda: int(time.time() * 1000))
    await store.migrate()
    api = WebhookApi(
        "127.0.0.1",
        0,
        store,
        KEY,
        refuse_url=_refuse_url,
        changed=_nobody_to_tell,
        send_test=_send_test,
        sleep=_at_once,  # a wrong key is answered late, which would only make the run longer
    )
    print(await api.start(), flush=True)
    await asyncio.Event().wait()


async def _refuse_url(url: str) -> object | None:
    return await refuse_url(url, EgressPolicy(), _addresses)


async def _addresses(host: str) -> list[str]:
    return ["10.1.2.3"] if host.endswith(".internal") else ["8.8.8.8"]


async def _nobody_to_tell(instance: str, revision: int) -> None:
    return


async def _at_once(seconds: float) -> None:
    await asyncio.sleep(0)


async def _send_test(webhook: Webhook, event: bytes) -> WebhookTest:
    request_of_test(webhook, event, time.time())  # raises when what the API had accepted cannot be sent
    return WebhookTest(200, 1.0, b"ok")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
