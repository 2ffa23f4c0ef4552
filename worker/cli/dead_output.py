"""What `webhook-worker dead` writes: lists, groups, and how far a redrive is."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import BinaryIO, Protocol, TextIO

import orjson

from worker.basics.tasks import end
from worker.deadletters import shown
from worker.deadletters.listing import Listing
from worker.deadletters.redrive import Redriven

PROGRESS_SECONDS = 1.0


class Output(Protocol):
    """What a text stream does, as far as it is needed."""

    @property
    def buffer(self) -> BinaryIO: ...
    def flush(self) -> object: ...
    def write(self, text: str, /) -> object: ...
    def writelines(self, lines: Iterable[str], /) -> object: ...


def print_listing(listing: Listing, out: Output, *, as_json: bool, groups: bool) -> None:
    """The letters, or their groups; as JSON the groups with the letters."""
    letters = listing.newest()
    match as_json, groups:
        case True, True:
            out.write(shown.groups_as_json(listing.groups(), letters, listing.mark.text))
        case True, False:
            out.writelines(shown.as_json(letters))
        case False, True:
            out.writelines(shown.groups_table(listing.groups()))
        case _ if letters:
            out.writelines(shown.table(letters))
            out.write("\n")
    if not as_json:
        out.write(f"{listing.summary()}\n")


@asynccontextmanager
async def reported(result: Redriven, err: TextIO | None) -> AsyncIterator[None]:
    """Writes each second how many were moved until now; None: nobody asked for it."""

    async def report(to: TextIO) -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            to.write(orjson.dumps({"moved": result.moved.total()}).decode() + "\n")
            to.flush()

    reporting = asyncio.ensure_future(report(err)) if err is not None else None
    try:
        yield
    finally:
        if reporting is not None:
            await end(reporting)
