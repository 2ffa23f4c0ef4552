"""A channel of Slack behind its incoming webhook: takes what is documented to be taken, and refuses the rest likewise.

Sources: docs.slack.dev, "Sending messages using incoming webhooks" (answers), "Rate limits" (one message a second),
"chat.postMessage" (`text`) and "Block Kit" (blocks).
"""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

from tests.support.receiver import Answer, Received

HOST, PATH = "hooks.slack.com", "/services/T0/B0/X0"
URL = f"https://{HOST}{PATH}"
MOST_BLOCKS, MOST_TEXT, MOST_HEADER, MOST_SECTION = 50, 40_000, 150, 3000
SECONDS_BETWEEN = 1.0


class Channel:
    """The script of a Receiver's path. `shown`: the messages that people see in it, as their texts and blocks."""

    def __init__(self, *, others: int = 0) -> None:
        """`others`: so many of the first messages come just behind one of another program."""
        self.shown: list[dict[str, Any]] = []
        self.refused: list[str] = []
        self._others = others
        self._busy_until = -math.inf

    def __call__(self, request: Received) -> Answer:
        if self._others:
            self._others -= 1
            self._taken()
        if asyncio.get_running_loop().time() < self._busy_until:
            return self._refuses(429, "rate_limited", {"Retry-After": str(math.ceil(SECONDS_BETWEEN))})
        problem = _problem(request)
        if problem is not None:
            return self._refuses(400, problem)
        self._taken()
        self.shown.append(request.json())
        return Answer()

    def _taken(self) -> None:
        self._busy_until = asyncio.get_running_loop().time() + SECONDS_BETWEEN

    def _refuses(self, status: int, why: str, headers: dict[str, str] | None = None) -> Answer:
        self.refused.append(why)
        return Answer(status, headers or {}, why.encode())


def command_in(message: dict[str, Any]) -> str:
    """What whoever reads the message is to paste."""
    texts = [block["text"]["text"] for block in message["blocks"]]
    (command,) = (text.removeprefix("To do: ") for text in texts if text.startswith("To do: "))
    return str(command)


def _problem(request: Received) -> str | None:
    if request.method != "POST" or request.header("content-type") != "application/json":
        return "invalid_payload"
    try:
        message = json.loads(request.body)
    except ValueError:
        return "invalid_payload"
    if not message.get("text") or len(message["text"]) > MOST_TEXT:
        return "no_text"
    blocks = message.get("blocks", [])
    return None if len(blocks) <= MOST_BLOCKS and all(map(_is_block, blocks)) else "invalid_blocks"


def _is_block(block: dict[str, Any]) -> bool:
    """Of the two kinds that we send."""
    text, most = block["text"], {"header": MOST_HEADER, "section": MOST_SECTION}[block["type"]]
    kinds = {"header": {"plain_text"}, "section": {"plain_text", "mrkdwn"}}[block["type"]]
    return text["type"] in kinds and 1 <= len(text["text"]) <= most
