"""Evolution's own queues: those that grow unread, and those that nothing feeds."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from worker.doctor.commands import UNREAD_POLICY, Commands
from worker.doctor.finding import Finding, many, size, some
from worker.doctor.version import FIRST_WITH_A_LIMIT, LIMIT_OF_4, parsed
from worker.doctor.view import EvolutionQueue

NAME = "Evolution's own queues"
UNDEFINED_NAME = "queues `undefined.*`"
ORPHANS_NAME = "orphan queues"
STRANGERS_NAME = "queues of another exchange"
CAPS = ("max-length", "max-length-bytes", "message-ttl", "expires")
"""Keys of a policy, and with `x-` of a queue's arguments, that keep a queue from growing for ever."""

MANY_MESSAGES = 10_000
MANY_BYTES = 100 * 1024**2


def unread(queues: Sequence[EvolutionQueue], commands: Commands) -> Finding:
    """RABBITMQ_SOURCE=exchange: the worker has a queue of its own, so these grow unless somebody else reads them."""
    idle = [queue for queue in queues if not queue.facts.consumers and queue.sources != frozenset()]
    idle = [queue for queue in idle if not queue.undefined]
    open_ended = [queue for queue in idle if _open_ended(queue)]
    if open_ended:
        return _uncapped(open_ended, commands)
    unknown = [queue for queue in idle if capped(queue) is None]
    if unknown:
        waiting = sum(queue.messages for queue in unknown)
        what = f"{many(len(unknown), 'queue')} without a reader, {many(waiting, 'message')}: {some(_named(unknown))}; "
        what += "whether a policy caps them could not be seen"
        return Finding("advice", NAME, what, commands.cap_unread(), _names(unknown))
    read = len(queues) - len(idle)
    return Finding("ok", NAME, f"{len(idle)} without a reader, all capped; {read} others")


def _open_ended(queue: EvolutionQueue) -> bool:
    """More than the policy would leave proves that there is none."""
    cap = capped(queue)
    return cap is False or (cap is None and queue.messages > int(str(UNREAD_POLICY["max-length"])))


def capped(queue: EvolutionQueue) -> bool | None:
    """None: its policies are not known."""
    if any(f"x-{key}" in queue.facts.arguments for key in CAPS):
        return True
    return None if queue.facts.policy is None else any(key in queue.facts.policy for key in CAPS)


def _uncapped(queues: Sequence[EvolutionQueue], commands: Commands) -> Finding:
    messages = sum(queue.messages for queue in queues)
    volume = sum(queue.facts.bytes or 0 for queue in queues)
    urgent = messages >= MANY_MESSAGES or volume >= MANY_BYTES
    held = f"{many(messages, 'message')}{f' ({size(volume)})' if volume else ''}"
    what = f"nobody reads {many(len(queues), 'queue')} with {held}, and no policy caps them: {some(_named(queues))}"
    others = sorted({queue.facts.policy_name for queue in queues if queue.facts.policy_name})
    fix = commands.cap_unread()
    if others and others != ["evolution-unread"]:
        fix = f"only one policy applies to a queue: add max-length to {some(others)}; for queues without one: {fix}"
    return Finding("problem" if urgent else "warning", NAME, what, fix, _names(queues))


def consumed(
    queues: Sequence[EvolutionQueue], version: str, dead: str, commands: Commands, *, name: str = NAME, keep: str = ""
) -> list[Finding]:
    """RABBITMQ_SOURCE=queues: these are what the worker reads. `keep`: the policy's command, if it is another one."""
    read = [queue for queue in queues if not queue.undefined and queue.sources != frozenset()]
    if not read:
        fix = "RABBITMQ_GLOBAL_ENABLED=true in Evolution, and RABBITMQ_PREFIX_KEY here as there"
        fix += " (Evolution Go: AMQP_GLOBAL_ENABLED=true, and no prefix here)"
        return [Finding("problem", name, "none exists, and RABBITMQ_SOURCE=queues reads nothing else", fix)]
    found = []
    cut = [queue for queue in read if capped(queue)]
    if cut:
        policies = sorted({queue.facts.policy_name for queue in cut if queue.facts.policy_name})
        fix = "; ".join(commands.ctl("clear_policy", policy) for policy in policies)
        what = f"what the worker reads is cut off by a limit, so events are lost: {some(_named(cut))}"
        found.append(Finding("problem", name, what, fix or "recreate them without x-max-length", _names(cut)))
    waiting = [queue for queue in read if queue.facts.consumers == 0]
    if waiting:
        what = f"nobody reads {many(len(waiting), 'queue')}: {some(_named(waiting))}"
        found.append(Finding("warning", name, what, "webhook-worker run", _names(waiting)))
    dropping = [queue for queue in read if _drops(queue, version)]
    if dropping:
        what = (
            f"RabbitMQ {version} drops what was taken {LIMIT_OF_4} times (each crash counts): {some(_named(dropping))}"
        )
        found.append(Finding("warning", "delivery limits", what, keep or commands.keep_read(dead), _names(dropping)))
    return found or [Finding("ok", name, f"{len(read)} read by a worker")]


def _drops(queue: EvolutionQueue, version: str) -> bool:
    """No dead-letter exchange: a message above the limit is gone."""
    policy = queue.facts.policy
    given = {key.removeprefix("x-") for key in queue.facts.arguments} | set(policy or {})
    return policy is not None and parsed(version) >= FIRST_WITH_A_LIMIT and "dead-letter-exchange" not in given


