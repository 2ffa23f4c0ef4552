"""Signs of life of an instance: what each replica heard of it, merged into one state, by which silence is judged.

Whatever order pulses come in, and however often one comes, the state is the same but for minutes of an hour that has
been learned already. Times are Unix milliseconds.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec

from worker.domain.event import Event
from worker.domain.silence.habits import HOUR, Habits, begun, silent

MESSAGES = frozenset({"MESSAGES_UPSERT", "MESSAGE"})
"""Canonical names of the events that an instance must not lack: Evolution API's, and Evolution Go's."""

_GO_CONNECTIONS = {
    "CONNECTED": True,
    "DISCONNECTED": False,
    "LOGGED_OUT": False,
    "TEMPORARY_BAN": False,
    "CONNECT_FAILURE": False,
}
"""Evolution Go (0.6.1 to 0.7.1) has an event for each state of the connection to WhatsApp."""

CONNECTIONS = frozenset({"CONNECTION_UPDATE", *_GO_CONNECTIONS})

LOOK_AGAIN_MS = 5 * 60_000
"""Between two looks at an instance without messages: the detector was tried with this pace (tests/proof/silence)."""

FIRST_LOOK_MS = 30 * 60_000

_SECOND, _MINUTE, _HOUR_MS = 1000, 60_000, HOUR * 1000


class Pulse(NamedTuple):
    """What one replica heard of an instance lately: when the last message came, the last other event, and the last word
    about its connection to WhatsApp. None: no such event came."""

    instance: str
    message: int | None = None
    other: int | None = None
    connected: bool | None = None
    connection: int | None = None


@dataclass(frozen=True, slots=True)
class Listening:
    """What is known of an instance. `minutes`: those of the hour under way that had messages, a bit each. `opened`:
    when it was connected again after it had not been; silence counts from then on. `look`: when to judge it next."""

    habits: Habits
    minutes: int
    message: int
    other: int
    connected: bool
    connection: int
    opened: int
    silent: bool
    look: int

    @property
    def since(self) -> int:
        """The beginning of the silence, if it is one."""
        return max(self.message, self.opened)


class _Connection(msgspec.Struct):
    state: str = ""


_decode_connection = msgspec.json.Decoder(_Connection).decode


def connected_in(event: Event) -> bool | None:
    """What one of CONNECTIONS says (Evolution API 1.x and 2.x: `data.state` is open, connecting, close or refused)."""
    if event.kind in _GO_CONNECTIONS:
        return _GO_CONNECTIONS[event.kind]
    try:
        state = _decode_connection(bytes(event.fields.get("data", b""))).state
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return state == "open" if state else None


def heard(known: Listening | None, pulse: Pulse) -> Listening | None:
    """The state with this pulse; None: there is none before the first message."""
    if known is None:
        if pulse.message is None:
            return None
        known = Listening(begun(pulse.message / _SECOND), 0, 0, 0, True, 0, 0, False, 0)
    return _message(_connection(replace(known, other=max(known.other, pulse.other or 0)), pulse), pulse)


def _connection(known: Listening, pulse: Pulse) -> Listening:
    if pulse.connected is None or pulse.connection is None or pulse.connection < known.connection:
        return known
    connected = pulse.connected or pulse.connection < known.message
    again = connected and not known.connected
    return replace(
        known,
        connected=connected,
        connection=pulse.connection,
        opened=pulse.connection if again else known.opened,
        look=max(known.look, pulse.connection + FIRST_LOOK_MS) if again else known.look,
        silent=known.silent and connected,
    )


def _message(known: Listening, pulse: Pulse) -> Listening:
    """A message that came after the instance was said to be disconnected proves that it is not."""
    came = pulse.message
    if came is None:
        return known
    habits, minutes = _busy(known, came)
    if came <= known.message:
        return replace(known, habits=habits, minutes=minutes)
    return replace(
        known,
        habits=habits,
        minutes=minutes,
        message=came,
        connected=known.connected or came > known.connection,
        silent=False,
        look=came + FIRST_LOOK_MS,
    )


def _busy(known: Listening, came: int) -> tuple[Habits, int]:
    """A minute of an hour that has ended is not learned any more."""
    habits = known.habits.at(came / _SECOND)
    minutes = known.minutes if habits.hour == known.habits.hour else 0
    if came // _HOUR_MS == habits.hour:
        minutes |= 1 << (came % _HOUR_MS // _MINUTE)
    return habits.with_busy(minutes.bit_count()), minutes


def reason_of(known: Listening) -> str:
    """Of one that is silent, for people."""
    minutes = (known.other - known.since) // _MINUTE
    return (
        f"it is connected to WhatsApp and other events come, but no message has come for {minutes // 60} h "
        f"{minutes % 60} min, at a time when some usually do"
    )


def judged(known: Listening, now: int) -> Listening:
    """Whether it is silent, and when to look again.

    Only time until its newest other event counts: what has not been heard yet, because pulses or their database are
    late, is no silence.
    """
    until = min(now, known.other)
    is_silent = silent(known.habits, known.since / _SECOND, until / _SECOND, until / _SECOND, connected=known.connected)
    return replace(known, silent=known.silent or is_silent, look=now + LOOK_AGAIN_MS)
