"""The short form of `make chaos`: one seed; and proof that the ledger sees what it is there to see."""

from __future__ import annotations

import gc
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.history.fakes import row
from tests.proof.chaos.faults import FAULTS, ORDERED
from tests.proof.chaos.history import ON_ITS_WAY_SECONDS, UNSENT_SECONDS, History, Span, history
from tests.proof.chaos.history import told as rows_told
from tests.proof.chaos.ledger import DeadLetter, Ledger, Post
from tests.proof.chaos.plan import plan
from tests.proof.chaos.report import table
from tests.proof.chaos.run import Report, run
from tests.proof.chaos.subscriptions import CAST, CHATS, KINDS, chat_of, data_of
from tests.support.events import event
from tests.support.local_broker import LocalBroker
from worker.domain.event import parse
from worker.domain.history import Batch, Row
from worker.domain.silence.pulse import Pulse
from worker.domain.webhook import Webhook
from worker.history.batches import encode, encode_pulses
from worker.ordered.order_key import order_key
from worker.stores.history.store import history_store

SEEDS = (128,)
"""The active replica killed, an armed point, a link that stalls, a SIGTERM: what the faults' own tests do not join."""

BASE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def broker() -> Iterator[LocalBroker]:
    """This module's own: it is killed, choked and restarted."""
    with LocalBroker() as broker:
        yield broker


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", SEEDS)
async def test_nothing_is_lost_misdirected_or_repeated_under_another_id(
    broker: LocalBroker, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)  # client libraries tell at length of connections that were cut
    report = await run(plan(seed), broker, None)
    gc.collect()  # aio_pika closes what it failed to open when it is collected: while there is a loop
    print(report.figures)
    assert not report.problems, "\n".join(report.problems)
    assert not report.missed
    assert report.figures.events >= 190
    assert report.attempts_in_history > report.figures.posts / 2


def test_a_seed_is_always_the_same_plan_and_fifty_have_every_fault() -> None:
    assert [plan(seed) for seed in range(50)] == [plan(seed) for seed in range(50)]
    assert {step.fault.name for seed in range(50) for step in plan(seed).steps} == {
        fault.name for fault in (*FAULTS, *ORDERED)
    }
    assert not any(plan(seed).postgresql for seed in SEEDS)


# The ledger itself


@pytest.fixture
def ledger() -> Ledger:
    """Everything went well: two events, one of them for two webhooks, one refused, one skipped."""
    ledger = Ledger(CAST, BASE, 4)
    for instance in ("plain 0", "two", "refuses", "off"):
        issued = ledger.issue(instance, "messages.upsert")
        ledger.confirm(issued)
        for one in ledger.fan_out(issued):
            answer = one.behaviour(issued.number, 0)
            body = {**json.loads(issued.body), "destination": BASE + one.path}
            post = Post(one.post_path(issued.kind), f"{issued.number} {one.path}", "1", json.dumps(body).encode())
            post.status = answer.status
            ledger.posts.append(post)
            if answer.status == 404:
                ledger.letters.append(DeadLetter(issued.number, one.id, "rejected"))
    return ledger


def test_a_run_without_a_fault_is_kept_and_counted(ledger: Ledger) -> None:
    assert ledger.problems() == []
    figures = ledger.figures()
    assert (figures.events, figures.delivered, figures.dead, figures.repeats) == (4, 3, 1, 0)
    # Besides the filtered-out global webhook of each event: the disabled one.
    assert (figures.skipped, figures.deliveries) == (5, 9)
    assert (figures.lost, figures.unknown, figures.wrong_url, figures.other) == (0, 0, 0, 0)


@pytest.fixture
def told(ledger: Ledger) -> Ledger:
    """And each attempt is in the history."""
    ledger.history = History(Counter((post.id, post.attempt) for post in ledger.posts))
    return ledger


def test_every_attempt_must_be_in_the_history(told: Ledger) -> None:
    assert told.problems() == []
    assert told.history is not None
    missing = told.posts[1]
    told.history.attempts[missing.id, missing.attempt] -= 1
    assert told.problems() == [f"no history: {missing.id}, attempt 1 at {missing.path}, answered {missing.status}"]
    assert (told.figures().history, told.figures().other) == (1, 0)
    again(told)
    assert told.figures().history == 2, "one of two POSTs with one number has a row"
    told.history.lost = 2
    assert told.problems() == [], "they are counted as lost"


