"""Requests to the /webhook API, as bytes: Evolution's three dialects and every other call, changed at random. Pure.

A request is decided by (seed, number) alone.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.api.conftest import KEY
from tests.api.documents import URL, V1, V20, V21
from tests.proof.fuzz.mutations import any_text, any_value, changed_bytes, changed_value, json_text
from worker.api.dialects import FIELDS, READ_ONLY

OWN = {
    "url": URL,
    "id": "audit",
    "secret": "generate",
    "timeoutMs": 5000,
    "concurrency": 3,
    "rate_limit": {"per_second": 10, "burst": 20},
    "headers": {"X-Tenant": "acme", "jwt_key": "k"},
}
BODIES: tuple[dict[str, Any], ...] = (V1, V20, V21, OWN, {"webhook": OWN}, {**V21, "instance": "acme"})
NAMES = (*(spelling for spellings in FIELDS.values() for spelling in spellings), *READ_ONLY, "webhook", "per_second")
INSTANCES = ("acme", "acme", "loja 1", "Loja / São", "instance", "*", "..", "%", "a" * 255, "a" * 256, "\x00")
IDS = ("default", "audit", "*", "global", "", "a/b", "x" * 65)
CURSORS = ("WyJhY21lIiwgImRlZmF1bHQiXQ==", "WyJhIl0=", "e30=", "%", "")

UNCHANGED, BAD_BYTES, BAD_HTTP = 0.3, 0.15, 0.08
"""Shares: requests as the documents have them; bodies changed byte by byte; and the whole request, head included."""


@dataclass(frozen=True, slots=True)
class Sent:
    """`http`: the request is well-formed HTTP, so that the API itself must answer it."""

    raw: bytes
    http: bool = True


def request(seed: int, number: int) -> Sent:
    chance = random.Random(f"{seed}/{number}")
    method, path, body = _call(chance)
    raw = _text(chance, method, path, body)
    if chance.random() < BAD_HTTP:
        return Sent(changed_bytes(chance, raw, [raw]), http=False)
    return Sent(raw)


def _call(chance: random.Random) -> tuple[str, str, bytes | None]:
    instance = quote(_text_for(chance, INSTANCES), safe="")
    by_id = f"?id={quote(_text_for(chance, IDS), safe='')}" if chance.random() < 0.4 else ""
    match chance.randrange(12):
        case 0 | 1:
            return "POST", f"/webhook/instance{by_id}", _body(chance, {"instance": _text_for(chance, INSTANCES)})
        case 2:
            return "GET", f"/webhook/find/{instance}{by_id}", None
        case 3:
            return "GET", f"/webhook?{_page(chance)}", None
        case 4:
            return "DELETE", f"/webhook/{instance}{by_id}", None
        case 5:
            return "POST", f"/webhook/test/{instance}{by_id}", _test_body(chance)
        case 6:
            method = chance.choice(("PUT", "PATCH", "HEAD", "OPTIONS", "GET", "POST", "DELETE", "PROPFIND"))
            return method, chance.choice(("/", "/webhook/set", "/docs", "/openapi.json", "/webhook/a/b/c", "//")), None
        case _:
            return "POST", f"/webhook/set/{instance}{by_id}", _body(chance, {})


def _page(chance: random.Random) -> str:
    limit = chance.choice(("1", "100", "500", "501", "0", "-1", "1e2", "٣", ""))
    parts = [f"limit={quote(limit)}", f"after={quote(_text_for(chance, CURSORS), safe='')}"]
    parts.append(f"instance={quote(_text_for(chance, INSTANCES), safe='')}")
    return "&".join(part for part in parts if chance.random() < 0.5)


def _text_for(chance: random.Random, usual: tuple[str, ...]) -> str:
    """Without unpaired surrogates: they have no percent-encoding."""
    text = chance.choice(usual) if chance.random() < 0.9 else any_text(chance)
    return text.encode(errors="replace").decode()


def _body(chance: random.Random, more: dict[str, Any]) -> bytes:
    found: Any = {**chance.choice(BODIES), **more}
    if chance.random() >= UNCHANGED:
        for _ in range(chance.choice((1, 1, 2, 4))):
            found = changed_value(chance, found, NAMES)
    return _maybe_bad(chance, found)


def _test_body(chance: random.Random) -> bytes | None:
    if chance.random() < 0.3:
        return None
    event = chance.choice(("CALL", "messages.upsert", "NOBODY", any_value(chance)))
    return _maybe_bad(chance, chance.choice(({}, {"event": event}, {"event": event, "id": any_value(chance)})))


def _maybe_bad(chance: random.Random, found: Any) -> bytes:
    text = json_text(chance, found)
    return changed_bytes(chance, text, [text]) if chance.random() < BAD_BYTES else text


def _text(chance: random.Random, method: str, path: str, body: bytes | None) -> bytes:
    head = [f"{method} {path} HTTP/1.1", "host: api", "connection: close"]
    match chance.randrange(40):
        case 0:
            pass
        case 1:
            head.append("apikey: wrong")
        case _:
            head.append(f"apikey: {KEY}")
    if body is not None:
        usual = "application/json"
        kinds = (usual, "application/json; charset=utf-8", "application/json; charset=x", "text/plain", "")
        head.append(f"content-type: {usual if chance.random() < 0.9 else chance.choice(kinds)}")
        head.append(f"content-length: {len(body)}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + (body or b"")
