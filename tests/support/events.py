"""Events as Evolution publishes them, for tests that need more than the captures."""

from __future__ import annotations

import json
from typing import Any


def event(
    name: str = "messages.upsert", instance: str = "acme", data: Any = None, *, raw_data: bytes | None = None
) -> bytes:
    """One envelope of 2.x as compact JSON; `raw_data` goes in as it is, whatever it holds."""
    head = _compact({"event": name, "instance": instance})[:-1]
    payload = _compact(data) if raw_data is None else raw_data
    tail = b'"date_time":"2026-11-22T08:00:00.000Z","sender":"55@s.whatsapp.net","apikey":"k"}'
    return head + b',"data":' + payload + b"," + tail


def _compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