def missing_after(told: Ledger, *, kills: Sequence[float] = (), away: Sequence[Span] = ()) -> int:
    """Of attempts answered at 1, 101, 201 and 301 s, the last one never, none has a row: how many are violations."""
    told.history = History()
    for at, post in enumerate(told.posts):
        post.at, post.answered = 100.0 * at, 100.0 * at + 1
    told.posts[-1].answered = None
    told.kills, told.away = list(kills), list(away)
    return told.figures().history


LAST = 300.0
"""When the attempt that is never answered begins."""


def test_what_a_killed_process_had_not_told_is_no_violation(told: Ledger) -> None:
    assert len(told.posts) == 4
    assert missing_after(told) == 4
    assert missing_after(told, kills=[0.5, 101 + UNSENT_SECONDS, LAST + 50]) == 1


def test_a_kill_before_an_attempt_or_long_after_it_excuses_nothing(told: Ledger) -> None:
    before = [99.9, 101 + UNSENT_SECONDS + 0.1, LAST - 0.1]
    assert missing_after(told, kills=before) == 4


def test_a_post_that_a_killed_process_had_sent_may_still_arrive(told: Ledger) -> None:
    assert missing_after(told, kills=[100 - ON_ITS_WAY_SECONDS]) == 3
    assert missing_after(told, kills=[100 - ON_ITS_WAY_SECONDS - 0.01]) == 4


AWAY = Span(102.5, 150.0)
"""RabbitMQ, from shortly after the second answer on: its row may not have reached it."""


def test_what_rabbitmq_could_not_take_before_the_kill_is_no_violation(told: Ledger) -> None:
    assert missing_after(told, kills=[140], away=[AWAY]) == 3
    assert missing_after(told, kills=[150 + UNSENT_SECONDS], away=[AWAY]) == 3
    assert missing_after(told, kills=[180], away=[Span(160, 190), AWAY, Span(151, 170)]) == 3, "it went again at once"
    assert missing_after(told, kills=[290], away=[Span(102.5, None)]) == 2, "never back: the third, too"


def test_rabbitmq_away_excuses_no_row_without_a_kill_meanwhile(told: Ledger) -> None:
    assert missing_after(told, away=[AWAY]) == 4
    assert missing_after(told, kills=[150.1 + UNSENT_SECONDS, 102.4 + UNSENT_SECONDS + 50], away=[AWAY]) == 4
    assert missing_after(told, kills=[140], away=[Span(101.1 + UNSENT_SECONDS, 150)]) == 4, "it had been taken by then"
    assert missing_after(told, kills=[140], away=[Span(50, 100.9)]) == 4, "it was back before the answer"
    assert missing_after(told, kills=[140, 190], away=[AWAY, Span(160, 200)]) == 3, "the second one is too late for it"


def test_a_post_that_the_receiver_cut_and_got_again_in_the_same_attempt_has_one_row_with_it(told: Ledger) -> None:
    assert told.history is not None
    first = told.posts[1]
    first.at, first.answered, first.status = 100.0, None, None
    told.posts.append(replace(first, at=101.0, answered=102.0, status=200))
    assert told.figures().history == 0
    told.history.attempts[first.id, first.attempt] = 0
    assert told.figures().history == 1
    told.history.attempts[first.id, first.attempt] = 1
    first.answered, first.status = 100.5, 200
    assert told.figures().history == 1, "it was answered: two attempts"


class Says:
    """A worker whose metrics are those given, the last one for ever; an exception is raised."""

    def __init__(self, *said: tuple[float, float] | Exception) -> None:
        self._said = list(said)

    async def metrics(self) -> dict[str, float]:
        said = self._said.pop(0) if len(self._said) > 1 else self._said[0]
        if isinstance(said, Exception):
            raise said
        return dict(
            zip(("webhook_worker_history_rows_total", "webhook_worker_history_rows_waiting"), said, strict=True)
        )


@pytest.mark.parametrize(
    "said",
    [
        [(0.0, 0.0)],
        [(10.0, 3.0), (10.0, 3.0), (13.0, 0.0)],
        [(10.0, 3.0), (40.0, 27.0)],
        [ConnectionRefusedError(), (10.0, 3.0), TimeoutError(), (10.0, 0.0)],
    ],
    ids=["nothing", "the last rows", "others come meanwhile", "it is just starting"],
)
async def test_history_flows_once_rabbitmq_has_what_was_recorded(said: list[tuple[float, float] | Exception]) -> None:
    assert await rows_told(Says(*said), 5) is None


