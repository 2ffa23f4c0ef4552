"""The end of a store's threads."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

SECONDS = 2.0
"""For calls under way: a connection that comes back after its pool was closed stays open until the collector comes.
Trade-off: one that hangs on its server holds up the end for so long, and is left to its own timeout."""


async def let_end(threads: ThreadPoolExecutor) -> None:
    """Gives up what has not begun, and waits for what has. Never raises."""
    threads.shutdown(wait=False, cancel_futures=True)
    ended = asyncio.ensure_future(asyncio.to_thread(threads.shutdown, wait=True))
    await asyncio.wait({ended}, timeout=SECONDS)
