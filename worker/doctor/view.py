"""What was seen of the broker, in the shape that the rules want."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from worker.doctor.asking.management import Binding, QueueFacts
from worker.domain.names import KNOWN, WIRE_NAMES, canonical, queue_spellings

UNDEFINED = "undefined"


@dataclass(frozen=True, slots=True)
class BrokerView:
    """`bindings` None: they could not be looked at, and `queues` are only those whose names are known.

    `active`: the address of the process that delivers in order; None: none, or not seen. `complete`: whether the
    ordered queue gets all that is in the queue of first attempts. `oldest`: the siding whose first event has waited for
    longest, and since when, Unix seconds; None: no siding holds any, or nobody told.
    """

    version: str
    queues: Mapping[str, QueueFacts]
    bindings: Sequence[Binding] | None = None
    active: str | None = None
    complete: bool = True
    oldest: tuple[str, float] | None = None


@dataclass(frozen=True, slots=True)
class EvolutionQueue:
    """One of Evolution's own. `prefix` is what stands before the event's name, "" for none.

    `sources` are the exchanges that feed it with something Evolution publishes; None: not known.
    """

    facts: QueueFacts
    prefix: str
    sources: frozenset[str] | None = field(default=None)

    @property
    def name(self) -> str:
        return self.facts.name

    @property
    def messages(self) -> int:
        return self.facts.messages or 0

    @property
    def as_made(self) -> bool:
        """Whether it has the arguments that Evolution gives, so that another application's is not taken for one.

        Where bindings cannot be seen, arguments cannot either.
        """
        return self.sources is None or self.facts.arguments == {"x-queue-type": "quorum"}

    @property
    def undefined(self) -> bool:
        """Made by Evolution's init without a prefix. An instance may be called so: its own exchange then feeds it."""
        return self.prefix == UNDEFINED and not self.sources and self.as_made


@cache
def spellings() -> tuple[str, ...]:
    """Every name of an event in a queue's name, the longest first."""
    found = {spelling for kind in KNOWN for spelling in queue_spellings(kind)}
    return tuple(sorted(found, key=lambda name: (-len(name), name)))


def prefix_of(name: str) -> str | None:
    """What stands before the event's name; None: the name does not end in one."""
    for spelling in spellings():
        if name == spelling:
            return ""
        if name.endswith("." + spelling):
            return name.removesuffix("." + spelling)
    return None


def evolution_queues(
    view: BrokerView, exchange: str, prefixes: Collection[str], own_prefix: str
) -> list[EvolutionQueue]:
    """Those that are Evolution's: by a prefix that is known, else by the exchange they are bound to.

    `acme.call` alone could be any application's.
    """
    found = []
    by_queue: dict[str, list[Binding]] = {}
    for binding in view.bindings or ():
        by_queue.setdefault(binding.queue, []).append(binding)
    for facts in view.queues.values():
        prefix = prefix_of(facts.name)
        if prefix is None or facts.name.startswith(own_prefix + "."):
            continue
        bound = by_queue.get(facts.name, [])
        if (
            prefix in ("", UNDEFINED)
            or prefix in prefixes
            or {binding.source for binding in bound} & {exchange, prefix}
        ):
            found.append(EvolutionQueue(facts, prefix, None if view.bindings is None else _feeding(bound)))
    return found


def _feeding(bound: Iterable[Binding]) -> frozenset[str]:
    return frozenset(binding.source for binding in bound if _published(binding.key))


def _published(key: str) -> bool:
    """Whether Evolution publishes anything with such a routing key.

    It binds the queues of its init with MESSAGES_UPSERT, or makes group.participants.update of a name with a dash.
    Dashes throughout (messages-upsert) are 1.8.0's, and count.
    """
    kind = canonical(key)
    if kind not in KNOWN or key == WIRE_NAMES[kind]:
        return True
    return key == key.lower() and "." not in key