async def test_history_that_does_not_flow_is_told() -> None:
    assert await rows_told(Says((10.0, 3.0), (13.0, 1.0)), 0.1) == (
        "RabbitMQ had 12 of 13 rows of history after 0.1 s, 1 waited"
    )
    assert await rows_told(Says(ConnectionRefusedError()), 0.1) == (
        "it did not say within 0.1 s how many rows of history wait"
    )


def batch(number: int, *rows: Row) -> Batch:
    return Batch("run", number, "pod", rows)


async def test_history_is_what_is_written_and_what_waits_and_its_holes_are_counted(tmp_path: Path) -> None:
    uri, log = f"sqlite:///{tmp_path / 'history.db'}", ['{"message":"3 rows of history were not taken by RabbitMQ"}']
    assert history(uri, (), ()) == History()
    store = history_store(uri, 7, lambda: 5)
    await store.prepare()
    await store.write([batch(0, row(), row(id="msg_2", attempt=2)), batch(7, row(ms=None), row())])
    await store.close()
    waiting = [encode(batch(0, row(), row())), encode(batch(10, row(id="msg_3"))), encode_pulses([Pulse("acme", 1)])]
    found = history(uri, waiting, log)
    assert found.attempts == {("msg_1", "1"): 2, ("msg_2", "2"): 1, ("msg_3", "1"): 1}
    assert found.lost == 5 + 1 + 3


def again(ledger: Ledger, **changes: Any) -> None:
    """The first POST once more, with changes."""
    ledger.posts.append(replace(ledger.posts[0], **changes))


def body_with(ledger: Ledger, **changes: object) -> bytes:
    return json.dumps({**json.loads(ledger.posts[0].body), **changes}).encode()


def ordered(ledger: Ledger, *posts: tuple[int, float]) -> None:
    """Four events of one chat for an ordered webhook, and POSTs of (which of them, when), each answered a second later.

    Nothing else is in that ledger.
    """
    ledger.posts.clear()
    ledger.letters.clear()
    ledger.issued.clear()
    ledger.confirmed.clear()
    for number in range(1, 4 * CHATS + 1):
        ledger.confirm(ledger.issue("poisoned", "messages.upsert", at=number), number + 0.5)
    for which, at in posts:
        issued = ledger.issued[1 + CHATS * which]
        body = json.dumps({**json.loads(issued.body), "destination": f"{BASE}/poisoned"}).encode()
        ledger.posts.append(Post("/poisoned", str(which), "9", body, 200, at, at + 1))


def test_ordered_events_of_one_chat_must_come_one_after_the_other(ledger: Ledger) -> None:
    ordered(ledger, (0, 10), (1, 11), (1, 11.5), (0, 11.6), (2, 12.0), (3, 14))
    kinds = {problem.partition(":")[0] for problem in ledger.problems()}
    assert kinds == {"lost"}, "of the other chats; an ordered webhook has as many attempts as it takes"
    ordered(ledger, (0, 10), (1, 12), (2, 12.5), (3, 14))
    (told,) = (problem for problem in ledger.problems() if problem.startswith("inversion"))
    chat = chat_of(1, "messages.upsert")
    assert told == f"inversion: /poisoned, poisoned, {chat}: event 7 came at 12.500, event 4 ended at 13.000"
    assert (ledger.figures().inversions, ledger.figures().other) == (1, 0)
    ordered(ledger, (0, 10), (1, 12.5), (2, 12))
    ledger.letters.append(DeadLetter(4, "default", "attempts_exhausted", since=11.0))
    assert ledger.figures().inversions == 1, "it was posted later, so it was not given up without an attempt"
    ordered(ledger, (0, 10), (2, 12))
    ledger.letters.append(DeadLetter(4, "default", "attempts_exhausted", since=11.0))
    assert ledger.figures().inversions == 0


def test_by_chat_or_by_instance_as_the_webhook_says(ledger: Ledger) -> None:
    ordered(ledger)
    for path in ("/order/chats", "/order/not", "/order/all/messages-upsert"):
        first, second = (ledger.issue("order", "messages.upsert", at=20 + turn) for turn in range(2))
        ledger.posts += [
            Post(path, f"{path} {issued.number}", "1", issued.body, 200, 50.0 - issued.number, 50.5 - issued.number)
            for issued in (first, second)
        ]
        assert ledger.figures().inversions == (path == "/order/all/messages-upsert")


