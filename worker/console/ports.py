"""What the console needs of other parts: handed in by the composition root."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from worker.api.ports import Body, Changed, Explain, Replays, Resend, SendTest
from worker.api.saving import Saving
from worker.basics.clock import Clock
from worker.history.asking import Asking
from worker.webhooks.store import WritableStore


class BrokerAway(Exception):
    """RabbitMQ cannot be asked now; the text says why, without the password."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Messages that are ready in the queues, as RabbitMQ counts them; the `oldest` event in seconds, None: not known
    here. `workers` counts the replicas that consume."""

    events: int
    retries: int
    dead: int
    workers: int
    oldest: float | None = None


AskBacklog = Callable[[], Awaitable[Backlog]]
"""Raises BrokerAway."""


LastEvents = Callable[[str], Awaitable[Sequence[bytes]]]
"""Events of an instance that came lately, the newest first, as far as a short look into the archive finds them.

Raises NoEvents."""


class NoEvents(Exception):
    """There is no archive to look into, or it cannot be asked now; the text says why."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command wrote, and its exit code."""

    code: int
    out: bytes
    err: str


OnLine = Callable[[str], bool]
"""Called with each line that a command writes to standard error; True: it was meant for the caller alone."""

RunCommand = Callable[[Sequence[str], OnLine | None], Awaitable[Ended]]
"""Runs one of the worker's own commands (`("dead", "list", "--json")`) in a process of its own, which ends with it.

Raises OSError when none can be started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What pages read and change. `elsewhere`: where webhooks are changed when not here. `history` None: HISTORY is
    off. `successes`: it has the rows of attempts that succeeded, too. What else is None cannot be done here. `now`:
    Unix seconds."""

    store: WritableStore
    elsewhere: str | None
    saving: Saving
    changed: Changed
    send_test: SendTest
    explain: Explain
    resend: Resend | None
    replays: Replays | None
    body: Body | None
    last_events: LastEvents | None
    history: Asking | None
    successes: bool
    backlog: AskBacklog
    run: RunCommand
    now: Clock
