"""Evolution's documented requests, as its readers paste them: real curl, base URL, key and receiver aside."""

import asyncio
import json
from typing import Any

import pytest

from tests.api.conftest import KEY, Api
from worker.domain.webhook import Webhook
from worker.stores.own.store import SqlStore

URL = "https://hooks.example/evolution"

SET_1X = """
curl --request POST \\
  --url $BASE/webhook/set/acme \\
  --header 'Content-Type: application/json' \\
  --header "apikey: $KEY" \\
  --data '{
  "enabled": true,
  "url": "https://hooks.example/evolution",
  "webhook_by_events": true,
  "webhook_base64": false,
  "events": [
    "APPLICATION_STARTUP",
    "QRCODE_UPDATED",
    "MESSAGES_UPSERT",
    "GROUP_UPDATE",
    "CONNECTION_UPDATE",
    "NEW_JWT_TOKEN"
  ]
}'
"""
SET_1X_SHORTEST = """
curl -X POST "$BASE/webhook/set/acme" -H "Content-Type: application/json" -H "apikey: $KEY" \\
  -d '{"url": "https://hooks.example/evolution"}'
"""
SET_INSTANCE = """
curl --location --request POST "$BASE/webhook/instance" \\
--header "apikey: $KEY" \\
--header 'Content-Type: application/json' \\
--data-raw '{
    "instanceName": "acme",
    "enabled": true,
    "url": "https://hooks.example/evolution",
    "webhook_by_events": false,
    "events": ["QRCODE_UPDATED", "MESSAGES_UPSERT"]
}'
"""
SET_20 = """
curl --request POST \\
  --url "$BASE/webhook/set/acme" \\
  --header 'Content-Type: application/json' \\
  --header "apikey: $KEY" \\
  --data '
{
  "enabled": true,
  "url": "https://hooks.example/evolution",
  "webhookByEvents": true,
  "webhookBase64": true,
  "events": [
    "MESSAGES_UPSERT"
  ]
}
'
"""
SET_21 = """
curl --location "$BASE/webhook/set/acme" \\
--header 'Content-Type: application/json' \\
--header "apikey: $KEY" \\
--data '{
    "webhook": {
        "enabled": true,
        "url": "https://hooks.example/evolution",
        "headers": {
            "autorization": "Bearer TOKEN",
            "Content-Type": "application/json"
        },
        "byEvents": false,
        "base64": false,
        "events": [
            "APPLICATION_STARTUP",
            "MESSAGES_UPSERT",
            "SEND_MESSAGE"
        ]
    }
}'
"""
FIND = """curl --request GET --url "$BASE/webhook/find/acme" --header "apikey: $KEY" """
STOP = """
curl -X POST "$BASE/webhook/set/acme" -H 'Content-Type: application/json' -H "apikey: $KEY" \\
  -d '{"enabled": false, "url": ""}'
"""


async def run(api: Api, command: str) -> tuple[int, Any]:
    """In a shell, as typed; the status and the JSON of the answer."""
    process = await asyncio.create_subprocess_shell(
        command.rstrip() + " --silent --show-error --write-out '\\n%{http_code}'",
        env={"BASE": api.base, "KEY": KEY, "PATH": "/usr/local/bin:/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    body, _, status = out.decode().rpartition("\n")
    return int(status), json.loads(body)


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        (
            SET_1X,
            {
                "by_events": True,
                "events": {"APPLICATION_STARTUP", "QRCODE_UPDATED", "MESSAGES_UPSERT", "GROUPS_UPDATE"}
                | {"CONNECTION_UPDATE", "NEW_TOKEN"},
            },
        ),
        (SET_1X_SHORTEST, {}),
        (SET_INSTANCE, {"events": {"QRCODE_UPDATED", "MESSAGES_UPSERT"}}),
    ],
    ids=["whole", "shortest", "instance in the body"],
)
async def test_requests_of_1x(api: Api, store: SqlStore, command: str, fields: Any) -> None:
    wanted = Webhook("acme", URL, **{**fields, "events": frozenset(fields.get("events", ()))})
    answer = {"enabled": True, "url": URL, "webhook_by_events": wanted.by_events, "events": sorted(wanted.events)}
    assert await run(api, command) == (201, {"webhook": {"instanceName": "acme", "webhook": answer}})
    assert await store.load("acme") == (wanted,)
    status, found = await run(api, FIND)
    assert (status, {key: found[key] for key in answer}) == (200, answer)


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        (SET_20, {"by_events": True, "base64": True, "events": frozenset({"MESSAGES_UPSERT"})}),
        (
            SET_21,
            {
                "headers": (("autorization", "Bearer TOKEN"), ("Content-Type", "application/json")),
                "events": frozenset({"APPLICATION_STARTUP", "MESSAGES_UPSERT", "SEND_MESSAGE"}),
            },
        ),
    ],
    ids=["2.0", "2.1"],
)
async def test_requests_of_2x(api: Api, store: SqlStore, command: str, fields: Any) -> None:
    wanted = Webhook("acme", URL, **fields)
    answer = {
        "url": URL,
        "enabled": True,
        "headers": {name: "***" for name, _ in wanted.headers},
        "events": sorted(wanted.events),
        "webhookByEvents": wanted.by_events,
        "webhookBase64": wanted.base64,
    }
    for request, expected in ((command, 201), (FIND, 200)):
        status, found = await run(api, request)
        assert (status, {key: found[key] for key in answer}) == (expected, answer)
    assert await store.load("acme") == (wanted,)


async def test_finding_nothing_and_stopping(api: Api, store: SqlStore) -> None:
    status, found = await run(api, FIND)
    assert (status, found["enabled"], found["url"], found["events"]) == (200, False, "", [])
    assert (await run(api, SET_20))[0] == (await run(api, STOP))[0] == 201
    assert await store.load("acme") == (Webhook("acme", URL, enabled=False),)
