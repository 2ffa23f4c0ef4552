"""What the demo prints: 100 columns of plain text, colours only on a terminal that wants them."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import Sequence
from urllib.parse import unquote

from tests.support.receiver import Received

COLUMNS = "{:>6} {:<8} {:<25} {:<7} {:>7} {:>6} {}"
WIDTH = 99
GREEN, RED, BOLD = "32", "31", "1"


class NotSeen(Exception):
    """Something that the demo promises did not happen."""


class Screen:
    """Standard output, a line at a time."""

    def __init__(self) -> None:
        self._colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._started = self._table_started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the demo began."""
        return time.monotonic() - self._started

    @property
    def is_watched(self) -> bool:
        """Somebody sits at a terminal, and can answer."""
        return sys.stdin.isatty() and sys.stdout.isatty()

    async def enter(self) -> None:
        """Until the Enter key is pressed. No thread reads, so that Ctrl-C ends it at once."""
        pressed = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin, pressed.set)
        try:
            await pressed.wait()
        finally:
            asyncio.get_running_loop().remove_reader(sys.stdin)

    def say(self, *lines: str) -> None:
        for line in lines:
            print(line, flush=True)

    def title(self, text: str) -> None:
        self.say("", self._coloured(BOLD, f"== {text} ".ljust(WIDTH, "=")))

    def command(self, *words: str) -> None:
        """As it would be typed, on as many lines as it takes."""
        quoted = " ".join(f'"{word}"' if " " in word else word for word in words)
        lines = ["$"]
        for part in re.split(r" (?=--)", quoted):  # an option stays beside its value
            if len(lines[-1]) + len(part) > WIDTH - 3:
                lines[-1] += " \\"
                lines.append("   ")
            lines[-1] += f" {part}"
        self.say("", *lines)

    def output(self, lines: Sequence[str]) -> None:
        """What a command printed, cut at the edge."""
        self.say(*(line if len(line) <= WIDTH else line[: WIDTH - 3] + "..." for line in lines))

    def table(self) -> None:
        """The head of what `post` prints; its clock begins at 0."""
        self._table_started = time.monotonic()
        self.say("", COLUMNS.format("time", "instance", "event", "webhook", "attempt", "status", "path"))

    def post(self, received: Received, status: int) -> None:
        """One POST, from its own headers and path alone."""
        line = COLUMNS.format(
            f"{time.monotonic() - self._table_started:.2f}",
            unquote(received.header("x-instance-name") or "-"),
            received.header("x-event-type") or "-",
            "global" if received.path.startswith("/global") else "own",
            received.header("webhook-attempt") or "-",
            status,
            received.path,
        )
        self.say(self._coloured(GREEN if status < 300 else RED, line))

    def check(self, promise: str, kept: bool) -> None:
        """A line for a promise that was kept; raises NotSeen for one that was not."""
        if not kept:
            raise NotSeen(f"promised, but not so: {promise}")
        self.say(self._coloured(GREEN, "ok") + f"  {promise}")

    def _coloured(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours else text
