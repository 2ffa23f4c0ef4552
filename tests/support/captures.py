"""The traffic in tests/captures: what Evolution published and what it POSTed itself for it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "captures"
EVOLUTION_1 = "evolution-1.8.2-loja-1"
EVOLUTION_2 = "evolution-2.3.7-acme"
EVOLUTION_24 = "evolution-2.4.0-made"
EVOLUTION_GO = "evolution-go-0.7.1-made"
"""These two were made by hand from the shapes in Evolution's source: none of their lines was recorded."""


@dataclass(frozen=True, slots=True)
class CapturedPost:
    """`webhook` is "instance" or "global"; `query` None without one; `bearer_jwt`: with a jwt_key token."""

    webhook: str
    path: str
    query: str | None
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    bearer_jwt: bool = False


@dataclass(frozen=True, slots=True)
class Captured:
    """One RabbitMQ message with the POSTs that Evolution made for it (none: no webhook wanted it)."""

    exchange: str
    routing_key: str
    properties: dict[str, Any]
    body: bytes
    posts: tuple[CapturedPost, ...]


def load(name: str) -> list[Captured]:
    """All messages of one capture (EVOLUTION_1 and its like), in the order they were published."""
    with (FOLDER / f"{name}.jsonl").open(encoding="utf-8") as lines:  # splitlines() would also cut at U+2028
        return [_message(json.loads(line)) for line in lines]


def _message(row: dict[str, Any]) -> Captured:
    posts = tuple(_post(post) for post in row["posts"])
    return Captured(row["exchange"], row["routing_key"], row["properties"], row["body"].encode(), posts)


def _post(row: dict[str, Any]) -> CapturedPost:
    return CapturedPost(
        webhook=row["webhook"],
        path=row["path"],
        query=row.get("query"),
        body=row["body"].encode(),
        headers=row.get("headers") or {},
        bearer_jwt=bool(row.get("bearer_jwt")),
    )
