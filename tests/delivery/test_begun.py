"""Attempts that have no task: they end as those that have one, and a drain finds them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from tests.delivery.conftest import MakeRig, Rig, calm
from tests.delivery.fakes import FakeMessage, FakePosts
from tests.delivery.test_choosing import ANA, LATEST, presence
from tests.support.events import event
from worker.delivery import attempt
from worker.delivery.turn import DeliveryTurn
from worker.domain.verdict import Answered, Result
from worker.domain.webhook import Webhook

ACME = Webhook("acme", "http://h/acme")


class RigsPosts(FakePosts):
    """Of the pipeline of a rig."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig.sender)
        self.rig = rig
        rig.pipeline._attempter._posts = self


@pytest.fixture
def posts(rig: MakeRig) -> RigsPosts:
    return RigsPosts(rig(ACME))


def state(found: Rig) -> tuple[object, ...]:
    """All that an attempt leaves behind."""
    return (
        found.recorder.results,
        found.recorder.records,
        [(row.outcome, row.reason, row.attempt, row.ms, row.size) for row in found.history.rows],
        [(published.queue, published.body) for published in found.publisher.published],
        found.admission.running,
    )


@pytest.mark.parametrize("result", [Answered(200), Answered(204), Answered(299)])
async def test_a_plain_2xx_leaves_what_one_in_a_task_leaves(rig: MakeRig, result: Result) -> None:
    with_task, without = rig(ACME), rig(ACME)
    with_task.sender.answers = {ACME.url: result}
    one, other = FakeMessage(event()), FakeMessage(event())
    await with_task.take(one)
    posts = RigsPosts(without)
    await without.take(other)
    assert (without.sender.sent, other.ends, without.admission.running) == ([], [], 1)
    [begun] = without.pipeline._begun._running
    posts.begun[0].end.answered(result)
    await calm()
    assert begun.post is None, "no cycle that only the collector ends"
    assert state(without) == state(with_task)
    assert one.ends == other.ends == ["ack"]
    assert [(post.request, post.timeout) for post in posts.begun] == with_task.sender.sent
    assert not without.pipeline._begun._running


@pytest.mark.parametrize("result", [Answered(500), Answered(410), RuntimeError("a fault")], ids=str)
async def test_what_goes_on_in_a_task_leaves_what_one_from_the_start_leaves(
    rig: MakeRig, result: Result | Exception
) -> None:
    with_task, without = rig(ACME), rig(ACME)
    posts = RigsPosts(without)
    for found in (with_task, without):
        found.sender.answers = {ACME.url: result}
    one, other = FakeMessage(event()), FakeMessage(event())
    await with_task.take(one)
    await without.take(other)
    posts.begun[0].go_on()
    await calm()
    assert state(without) == state(with_task)
    assert one.ends == other.ends == ["ack"]
    assert not without.pipeline._begun._running


async def test_a_drain_waits_for_them_in_tasks(posts: RigsPosts) -> None:
    message = FakeMessage(event())
    await posts.rig.take(message)
    posts.rig.sender.release.clear()
    draining = asyncio.ensure_future(posts.rig.pipeline.drain(5))
    await calm()
    assert (posts.begun[0].went_on, message.ends) == (True, [])
    posts.rig.sender.release.set()
    await draining
    assert (message.ends, posts.rig.recorder.outcomes) == (["ack"], ["Delivered ok"])


async def test_what_was_answered_in_the_same_turn_as_the_drain_begins_is_settled_and_not_sent_again(
    posts: RigsPosts,
) -> None:
    one, other = FakeMessage(event()), FakeMessage(event())
    await posts.rig.take(one)
    await posts.rig.take(other)
    for begun in posts.begun:
        begun.end.answered(Answered(200))
    await posts.rig.pipeline.drain(0.01)
    assert ([begun.went_on for begun in posts.begun], one.ends, other.ends) == ([False] * 2, ["ack"], ["ack"])
    assert posts.rig.recorder.outcomes == ["Delivered ok"] * 2


async def test_answers_that_come_together_are_settled_together_in_their_order(posts: RigsPosts) -> None:
    messages = [FakeMessage(event()) for _ in range(3)]
    for message in messages:
        await posts.rig.take(message)
    for number in (2, 0, 1):
        posts.begun[number].end.answered(Answered(200 + number))
    assert [message.ends for message in messages] == [[]] * 3
    await asyncio.sleep(0)
    assert [message.ends for message in messages] == [["ack"]] * 3
    assert posts.rig.recorder.results == [Answered(202), Answered(200), Answered(201)]


async def test_the_time_of_an_attempt_ends_with_its_answer(posts: RigsPosts) -> None:
    await posts.rig.take(FakeMessage(event()))
    posts.rig.monotonic.now += 0.25
    posts.begun[0].end.answered(Answered(200))
    posts.rig.monotonic.now += 0.5
    await calm()
    assert [row.ms for row in posts.rig.history.rows] == [250]


async def test_the_drain_deadline_cuts_them_and_nothing_is_charged(posts: RigsPosts) -> None:
    message = FakeMessage(event())
    await posts.rig.take(message)
    posts.rig.sender.release.clear()
    await posts.rig.pipeline.drain(0.01)
    assert (message.ends, posts.rig.recorder.outcomes) == (["ack"], ["Parked shutdown"])
    assert posts.rig.admission.running == 0


async def test_what_cannot_begin_takes_a_task(posts: RigsPosts) -> None:
    posts.begins = False
    message = FakeMessage(event())
    await posts.rig.take(message)
    assert (posts.rig.posted, message.ends, posts.rig.admission.running) == ([ACME.url], ["ack"], 0)


