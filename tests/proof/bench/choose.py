"""What choosing costs: filters of several lengths, slim bodies, and events that are filtered out."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.delivery.fakes import FakeMessage
from tests.proof.bench.filtered import left_unsent
from tests.proof.bench.rig import Rig, verdict
from tests.proof.bench.sampling import Posts, Sample, measure, median, spread
from worker.delivery.choosing import Choosing
from worker.delivery.open_deliveries import OpenDeliveries
from worker.domain.choosing.subscriptions import Subscriptions, subscriptions
from worker.domain.event import parse
from worker.domain.past import Past
from worker.domain.routing import Delivery, route
from worker.webhooks.fields import webhook_from

FIVE_TERMS = {
    "data.key.fromMe": False,
    "data.messageType": {"$in": ["conversation", "imageMessage"]},
    "data.pushName": {"$startsWith": "A"},
    "data.message.conversation": {"$exist": True},
    "$not": {"data.key.remoteJid": {"$endsWith": "@g.us"}},
}
ANA, GROUP = "5511999999999@s.whatsapp.net", "120363041234567890@g.us"
"""Of the two the second fails the last of the five terms alone."""
NOTHING, AGAIN = "nothing chosen", "nothing chosen, once more"
CHOICES: dict[str, tuple[str, ...]] = {
    NOTHING: (),
    AGAIN: (),
    "ignore: from_me": ("--ignore", "from_me"),
    "filter of five terms": ("--filter", json.dumps(FIVE_TERMS)),
    "media: strip": ("--media", "strip"),
}
NONE = ("--ignore", "", "--filter", "", "--media", "keep")

BUDGETS = {800: 3.0, 12_000: 15.0}
"""Microseconds of CPU that five terms may cost, by the event's bytes."""

ROUNDS_ALONE = 1000
"""Each shorter than a turn of the scheduler, so that on a busy machine some are undisturbed."""

ALONE = {"ignore: from_me": {"ignore": ["from_me"]}, "filter of five terms": {"filter": FIVE_TERMS}}

FILTERED = 'webhook_worker_deliveries_total{outcome="Skipped",reason="filtered"}'


@dataclass(frozen=True, slots=True)
class _Kind:
    """A size of events, and how each choice fared at it."""

    size: int
    count: int
    samples: dict[str, list[Sample]] = field(default_factory=lambda: {name: [] for name in CHOICES})


