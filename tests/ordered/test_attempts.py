"""Attempts of ordered deliveries: with a task and without one, and after the end of their connection."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.delivery.conftest import calm
from tests.ordered.test_flow import BOT, URL, Rig, message
from worker.delivery.history_row import CUT
from worker.domain.outcome import Parked, ParkReason
from worker.domain.verdict import Answered, Failure, Result, Unanswered
from worker.domain.webhook import Webhook


def rows(rig: Rig) -> list[tuple[str, str, int, int | None]]:
    return [(row.outcome, row.reason, row.attempt, row.status) for row in rig.history.rows]


def state(rig: Rig) -> tuple[object, ...]:
    """All that attempts leave behind."""
    found = (rig.recorder.results, rig.recorder.records, rows(rig), rig.admission.running, rig.alone.core.waiting)
    return (*found, rig.flow._attempts._running)


async def test_an_attempt_without_a_task_leaves_what_one_in_a_task_leaves() -> None:
    with_task, without = Rig(BOT), Rig(BOT)
    without.posts.begins = True
    ours, others = [message(1), message(2)], [message(1), message(2)]
    await with_task.take(*others)
    await without.take(*ours)
    assert ([post.written for post in without.posts.begun], without.admission.running) == ([True], 1)
    assert without.sender.sent == []
    for number in (0, 1):
        [turn] = without.flow._attempts._running
        without.posts.begun[number].end.answered(Answered(200))
        await calm()
        assert turn.post is None, "no cycle that only the collector ends"
    assert state(without) == state(with_task)
    assert [one.ends for one in ours] == [one.ends for one in others] == [["ack"]] * 2


@pytest.mark.parametrize("result", [Answered(500), Answered(404), Unanswered(Failure.CONNECT, "refused")], ids=str)
async def test_one_that_goes_on_in_a_task_leaves_what_one_from_the_start_leaves(result: Result) -> None:
    with_task, without = Rig(BOT), Rig(BOT)
    without.posts.begins = True
    for rig in (with_task, without):
        rig.sender.answers[URL] = result
        await rig.take(message(1))
    without.posts.begun[0].go_on()
    await calm()
    assert state(without) == state(with_task)


async def test_one_whose_replica_may_not_act_any_more_as_it_begins_is_not_made() -> None:
    rig = Rig(BOT)
    rig.posts.begins = True
    rig.flow.took(rig.alone.core, message(1))
    assert rig.admission.running == 1
    rig.alone.now += 5.0  # its lease is over
    await calm()
    assert (rig.posts.begun, rig.posted, rig.admission.running) == ([], [], 0)
    rig.alone.pass_time(5.0)
    await calm()
    assert len(rig.posts.begun) == 1, "and again once it may"


async def test_one_whose_connection_has_ended_as_it_begins_is_not_made() -> None:
    rig = Rig(BOT)
    rig.posts.begins = True
    rig.flow.took(rig.alone.core, message(1))
    rig.alone.core.over = True
    rig.flow.forget(rig.alone.core)
    await calm()
    assert (rig.posts.begun, rig.posted, rig.admission.running, rig.recorder.records) == ([], [], 0, [])


@pytest.mark.parametrize("task", [True, False])
async def test_an_attempt_that_is_cut_with_its_connection_is_in_the_history_and_ends_nothing(task: bool) -> None:
    rig = Rig(BOT)
    rig.posts.begins = not task
    rig.sender.release.clear()
    one = message(1)
    await rig.take(one)
    rig.alone.core.over = True
    rig.flow.forget(rig.alone.core)
    await calm()
    assert rows(rig) == [("Parked", "shutdown", 1, None)]
    assert rig.history.rows[0].error == CUT
    assert (one.ends, rig.recorder.records, rig.admission.running, rig.flow._attempts._running) == ([], [], 0, set())


async def test_what_was_answered_as_its_connection_ends_counts_and_is_not_sent_again() -> None:
    rig = Rig(BOT)
    rig.posts.begins = True
    one, two = message(1), message(2)
    await rig.take(one, two)
    rig.posts.begun[0].end.answered(Answered(200))
    rig.flow.forget(rig.alone.core)
    rig.alone.core.over = True
    assert (rows(rig), one.ends) == ([("Delivered", "ok", 1, 200)], ["ack"])
    assert [len(rig.alone.core._recent), len(rig.posts.begun)] == [1, 1]
    await calm()
    assert (two.ends, len(rig.posts.begun), rig.admission.running, rig.flow._attempts._running) == ([], 1, 0, set())
    assert not rig.posts.begun[0].went_on


async def test_the_time_of_an_attempt_ends_with_its_answer() -> None:
    rig = Rig(BOT)
    rig.posts.begins = True
    await rig.take(message(1))
    rig.alone.now += 0.25
    rig.posts.begun[0].end.answered(Answered(200))
    rig.alone.now += 0.5
    await calm()
    assert [row.ms for row in rig.history.rows] == [250]


@pytest.mark.parametrize(
    ("result", "row"),
    [
        (Answered(200), ("Delivered", "ok", 1, 200)),
        (Answered(500), ("Retried", "5xx", 1, 500)),
        (Answered(404), ("Parked", "handed_back", 1, 404)),
    ],
    ids=str,
)
async def test_an_answer_that_comes_after_the_connections_end_is_in_the_history_and_ends_nothing(
    result: Result, row: tuple[str, str, int, int]
) -> None:
    rig = Rig(BOT)
    rig.sender.answers[URL] = result
    rig.sender.release.clear()
    one = message(1)
    await rig.take(one)
    rig.alone.core.role.give_way()
    rig.sender.release.set()
    await calm()
    assert rows(rig) == [row]
    assert (one.ends, rig.recorder.records, rig.publisher.published) == ([], [], [])


async def test_an_attempt_that_is_not_charged_is_in_the_history_and_made_again() -> None:
    rig = Rig(BOT)
    rig.sender.answers[URL] = Unanswered(Failure.CONNECT, "refused")
    rig.admission.not_charged = Parked(ParkReason.SELF_FAULT, 5)
    one = message(1)
    await rig.take(one)
    assert rows(rig) == [("Parked", "self_fault", 1, None)]
    rig.admission.not_charged, rig.sender.answers[URL] = None, Answered(200)
    await rig.pass_time(1.0)
    assert rows(rig)[1:] == [("Delivered", "ok", 1, 200)]
    assert one.ends == ["ack"]


async def test_a_turn_that_comes_after_the_connections_end_makes_no_attempt() -> None:
    rig = Rig(BOT)
    rig.admission.holding = True
    await rig.take(message(1))
    rig.alone.core.over = True
    rig.flow.forget(rig.alone.core)
    rig.admission.start_next()
    await calm()
    assert (rig.posted, rig.history.rows, rig.admission.running) == ([], [], 0)


@pytest.mark.parametrize(
    ("now", "posted"),
    [
        (BOT, [1]),
        (replace(BOT, url="http://h/elsewhere"), [1]),
        (replace(BOT, paused_at=1), []),
        (replace(BOT, enabled=False), []),
        (None, []),
    ],
    ids=["the same", "moved", "paused", "disabled", "deleted"],
)
async def test_one_that_waited_goes_where_its_owner_hears_by_then(now: Webhook | None, posted: list[int]) -> None:
    rig = Rig(BOT)
    rig.admission.holding = True
    await rig.take(message(1))
    rig.admission.holding = False
    rig.webhooks.known["acme"] = () if now is None else (now,)
    rig.admission.start_next()
    await calm()
    await rig.pass_time(1.0)
    assert (rig.posted, rig.admission.running) == (posted, 0)
    assert [request.url for request, _ in rig.sender.sent] == [now.url for _ in posted if now]


async def test_one_that_waited_is_sent_without_a_task_while_nothing_has_changed() -> None:
    rig = Rig(BOT)
    rig.posts.begins = True
    rig.admission.holding = True
    await rig.take(message(1))
    rig.admission.start_next()
    await calm()
    assert (len(rig.posts.begun), rig.posted, rig.admission.running) == (1, [], 1)


async def test_one_that_became_too_old_while_it_waited_is_not_sent() -> None:
    rig = Rig(replace(BOT, ttl_seconds=(("MESSAGES_UPSERT", 60.0),)))
    rig.admission.holding = True
    await rig.take(message(1))
    rig.admission.holding = False
    rig.clock.now += 120
    rig.admission.start_next()
    await calm()
    await rig.pass_time(1.0)
    assert (rig.recorder.outcomes, rig.posted, rig.admission.running) == (["Skipped stale"], [], 0)
