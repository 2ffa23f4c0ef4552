"""Every fault, in one table. Each is a coroutine that does its harm, heals it, and returns.

Without a row here, because a loopback machine without root cannot do it: a full disk as such (a limit on the
size of the process's files has the same effect on SQLite), and a jump of the machine's own clock (the workers'
`time.time` jumps instead; the monotonic clock does not jump, by definition).
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tests.proof.chaos.faults import armed, broker, links, ordered, queues, replays, surroundings, workers

if TYPE_CHECKING:
    from tests.proof.chaos.world import World

Run = Callable[["World", random.Random], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """`store`: the only one that it works on. `slow`: it takes over five seconds. `jumps`: clocks do.

    `refuses`: a queue refuses what RabbitMQ itself moves from a delay queue.
    """

    name: str
    run: Run
    store: Literal["sqlite", "postgresql"] | None = None
    slow: bool = False
    jumps: bool = False
    refuses: bool = False

    @property
    def kind(self) -> str:
        return self.name.partition(":")[0]


FAULTS = (
    Fault("worker: kill -9", workers.kill),
    Fault("worker: kill -9 of both", workers.kill_both),
    Fault("worker: SIGTERM", workers.terminate),
    Fault("worker: SIGTERM of both", workers.terminate_both),
    Fault("worker: frozen (SIGSTOP)", workers.freeze),
    Fault("armed: killed after POST, before ack", armed.after_post_before_ack),
    Fault("armed: killed after confirmed retry, before ack", armed.after_confirm_before_ack),
    Fault("armed: killed before its retry reached the broker", armed.before_publish),
    Fault("armed: killed before it saw the confirm", armed.before_confirm),
    Fault("armed: killed between two deliveries of one event", armed.between_two_deliveries),
    Fault("armed: redrive killed before its acks", armed.redrive_killed),
    Fault("armed: redrive cut in mid-frame", armed.redrive_cut),
    Fault("armed: worker killed in the middle of a redrive", armed.worker_killed_in_redrive),
    Fault("armed: SIGTERM after POST, before ack", armed.terminated_after_post, slow=True),
    Fault("armed: SIGTERM after confirmed retry, before ack", armed.terminated_after_confirm, slow=True),
    Fault("armed: SIGTERM between two deliveries of one event", armed.terminated_between_two_deliveries),
    Fault("armed: redrive ended by SIGTERM before its acks", armed.redrive_terminated),
    Fault("broker: restart", broker.restart, slow=True),
    Fault("broker: kill -9", broker.kill, slow=True),
    Fault("broker: kill -9, and of a worker meanwhile", broker.kill_with_worker, slow=True),
    Fault("broker: closes all connections", broker.close_all_connections),
    Fault("broker: memory alarm", broker.memory_alarm),
    Fault("link: reset", links.reset),
    Fault("link: cut in mid-frame", links.cut),
    Fault("link: stalled, then resumed", links.stall_and_resume),
    Fault("link: stalled, then reset", links.stall_and_reset),
    Fault("link: slow", links.slow),
    Fault("link: no publishing", links.refuse_publishing),
    Fault("queue: delay queue full", queues.delay_queue_full),
    Fault("queue: events queue full, the producer is refused", queues.events_queue_full),
    Fault("queue: retries queue full", queues.retries_queue_full, refuses=True),
    Fault("queue: dead-letter queue full", queues.dead_queue_full),
    Fault("queue: deleted while empty", queues.deleted, slow=True),
    Fault("store: SQLite file gone", surroundings.file_gone, store="sqlite"),
    Fault("store: SQLite file damaged, worker killed", surroundings.file_damaged, store="sqlite"),
    Fault("store: disk full", surroundings.disk_full, store="sqlite"),
    Fault("store: PostgreSQL stopped", surroundings.postgresql_stopped, store="postgresql", slow=True),
    Fault("receiver: restart", surroundings.receiver_restart),
    Fault("receiver: its name does not resolve", surroundings.name_unresolved),
    Fault("replay: paused and resumed", replays.paused_and_resumed, slow=True),
    Fault("replay: everything again, its process killed", replays.everything_again, slow=True),
    Fault("clock: jumps", surroundings.clock_jumps, jumps=True),
)

ORDERED = (
    Fault("ordered: the active replica killed", ordered.active_killed),
    Fault("ordered: the active replica frozen past its lease", ordered.active_frozen),
    Fault("ordered: a receiver is down, the active replica killed", ordered.down_and_killed),
    Fault("ordered: a receiver is down, the active replica killed while it comes back", ordered.killed_coming_back),
    Fault("ordered: the active replica's link stalls", ordered.active_stalled),
    Fault("ordered: paused and resumed", ordered.paused),
)
