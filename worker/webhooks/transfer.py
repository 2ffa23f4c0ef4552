"""`webhook import`: what would change in the worker's own table, and then the change; `export`: all of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from worker.configuration.model import InvalidWebhook, fields_of, webhook_from
from worker.configuration.port import ListableStore, Stored, WritableStore
from worker.domain.webhook import DEFAULT_ID, Endpoint, Webhook

EVOLUTION_FIELDS = ("url", "enabled", "events", "by_events", "base64", "headers")
"""What Evolution knows of a webhook: an import from there leaves the other fields as they are."""

PAGE = 500


@dataclass(frozen=True, slots=True)
class Candidate:
    """One webhook of the source: `fields` by the model's names, laid over what is stored."""

    instance: str
    id: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be written; `fields` are the names that differ, () for a new webhook."""

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
    return Candidate(instance, DEFAULT_ID, {name: fields[name] for name in EVOLUTION_FIELDS if name in fields})


def whole(webhook: Webhook) -> Candidate:
    return Candidate(webhook.instance, webhook.id, fields_of(webhook))


async def plan(store: ListableStore, candidates: Iterable[Candidate]) -> Plan:
    """Compares; writes nothing. Raises StoreUnavailable."""
    here = {item.webhook.endpoint: item.webhook for item in await everything(store)}
    create: list[Change] = []
    change: list[Change] = []
    refused: list[tuple[Endpoint, str]] = []
    seen: set[Endpoint] = set()
    for candidate in candidates:
        endpoint = Endpoint(candidate.instance, candidate.id)
        seen.add(endpoint)
        try:
            found = _difference(candidate, here.get(endpoint))
        except InvalidWebhook as error:
            refused.append((endpoint, str(error)))
            continue
        if found is not None:
            (change if endpoint in here else create).append(found)
    same = len(seen) - len(create) - len(change) - len(refused)
    return Plan(tuple(create), tuple(change), tuple(refused), same, len(here.keys() - seen))


async def carry_out(store: WritableStore, planned: Plan) -> list[tuple[str, int]]:
    """Writes what was planned; each instance with its new revision. Raises StoreUnavailable; it can be repeated."""
    changes = (*planned.create, *planned.change)
    return [(change.webhook.instance, (await store.put(change.webhook)).revision) for change in changes]


async def everything(store: ListableStore) -> list[Stored]:
    """All webhooks, in order of instance and id. Raises StoreUnavailable."""
    found: list[Stored] = []
    following: Endpoint | None = None
    while True:
        page = await store.list(following, PAGE)
        found += page.items
        following = page.following
        if following is None:
            return found


def _difference(candidate: Candidate, existing: Webhook | None) -> Change | None:
    """None: it is here, just so. Raises InvalidWebhook."""
    before = fields_of(existing) if existing else {}
    fields = {"instance": candidate.instance, "id": candidate.id, **before, **candidate.fields}
    webhook = webhook_from(fields)
    if existing is None:
        return Change(webhook, ())
    after = fields_of(webhook)
    names = tuple(name for name in after if after[name] != before[name])
    return Change(webhook, names) if names else None
