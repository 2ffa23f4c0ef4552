"""Asks Evolution's database whose token one is, as the API will."""

from worker.process.sources import tokens_of
from worker.stores.database import Database
from worker.webhooks.store import StoreUnavailable

NOBODYS = "webhook-worker doctor"
"""No instance has such a token."""


async def tokens_problem(database: Database) -> StoreUnavailable | None:
    """Why tokens cannot be looked up in INSTANCE_TOKENS_URI; None: they can."""
    try:
        tokens = tokens_of(database)
    except StoreUnavailable as error:
        return error
    try:
        await tokens.token_owner(NOBODYS)
    except StoreUnavailable as error:
        return error
    finally:
        await tokens.close()
    return None
