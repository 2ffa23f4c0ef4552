"""Send letters back to work: a confirmed and routed publish, then the letter's ack. A crash duplicates at most."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from aio_pika.abc import AbstractConnection

from worker.basics.clock import Clock
from worker.basics.tasks import Tasks, end
from worker.broker.connection import BROKER_ERRORS
from worker.broker.past_headers import Headers, headers_of, trace_in
from worker.broker.publishing.publisher import Publisher
from worker.broker.topology import Topology
from worker.deadletters.browse import Browser, Seen
from worker.deadletters.direct import Deliver
from worker.deadletters.letter import Letter, read, redriven
from worker.delivery.ports import PublishFailed, TooLarge
from worker.domain.event import InvalidEvent
from worker.domain.past import Past

WINDOW = 200
"""Letters in flight. Confirms one at a time make 1,100/s, 200 in flight 4,000 to 8,000/s."""

MOST_BYTES = 64 * 1024 * 1024
"""Bodies in memory. A letter that comes when there is no room waits un-acked for the next pass."""

LAST_CONFIRMS_SECONDS = 5.0
"""After an interruption: how long the publishes under way may take, so that their letters are acked too."""


@dataclass(slots=True)
class Redriven:
    """What was moved, by reason. `damaged`: ids of letters that stay, since nobody can say whom they were for.

    `left`: those that RabbitMQ does not take for their size and that could not be delivered either, by id, with why.
    """

    moved: Counter[str] = field(default_factory=Counter)
    damaged: set[str] = field(default_factory=set)
    found: set[str] = field(default_factory=set)
    left: dict[str, str] = field(default_factory=dict)


class Redrive:
    """Sends the chosen letters back to work, acking each after its confirm; one run.

    `wants` says which letters; `limit` how many at most. `result` is true at every moment. `deliver` is what is done
    with a letter that is too large to be published; None: it is left.
    """

    def __init__(
        self,
        connection: AbstractConnection,
        topology: Topology,
        wants: Callable[[Letter], bool],
        limit: int | None,
        now: Clock,
        deliver: Deliver | None = None,
    ) -> None:
        self._connection = connection
        self._topology = topology
        self._wants = wants
        self._limit = limit
        self._now = now
        self._deliver = deliver
        self._publisher = Publisher.of_a_command(topology)
        self._publishing = Tasks()
        self._chosen = self._bytes = self._postponed = 0
        self._browser: Browser | None = None
        self._stopped = False
        self._failure: Exception | None = None
        self.result = Redriven()

    async def run(self) -> None:
        """Raises PublishFailed or one of BROKER_ERRORS; what was moved until then has been moved."""
        working = asyncio.ensure_future(self._passes())
        try:
            await asyncio.shield(working)
        except asyncio.CancelledError:
            # In order: no new letter, then the confirms and acks of those under way, so that none is repeated.
            self._stop()
            await asyncio.wait({working}, timeout=LAST_CONFIRMS_SECONDS)
            await end(working)
            raise

    async def _passes(self) -> None:
        await self._publisher.opened(self._connection)
        most = None
        while True:
            moved = self.result.moved.total()
            held = await self._pass(most)
            if self._stopped or not self._postponed or self.result.moved.total() == moved:
                return
            most, self._postponed = held, 0  # what was requeued stands at the queue's head

    async def _pass(self, most: int | None) -> int:
        async with Browser(self._connection, self._topology.dead, WINDOW) as browser:
            self._browser = browser
            if self._stopped:
                return 0
            try:
                await browser.run(self._look, most)
                await self._publishing.finished()
                await browser.settled()
            finally:
                await self._publishing.end()
        if self._failure:
            raise self._failure
        return browser.held

    def _stop(self) -> None:
        self._stopped = True
        if self._browser:
            self._browser.enough()

    def _look(self, seen: Seen) -> bool:
        letter = read(seen.headers, seen.body, seen.message_id)
        if not self._wants(letter) or letter.id in self.result.left:
            return True
        self.result.found.add(letter.id)
        if self._bytes and self._bytes + len(seen.body) > MOST_BYTES:
            self._postponed += 1
            return True
        return not self._start(seen, letter)

    def _start(self, seen: Seen, letter: Letter) -> bool:
        try:
            past = redriven(seen.headers, seen.body, seen.message_id, self._now())
        except InvalidEvent:
            self.result.damaged.add(letter.id)
            return False
        self._chosen += 1
        self._bytes += len(seen.body)
        self._publishing.start(self._move(seen, past, letter))
        if self._chosen == self._limit:
            self._stop()
        return True

    async def _move(self, seen: Seen, past: Past, letter: Letter) -> None:
        # A letter that never reached a webhook fans out anew; the others go to their one webhook.
        target = self._topology.events if past.webhook_id is None else self._topology.retries
        try:
            assert self._browser is not None
            # A letter's next life belongs to the trace of the one before.
            headers = {**headers_of(past), **trace_in(seen.headers)}
            problem = await self._sent(target, seen.body, headers, past)
            if problem is None:
                await self._browser.ack(seen.tag)
            else:
                self.result.left[letter.id] = problem
                self._browser.held += 1
        except (PublishFailed, *BROKER_ERRORS) as error:
            self._failure = error
            self._stop()
        else:
            self.result.moved[letter.reason] += problem is None
        finally:
            self._bytes -= len(seen.body)

    async def _sent(self, target: str, body: bytes, headers: Headers, past: Past) -> str | None:
        """Published, or delivered from here where the broker takes no message of this size. Returns why neither."""
        try:
            await self._publisher.publish(target, body, headers)
        except TooLarge as error:
            problems = [str(error)] if self._deliver is None else await self._deliver(body, past)
            return "; ".join(problems) or None
        return None