async def test_a_request_that_cannot_be_built_ends_as_in_a_task(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = rig(Webhook("acme", "http://h/acme", headers=(("bad name", "x"),)))
    RigsPosts(broken)
    await broken.take(FakeMessage(event()))
    assert (broken.recorder.outcomes, broken.admission.running) == (["DeadLettered bad_headers"], 0)
    assert caplog.text == ""

    def fault(*_: object, **__: object) -> Coroutine[Any, Any, None]:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(attempt, "build", fault)
    faulty = rig(ACME)
    RigsPosts(faulty)
    await faulty.take(FakeMessage(event()))
    assert (faulty.recorder.outcomes, faulty.admission.running) == (["Parked internal"], 0)
    assert "ours" in caplog.text


async def test_a_large_body_takes_a_task(posts: RigsPosts) -> None:
    found = posts.rig
    await found.take(FakeMessage(event(data="a" * attempt.LARGE_BYTES)))
    for _ in range(100):
        if found.posted:
            break
        await asyncio.sleep(0.01)
    assert (posts.begun, found.posted) == ([], [ACME.url])


async def waited(found: Rig, message: FakeMessage, then: Callable[[], object]) -> None:
    """The message waits in its lane, and is started after `then`."""
    found.admission.holding = True
    await found.take(message)
    found.admission.holding = False
    then()
    found.admission.start_next()
    await calm()


async def test_one_that_waited_takes_no_task_either_while_its_webhook_is_the_same(posts: RigsPosts) -> None:
    message = FakeMessage(event())
    await waited(posts.rig, message, lambda: None)
    assert ([post.request.url for post in posts.begun], posts.rig.posted) == ([ACME.url], [])
    posts.begun[0].end.answered(Answered(200))
    await calm()
    assert (message.ends, posts.rig.recorder.outcomes, posts.rig.admission.running) == (["ack"], ["Delivered ok"], 0)


async def test_one_whose_webhook_became_another_while_it_waited_goes_to_that(posts: RigsPosts) -> None:
    found = posts.rig
    moved = replace(ACME, url="http://h/elsewhere")
    await waited(found, FakeMessage(event()), lambda: found.webhooks.known.update(acme=(moved,)))
    assert ([post.request.url for post in posts.begun], found.posted) == ([moved.url], [])


async def test_one_whose_webhook_is_gone_after_it_waited_is_not_sent(posts: RigsPosts) -> None:
    await waited(posts.rig, FakeMessage(event()), lambda: posts.rig.webhooks.known.update(acme=()))
    assert (posts.begun, posts.rig.posted) == ([], [])
    assert (posts.rig.recorder.outcomes, posts.rig.admission.running) == (["Skipped webhook_gone"], 0)


async def test_one_that_was_lost_while_it_waited_is_not_sent(posts: RigsPosts) -> None:
    message = FakeMessage(event())
    await waited(posts.rig, message, lambda: setattr(message, "lost", True))
    assert (posts.begun, posts.rig.posted, posts.rig.recorder.outcomes) == ([], [], ["Parked handed_back"])


async def test_those_that_come_together_begin_together(posts: RigsPosts) -> None:
    found = posts.rig
    for _ in range(3):
        found.pipeline.take(FakeMessage(event()))
    assert (len(posts.begun), found.admission.running) == (0, 3)
    await asyncio.sleep(0)
    assert [post.written for post in posts.begun] == [True] * 3


async def test_one_that_is_lost_before_it_begins_is_not_sent(posts: RigsPosts) -> None:
    message = FakeMessage(event())
    posts.rig.pipeline.take(message)
    message.lost = True
    await calm()
    assert (posts.begun, posts.rig.posted, posts.rig.admission.running) == ([], [], 0)
    assert posts.rig.recorder.outcomes == ["Parked handed_back"]


async def test_a_fault_of_the_cache_after_a_wait_is_met_in_a_task(posts: RigsPosts) -> None:
    found = posts.rig
    message = FakeMessage(event())

    def fault(_: str) -> None:
        raise ZeroDivisionError("ours")

    await waited(found, message, lambda: setattr(found.webhooks, "cached", fault))
    assert (posts.begun, found.recorder.outcomes, found.admission.running) == ([], ["Parked internal"], 0)


async def test_what_its_lane_has_started_is_not_superseded_by_what_came_with_it(rig: MakeRig) -> None:
    """Its place and its rate are spent: the later one may have neither."""
    posts = RigsPosts(rig(LATEST))
    await posts.rig.take(presence(ANA, "1"), presence(ANA, "2"))
    assert (len(posts.begun), posts.rig.recorder.outcomes) == (2, [])


async def test_a_drain_begins_what_was_to_begin_in_this_turn_and_waits_for_it(posts: RigsPosts) -> None:
    message = FakeMessage(event())
    posts.rig.pipeline.take(message)
    await posts.rig.pipeline.drain(5)
    assert (posts.begun[0].went_on, message.ends) == (True, ["ack"])
    assert posts.rig.recorder.outcomes == ["Delivered ok"]


async def test_a_fault_of_ours_as_one_begins_ends_that_one_alone(
    posts: RigsPosts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found, messages = posts.rig, [FakeMessage(event()), FakeMessage(event())]
    begin, faults = found.pipeline._begun.begin, [ZeroDivisionError("ours")]

    def faulty(turn: DeliveryTurn) -> bool:
        if faults:
            raise faults.pop()
        return begin(turn)

    monkeypatch.setattr(found.pipeline._begun, "begin", faulty)
    await found.take(*messages)
    assert (found.recorder.outcomes, messages[0].ends) == (["DeadLettered internal"], ["ack"])
    assert ([post.written for post in posts.begun], found.admission.running) == ([True], 1)
    assert "ours" in caplog.text
