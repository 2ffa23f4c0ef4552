"""Instances of which a message has come: names to choose from, and whether a webhook's own is among them."""

import asyncio
from collections.abc import Sequence
from difflib import get_close_matches

from worker.console.ports import Parts

MOST = 500
"""Names that a page offers."""

MOST_ALIKE = 3


async def instances(parts: Parts, owner: str | None) -> Sequence[str]:
    """For the operator: an owner has one, and hears of no other."""
    if owner is not None or parts.history is None:
        return ()
    return await parts.history.instances(MOST) or ()


async def alike(parts: Parts, owner: str | None, name: str) -> Sequence[str] | None:
    """Of an instance of which no message has come: names that may have been meant. None: one has, or nobody knows."""
    found = await parts.history.instances(1, name) if parts.history else None
    if found is None or name in found:
        return None
    known = await instances(parts, owner)
    return await asyncio.to_thread(get_close_matches, name, known, MOST_ALIKE)