def choose(rig: Rig, *, rounds: int, count: int) -> Iterator[str]:
    """Each choice in turns, at three sizes; then events of which none passes its filter."""
    kinds = (_Kind(800, count), _Kind(12_000, count // 2), _Kind(1_000_000, count // 40))
    for kind in kinds:
        for _ in range(rounds):
            for name, options in CHOICES.items():
                kind.samples[name].append(_delivered(rig, options, kind))
        yield from _table(kind, rounds)
    yield from _alone(median(kinds[0].samples[NOTHING]).cpu)
    yield from _filtered_out(rig, rounds, count * 2)


def message(instance: str, size: int, number: int, *, chat: str = ANA) -> bytes:
    """A message as Evolution publishes it, of about `size` bytes: text, or from 100 KB on a picture in base64."""
    media, text = ("A" * size, "") if size >= 100_000 else ("", "x" * max(0, size - 420))
    content = {"imageMessage": {"caption": "a"}, "base64": media} if media else {"conversation": text}
    data = {
        "key": {"remoteJid": chat, "fromMe": False, "id": f"{number:012d}"},
        "pushName": "Ana",
        "messageType": "imageMessage" if media else "conversation",
        "message": {"conversation": ""} | content,
        "messageTimestamp": 1_795_000_000,
    }
    envelope = {"event": "messages.upsert", "instance": instance, "data": data, "server_url": "https://evo.example"}
    return json.dumps(
        envelope | {"date_time": "2026-11-22T08:37:36.202Z", "apikey": "T"}, separators=(",", ":")
    ).encode()


def _delivered(rig: Rig, options: tuple[str, ...], kind: _Kind) -> Sample:
    rig.command("webhook", "set", "bench-0", *NONE)
    if options:
        rig.command("webhook", "set", "bench-0", *options)
    rig.set_instances(10)
    rig.fill(rig.events_queue, [message(f"bench-{number % 10}", kind.size, number) for number in range(kind.count)])
    posts = Posts(rig.nginx)
    with rig.worker() as worker:
        sample = measure(worker, posts, kind.count)
    rig.check_left()
    posts.check(kind.count)
    return sample


def _table(kind: _Kind, rounds: int) -> Iterator[str]:
    base = kind.samples[NOTHING]
    yield f"**{kind.size / 1000:g} KB events**, {rounds} rounds of {kind.count}, 10 instances, one core\n"
    yield "| choice | CPU us a delivery (min-max) | nothing chosen = 1 |\n| --- | --- | --- |"
    for name, samples in kind.samples.items():
        share = median(samples).cpu / median(base).cpu
        yield f"| {name} | {spread([one.cpu for one in samples], 1)} | {share:.2f} |"
    yield "\nThe second row is the noise of this table.\n"


def _alone(delivery: float) -> Iterator[str]:
    """Whole deliveries vary by more than a look costs: so it is also timed by itself, in this process.

    `delivery`: microseconds of CPU of one with nothing chosen, at 0.8 KB.
    """
    yield f"What is added for each event, by itself (the least of {ROUNDS_ALONE} rounds):\n"
    yield "| choice | bytes | us | |\n| --- | --- | --- | --- |"
    took = _least(_not_looking(800), 100)
    yield f"| {NOTHING} | 800 | {took:.2f} | at most 1 % of {delivery:.0f}: {verdict(took <= delivery / 100)} |"
    for size in (800, 12_000, 1_000_000):
        for name, chosen in ALONE.items():
            took = _looking(chosen, size)
            budget = BUDGETS.get(size) if name == "filter of five terms" else None
            judged = "" if budget is None else f"at most {budget:g}: {verdict(took <= budget)}"
            yield f"| {name} | {size} | {took:.2f} | {judged} |"
    yield ""


def _looking(chosen: dict[str, object], size: int) -> float:
    webhooks = _webhooks(chosen)
    event, choosing = parse(message("bench-0", size, 1)), Choosing(None, time.time)
    return _least(lambda: choosing.look(event, webhooks, webhooks), max(1, 100_000 // size))


def _not_looking(size: int) -> Callable[[], object]:
    """All that the pipeline asks of the choices of a delivery whose webhook made none."""
    webhooks, event, choosing = _webhooks({}), parse(message("bench-0", size, 1)), Choosing(None, time.time)
    past = Past("1" * 64, time.time(), "evolution", "messages.upsert")
    deliveries = OpenDeliveries(FakeMessage(b""), past)
    delivery = route(event, past, webhooks[0], webhooks)
    assert isinstance(delivery, Delivery)

    def ask() -> None:
        choosing.looks_into(webhooks)
        latest = choosing.taken(deliveries, delivery, None)
        choosing.outlived(delivery, latest)
        choosing.outlived(delivery, latest)

    return ask


def _webhooks(chosen: dict[str, object]) -> Subscriptions:
    return subscriptions([webhook_from({"instance": "bench-0", "url": "http://127.0.0.1/", **chosen})])


def _least(work: Callable[[], object], times: int) -> float:
    """Microseconds of one, in the fastest of the rounds of `times`."""
    least = float("inf")
    for _ in range(ROUNDS_ALONE):
        began = time.perf_counter()
        for _ in range(times):
            work()
        least = min(least, (time.perf_counter() - began) / times)
    return least * 1e6


def _filtered_out(rig: Rig, rounds: int, count: int) -> Iterator[str]:
    rig.command("webhook", "set", "bench-0", *NONE)
    rig.command("webhook", "set", "bench-0", "--filter", json.dumps(FIVE_TERMS))
    rig.set_instances(10)
    bodies = [message(f"bench-{number % 10}", 800, number, chat=GROUP) for number in range(count)]
    rates, costs = [], []
    for _ in range(rounds):
        per_second, each = left_unsent(rig, bodies, FILTERED)
        rates.append(per_second)
        costs.append(each)
    rig.command("webhook", "set", "bench-0", *NONE)
    rate, cost = spread(rates), spread(costs)
    yield f"Filtered out by the last of five terms, 0.8 KB: **{rate} events/s**, {cost} us of CPU an event."