def undefined(queues: Sequence[EvolutionQueue], commands: Commands, *, reads: bool) -> Finding | None:
    """Evolution 2.x's init makes them where RABBITMQ_PREFIX_KEY is unset there, and never feeds them."""
    found = [queue for queue in queues if queue.undefined]
    if not found:
        return None
    names = _names(found)
    held = sum(queue.messages for queue in found)
    what = f"{many(len(found), 'queue')} that Evolution made and never feeds, {many(held, 'message')}: {some(names)}"
    what += "; it makes them again at each start while its RABBITMQ_PREFIX_KEY is unset"
    return Finding("warning" if held else "advice", UNDEFINED_NAME, what, _deletion(found, commands, reads), names)


@dataclass(frozen=True, slots=True)
class Origins:
    """Who may feed Evolution's queues, as far as it is known here.

    `exchange` and `prefix`: RABBITMQ_EXCHANGE_NAME and RABBITMQ_PREFIX_KEY; `instances`: all that Evolution has, None:
    not known. `reads`: RABBITMQ_SOURCE=queues.
    """

    exchange: str
    instances: Collection[str] | None
    prefix: str = ""
    reads: bool = False

    def agree(self, queues: Sequence[EvolutionQueue]) -> bool:
        """Whether any queue is fed by what these settings name: else they may well speak of another Evolution."""
        ours = {self.exchange, *(self.instances or ())}
        return any(queue.sources & ours for queue in queues if queue.sources)


def orphans(queues: Sequence[EvolutionQueue], origins: Origins, commands: Commands) -> Finding | None:
    """What nothing feeds any more."""
    agreed = origins.agree(queues)
    found = [queue for queue in queues if _is_idle(queue) and _is_orphan(queue, origins, agreed=agreed)]
    if not found:
        return None
    names = _names(found)
    held = sum(queue.messages for queue in found)
    what = f"{many(len(found), 'queue')} that nothing feeds any more, {many(held, 'message')}: {some(_named(found))}"
    fix = _deletion(found, commands, origins.reads)
    return Finding("warning" if held else "advice", ORPHANS_NAME, what, fix, names)


def strangers(queues: Sequence[EvolutionQueue], origins: Origins) -> Finding | None:
    """What an exchange feeds that no setting names: theirs may be right and ours wrong, so nothing is to be deleted."""
    agreed = origins.agree(queues)
    found = [
        queue
        for queue in queues
        if _is_idle(queue) and _is_strange(queue, origins) and not _is_orphan(queue, origins, agreed=agreed)
    ]
    if not found:
        return None
    sources = sorted({source for queue in found for source in queue.sources or ()})
    what = f"fed by {some(sources)}, while RABBITMQ_EXCHANGE_NAME says {origins.exchange}: {some(_named(found))}"
    fix = "RABBITMQ_EXCHANGE_NAME as in Evolution; if it is right, these belong to another Evolution or an earlier name"
    return Finding("advice" if agreed or origins.reads else "warning", STRANGERS_NAME, what, fix, _names(found))


def _is_idle(queue: EvolutionQueue) -> bool:
    return queue.sources is not None and not queue.facts.consumers and queue.as_made and not queue.undefined


def _is_orphan(queue: EvolutionQueue, origins: Origins, *, agreed: bool) -> bool:
    """Bound to nothing, or to nothing but the exchange of an instance that is gone.

    Evolution's own exchange may bear the name of its queues' prefix.
    """
    if not queue.sources:
        return True
    if origins.instances is None or not agreed or queue.prefix in ("", origins.exchange, origins.prefix):
        return False
    return queue.sources == {queue.prefix} and queue.prefix not in origins.instances


def _is_strange(queue: EvolutionQueue, origins: Origins) -> bool:
    sources = queue.sources or frozenset()
    if not sources or sources & {origins.exchange, *(origins.instances or ())}:
        return False
    return origins.instances is not None or sources != {queue.prefix}  # an instance that is not known here


def _deletion(queues: Sequence[EvolutionQueue], commands: Commands, reads: bool) -> str:
    """`reads`: what they hold is in no queue of ours, and perhaps not delivered."""
    full = [queue for queue in queues if reads and queue.facts.messages != 0]
    empty = _names([queue for queue in queues if queue not in full])
    delete = [commands.delete_queues(empty)] if empty else []
    keep = [f"look first at what these hold, it may not be delivered yet: {some(_names(full))}"] if full else []
    return "; ".join(delete + keep)


def modes(queues: Sequence[EvolutionQueue], exchange: str, *, instance_exchanges: bool) -> Finding | None:
    """Evolution publishes to its global exchange, to one of each instance, or to both: the worker has to know."""
    fed = [queue for queue in queues if queue.sources]
    local = [queue for queue in fed if queue.prefix in (queue.sources or ()) and exchange not in (queue.sources or ())]
    together = any(exchange in (queue.sources or ()) for queue in fed)
    name = "Evolution's mode"
    if local and not together and not instance_exchanges:
        what = f"it publishes to the exchanges of its instances alone, which are not read: {some(_names(local))}"
        fix = "RABBITMQ_GLOBAL_ENABLED=true in Evolution, or RABBITMQ_INSTANCE_EXCHANGES=true here"
        return Finding("problem", name, what, fix, _names(local))
    if local and together and instance_exchanges:
        what = "queues of both modes exist, and the worker reads both: each event may come twice"
        fix = "RABBITMQ_INSTANCE_EXCHANGES=false here, or disable RabbitMQ of the instances in Evolution"
        return Finding("warning", name, what, fix, _names(local))
    return None


def _named(queues: Sequence[EvolutionQueue]) -> list[str]:
    """The fullest first."""
    ordered = sorted(queues, key=lambda queue: (-queue.messages, queue.name))
    return [f"{queue.name} ({queue.messages:,})" for queue in ordered]


def _names(queues: Sequence[EvolutionQueue]) -> tuple[str, ...]:
    return tuple(sorted(queue.name for queue in queues))
