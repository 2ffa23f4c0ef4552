"""What a check plays on: a sender, its webhooks, a way to publish events, a receiver; nothing of the sender's inside.

The same checks judge a foreign sender (`python -m tests.proof.conformance`) and, in tests/e2e, our own, whose inside is
looked at beside them: at each *moment* that a check names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.support.receiver import Received, Receiver

PATIENCE_SECONDS = 15.0
"""For what a retry brings, where retries begin after a second."""

GRACE_SECONDS = 0.5
"""Until a sender has taken in an answer: nobody outside can see when it has."""

At = Callable[..., Awaitable[None]]


class Broken(AssertionError):
    """The promise does not hold; the text says what was seen instead."""


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook as a check needs it; `more` are fields of `[[webhook]]` in config/webhooks.example.toml."""

    instance: str
    url: str
    id: str = "default"
    more: Mapping[str, Any] = field(default_factory=dict)


class Sender(Protocol):
    """What delivers events. `restarts`: it can be started and stopped here; else it runs already, for good."""

    restarts: bool

    async def tell(self, hooks: Sequence[Hook]) -> None:
        """These are its webhooks, before it starts."""

    async def start(self, settings: Mapping[str, str]) -> None:
        """Returns when it takes events. May be called again after `stop` and `kill`. `settings` as in docs/settings.md;
        who does not know them is judged as it is."""

    async def stop(self) -> None:
        """SIGTERM; returns when it has ended. Raises Broken when it does not."""

    async def kill(self) -> None:
        """SIGKILL."""


class Stage:
    """`tag` begins each instance's name: others may use the same broker. `id_header`: where the sender has its ids.

    `order`: fields of a webhook that asks for order; None: the sender offers none.
    """

    def __init__(
        self,
        sender: Sender,
        publish: Callable[..., Awaitable[None]],
        receiver: Receiver,
        *,
        tag: str = "",
        patience: float = PATIENCE_SECONDS,
        id_header: str = "webhook-id",
        order: Mapping[str, Any] | None = None,
    ) -> None:
        self.sender = sender
        self.publish = publish
        self.receiver = receiver
        self.patience = patience
        self.order = order
        self._tag = tag
        self._id_header = id_header
        self._at: dict[str, At] = {}

    def at(self, **moments: At) -> Stage:
        """Calls these at the moments of their names, in place of GRACE_SECONDS, with what the check gives them."""
        self._at = dict(moments)
        return self

    async def moment(self, name: str, *facts: Any) -> None:
        """A check has come so far. Who knows the sender's inside waits for what must be true of it, and asserts."""
        known = self._at.get(name)
        await (asyncio.sleep(GRACE_SECONDS) if known is None else known(*facts))

    def instance(self, name: str) -> str:
        return self._tag + name

    async def start(self, *hooks: Hook, **settings: str) -> None:
        """With these webhooks; without any, as it was before."""
        if hooks:
            await self.sender.tell(hooks)
        await self.sender.start(settings)

    def hook(self, name: str, path: str, webhook: str = "default", **more: Any) -> Hook:
        """Of the instance, at the kind receiver."""
        return Hook(self.instance(name), self.receiver.url(path), webhook, more)

    async def posts(self, path: str, count: int, what: str, timeout: float | None = None) -> list[Received]:
        """The POSTs at the path, as soon as there are so many. Raises Broken: so many did not come, but `what` says
        that they do."""
        seconds = self.patience if timeout is None else timeout
        try:
            return await self.receiver.wait_for(count, timeout=seconds, path=path)
        except AssertionError:
            found = len(self.receiver.at(path))
            raise Broken(f"{what}: {found} of {count} POSTs within {seconds:g} s") from None

    def ids(self, posts: Sequence[Received]) -> list[str | None]:
        return [post.header(self._id_header) for post in posts]


def ensure(holds: bool, otherwise: str) -> None:
    """Raises Broken with what was seen `otherwise`."""
    if not holds:
        raise Broken(otherwise)
