"""The times and bounds of ordered delivery, each with its reason. Seconds, unless a name says otherwise."""

from dataclasses import dataclass

BEAT_SECONDS = 0.25
"""How often `beat` is called."""

TICK_SECONDS = 0.5
"""The active replica announces itself, and publishes a tick to the queue, this often."""

LEASE_SECONDS = 1.75
"""From the sending of the last tick that was confirmed and whose announcement was heard back."""

TAKEOVER_SECONDS = 2.25
"""A new active replica does nothing for so long after its announcement was heard: longer than any lease that began
before it."""

SILENCE_SECONDS = 1.25
"""Without an announcement for so long a standby publishes ticks: whoever is active now learns of it by one."""

LEASE_PATIENCE_SECONDS = 10.0
"""An active replica without a lease for so long gives way."""

FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 60.0

HEAD_SECONDS = 60.0
"""An endpoint whose oldest delivery has waited for so long, un-acked, moves into a siding."""

SLOW_SECONDS = 2.0
"""One that holds many moves once its oldest delivery has waited for so long. Trade-off: it holds its share of the
prefetch until then; moved at once, every burst to a fast endpoint would cost a publish and a second taking each."""

STILL_SECONDS = 1.0
"""While half of the prefetch is held one moves that has taken nothing for so long. Trade-off: a receiver that is slow
once may get a siding for a moment; when its attempts were waited for, twenty that hang took all."""

MOST_STILL = 10
"""Deliveries of one endpoint that may wait outside a siding once it has taken nothing for SLOW_SECONDS. One that hangs
has failed no attempt until its timeout, and one with a chat or two opens its circuit after half a minute at best. What
it holds fills the prefetch, and RabbitMQ must be told of each delivery behind it in a frame of its own: 20 of 200 that
hung left the others 0.6 of their throughput. Trade-off: a siding costs RabbitMQ a queue, so fewer events stay."""

MOST_WAITING = 100
"""Deliveries of one endpoint that may wait outside a siding for longer than SLOW_SECONDS."""

CLOSING_EVENTS = 50
"""A siding of a well endpoint is closed when no more than so many of its events are still to come."""

WINDOW_EVENTS = 300
"""Publishes into all sidings together without their confirm; each has an equal share. They go through one channel, and
RabbitMQ stops reading a whole connection 400 messages after a queue on it takes no more."""


FULL_PREFETCH = 20
"""Messages that a siding is given at a time: its label, and the heads of the chats that are attempted at once when the
receiver is back."""

LABEL_AND_HEAD, LABEL_ALONE = 2, 1
"""The same for one of too many large ones: an event at a time, or none, until others have made room."""

ROOM_SECONDS = 5.0
"""So long at least a siding keeps what it is given."""


@dataclass(frozen=True, slots=True)
class Rules:
    """`prefetch` in messages, `most_bytes` of bodies that are un-acked outside sidings, `most_siding_bytes` in them.

    `unacked_seconds`: no label of a siding is un-acked for longer, as RabbitMQ's consumer_timeout is half an hour.
    """

    prefetch: int = 1000
    most_sidings: int = 500
    most_bytes: int = 64 * 1024**2
    most_siding_bytes: int = 64 * 1024**2
    unacked_seconds: float = 300.0
