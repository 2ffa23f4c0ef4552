"""Webhooks as a TOML file (config/webhooks.example.toml): how every sender is told them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.proof.conformance.stage import Hook


def write(file: Path, hooks: Iterable[Hook]) -> None:
    file.write_text("\n".join(line for hook in hooks for line in _table(hook)) + "\n")


def _table(hook: Hook) -> Iterator[str]:
    yield "[[webhook]]"
    for name, value in {"instance": hook.instance, "id": hook.id, "url": hook.url, **hook.more}.items():
        yield f"{name} = {json.dumps(value)}"  # strings, numbers, booleans and lists are written alike in TOML
