"""`webhook import`: what would change in the worker's own table, and then the change; `export`: all of it."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from worker.basics.clock import Clock
from worker.domain.webhook import DEFAULT_ID, Endpoint, Webhook
from worker.webhooks import changing
from worker.webhooks.declaration import CONTENT
from worker.webhooks.fields import InvalidWebhook, fields_of, set_from
from worker.webhooks.store import ListableStore, Stored, WritableStore

EVOLUTION_FIELDS = tuple(field.name for field in CONTENT if field.evolution)
"""What Evolution knows of a webhook: an import from there leaves the other fields as they are."""

PAGE = 500


@dataclass(frozen=True, slots=True)
class Candidate:
    """One webhook of the source: `fields` by the model's names, laid over what is stored.

    `words`: see webhook_from.
    """

    instance: str
    id: str
    fields: Mapping[str, object]
    words: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be written, as things are; `fields` are the names that differ, () for a new webhook."""

    candidate: Candidate
    webhook: Webhook
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """`refused`: endpoint and problem. `others`: webhooks here that the source does not have, which stay."""

    create: tuple[Change, ...]
    change: tuple[Change, ...]
    refused: tuple[tuple[Endpoint, str], ...]
    same: int
    others: int


def from_evolution(fields: Mapping[str, object], instance: str) -> Candidate:
    """Events that are not known here are taken: what Evolution's list says, a newer Evolution will send."""
    known = {name: fields[name] for name in EVOLUTION_FIELDS if name in fields}
    events = known.get("events")
    words = frozenset(name for name in events if isinstance(name, str)) if isinstance(events, list) else frozenset()
    return Candidate(instance, DEFAULT_ID, known, words)


def whole(webhook: Webhook) -> Candidate:
    return Candidate(webhook.instance, webhook.id, fields_of(webhook))


async def plan(
    store: ListableStore, candidates: Iterable[Candidate], now: Clock = time.time, *, orders: bool = False
) -> Plan:
    """Compares; writes nothing. `orders`: whether the workers deliver in order (ORDER). Raises StoreUnavailable."""
    here = {item.webhook.endpoint: item.webhook for item in await everything(store)}
    create: list[Change] = []
    change: list[Change] = []
    refused: list[tuple[Endpoint, str]] = []
    seen: dict[Endpoint, Candidate] = {}
    same = 0
    for candidate in candidates:
        endpoint = Endpoint(candidate.instance, candidate.id)
        if endpoint in seen:
            if seen[endpoint] != candidate:
                refused.append((endpoint, "is in the source twice, and differs: the first one counts"))
            continue
        seen[endpoint] = candidate
        try:
            found = await _difference(candidate, here.get(endpoint), now(), orders=orders)
        except InvalidWebhook as error:
            refused.append((endpoint, str(error)))
            continue
        if found is None:
            same += 1
        else:
            (change if endpoint in here else create).append(found)
    return Plan(tuple(create), tuple(change), tuple(refused), same, len(here.keys() - seen.keys()))


async def carry_out(
    store: WritableStore,
    planned: Plan,
    now: Clock = time.time,
    *,
    enabling: changing.Enabling,
    orders: bool = False,
) -> list[tuple[str, int]]:
    """Writes what was planned; each instance with its new revision. Raises StoreUnavailable; it can be repeated.

    What others wrote since the plan was made stays, as far as the source does not say otherwise.
    """
    revisions = []
    for one in (*planned.create, *planned.change):
        make = partial(_laid_over, one.candidate, now(), orders=orders)
        changed = await changing.change(store, one.webhook.endpoint, make, enabling)
        if changed is not None:
            revisions.append((changed.webhook.instance, changed.written.revision))
    return revisions


async def everything(store: ListableStore) -> list[Stored]:
    """All webhooks, in order of instance and id. Raises StoreUnavailable."""
    found, _ = await readable_and_not(store)
    return found


async def readable_and_not(store: ListableStore) -> tuple[list[Stored], tuple[str, ...]]:
    """`everything`, and what is wrong with each row that is left out. Raises StoreUnavailable."""
    page = await store.list(None, PAGE)
    found, unreadable = list(page.items), page.unreadable
    while page.following is not None:
        page = await store.list(page.following, PAGE)
        found += page.items
    return found, unreadable


async def _laid_over(candidate: Candidate, now: float, existing: Webhook | None, *, orders: bool) -> Webhook:
    """Raises InvalidWebhook."""
    before = fields_of(existing) if existing else {}
    merged = {"instance": candidate.instance, "id": candidate.id, **before, **candidate.fields}
    return set_from(merged, existing, now, candidate.words, orders=orders)


async def _difference(candidate: Candidate, existing: Webhook | None, now: float, *, orders: bool) -> Change | None:
    """None: it is here, just so. Raises InvalidWebhook."""
    webhook = await _laid_over(candidate, now, existing, orders=orders)
    if existing is None:
        return Change(candidate, webhook, ())
    before, after = fields_of(existing), fields_of(webhook)
    names = tuple(name for name in after if after[name] != before[name])
    return Change(candidate, webhook, names) if names else None
