"""axe-core's rules on the page that a browser shows (tests/support/axe: 4.14.1, unchanged, MPL-2.0)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.browser import Window

AXE = Path(__file__).parent / "axe" / "axe.min.js"

_RUN = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then(
  found => done(found.violations.map(each => [each.impact, each.id, each.nodes.map(node => node.html)])),
  error => done([["critical", String(error), []]]));
"""

Findings = Callable[[], Awaitable[list[str]]]


@asynccontextmanager
async def axe(window: Window) -> AsyncIterator[Findings]:
    """What axe calls a violation on the page that is open, each with its impact and where. It is in each page that is
    opened from now on."""
    added = await window.devtools("Page.addScriptToEvaluateOnNewDocument", {"source": AXE.read_text()})

    async def findings() -> list[str]:
        found: list[Any] = await window.run(_RUN)
        return [f"{impact} {rule}: {' '.join(places)[:400]}" for impact, rule, places in found]

    yield findings
    await window.devtools("Page.removeScriptToEvaluateOnNewDocument", added)