@pytest.mark.parametrize(("other", "count"), [("plain 0", 1), ("plain 1", 0)])
def test_the_global_webhook_is_in_order_by_instance_and_chat(ledger: Ledger, other: str, count: int) -> None:
    issued = [
        ledger.issue(instance, "connection.update", at=number) for number, instance in enumerate(("plain 0", other))
    ]
    for turn, one in enumerate(reversed(issued)):
        ledger.posts.append(Post("/global/connection-update", f"{one.number}", "1", one.body, 200, turn, turn + 0.5))
    assert ledger.figures().inversions == count


def test_the_chat_of_the_ledger_is_the_key_of_the_worker() -> None:
    keys: dict[str, set[str]] = {}
    for number in range(4 * CHATS):
        for kind in KINDS:
            parsed = parse(event(kind, "order", data_of(number, kind)))
            webhook = Webhook("order", BASE, order="chat")
            keys.setdefault(chat_of(number, kind), set()).add(order_key(parsed, webhook))
    assert len(keys) == CHATS + 1
    assert sorted(map(len, keys.values())) == [1] * (CHATS + 1)
    assert len(set.union(*keys.values())) == CHATS + 1


VIOLATIONS: dict[str, Callable[[Ledger], object]] = {
    "lost": lambda ledger: ledger.posts.pop(0),
    "lost: event 3": lambda ledger: ledger.letters.clear(),
    "lost: event 1": lambda ledger: setattr(ledger.posts[0], "status", None),
    "unknown event": lambda ledger: again(ledger, body=body_with(ledger, data={"number": 99}), id="new"),
    "unknown event: /plain-0 got b'garbage'": lambda ledger: again(ledger, body=b"garbage", id="new"),
    "unknown event: dead letter": lambda ledger: ledger.letters.append(DeadLetter(None, None, "rejected")),
    "wrong URL": lambda ledger: again(ledger, path="/plain-1", id="new"),
    "wrong body": lambda ledger: again(ledger, body=body_with(ledger, destination="elsewhere")),
    "wrong attempt": lambda ledger: again(ledger, attempt="5"),
    "webhook-id changed": lambda ledger: again(ledger, id="new"),
    "webhook-id shared": lambda ledger: setattr(ledger.posts[1], "id", ledger.posts[0].id),
    "body changed": lambda ledger: again(ledger, body=ledger.posts[0].body + b" "),
    "letter of nobody": lambda ledger: ledger.letters.append(DeadLetter(1, "audit", "rejected")),
    "reason": lambda ledger: ledger.letters.append(DeadLetter(1, "default", "egress_refused")),
    "reason without its answer": lambda ledger: ledger.letters.append(DeadLetter(1, "default", "gone")),
}


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_every_violation_is_seen(ledger: Ledger, violation: str) -> None:
    VIOLATIONS[violation](ledger)
    assert any(problem.startswith(violation) for problem in ledger.problems()), ledger.problems()


def test_violations_are_counted_by_what_they_are(ledger: Ledger) -> None:
    ledger.posts.pop(0)
    again(ledger, body=b"garbage", id="new")
    again(ledger, path="/plain-1", id="newer")
    ledger.letters.append(DeadLetter(2, "nobody's", "rejected"))
    figures = ledger.figures()
    assert (figures.lost, figures.unknown, figures.wrong_url, figures.other) == (1, 1, 1, 1)


def test_the_table_counts_a_seed_once_for_each_kind_of_fault_and_once_in_all(ledger: Ledger) -> None:
    two_links = Report(plan(25), ledger.figures(), outside=2)  # two of link, one of worker
    missed = Report(plan(24), ledger.figures(), missed={"receiver: restart": "why"})  # and one of link, one armed
    rows = {row.split(" | ")[0].strip("| *"): row.split(" | ")[1:] for row in table([two_links, missed])}
    assert rows["link"][:6] == ["3", "2", "8", "18", "6", "2"]
    assert rows["worker"][:3] == ["1", "1", "4"]
    assert "receiver" not in rows
    assert rows["all"][:3] == ["5", "2", "8"]
    assert rows["all"][-5:] == ["0", "0", "0", "0", "2 |"]


def test_a_repeat_with_the_same_id_and_body_is_counted_and_no_violation(ledger: Ledger) -> None:
    again(ledger)
    assert ledger.problems() == []
    assert ledger.figures().repeats == 1


def test_an_event_that_was_not_confirmed_may_be_delivered_or_not(ledger: Ledger) -> None:
    ledger.confirmed.pop(1)
    assert ledger.problems() == []
    ledger.posts.pop(0)
    assert ledger.problems() == []
    assert ledger.figures().unconfirmed == 1
