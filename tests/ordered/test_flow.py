"""Ordered deliveries over fakes of everything outside: the real core, lanes aside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest

from tests.delivery.conftest import calm
from tests.delivery.fakes import (
    Clock,
    FakeAdmission,
    FakeHistory,
    FakeMessage,
    FakePosts,
    FakePublisher,
    FakeReceivers,
    FakeRecorder,
    FakeSender,
    FakeWebhooks,
)
from tests.ordered.alone import Alone
from tests.support.events import event
from tests.support.stack import from_deeper
from tests.support.waiting import eventually
from worker.basics.clock import Clocks
from worker.broker.past_headers import headers_of
from worker.delivery.choosing import Choosing
from worker.delivery.failure_watch import FailureWatch
from worker.delivery.ports import Ports
from worker.domain.backoff import schedule
from worker.domain.outcome import Parked, ParkReason
from worker.domain.past import Past
from worker.domain.policy import Policy
from worker.domain.routing import delivery_id
from worker.domain.verdict import Answered, Failure, Unanswered
from worker.domain.webhook import GLOBAL_ID, Endpoint, Webhook
from worker.ordered import intake, unknown
from worker.ordered.deciding.line import Mode
from worker.ordered.deciding.ports import Item, Kind, NotNow, Stamp, Stored
from worker.ordered.flow import OrderedFlow
from worker.ordered.switching import Marker, Stage, Switching, body_of

URL = "https://bot.example/in"
BOT = Webhook("acme", URL, order="chat")
CHAT = "5511@s.whatsapp.net"


class Bridge(Alone):
    """Alone, with deliveries handled by the flow."""

    def __init__(self, flow: OrderedFlow) -> None:
        self.flow = flow
        super().__init__()

    def attempt(self, item: Item) -> NotNow | None:
        return self.flow.attempt(self.core, item)

    def give_up(self, item: Item) -> None:
        self.flow.give_up(self.core, item)

    def settle(self, item: Item) -> None:
        self.flow.settle(item)


class Rig:
    def __init__(self, *webhooks: Webhook, switching: Switching | None = None) -> None:
        self.clock = Clock()
        self.webhooks, self.admission, self.sender = FakeWebhooks(*webhooks), FakeAdmission(), FakeSender()
        self.publisher, self.recorder, self.history = FakePublisher(), FakeRecorder(), FakeHistory()
        self.posts = FakePosts(self.sender)
        self.posts.begins = False
        ports = Ports(
            self.webhooks,
            self.admission,
            self.sender,
            self.publisher,
            self.recorder,
            self.history,
            posts=self.posts,
        )
        clocks = Clocks(self.clock, lambda: self.alone.now)
        watch = FailureWatch(FakeReceivers(), self.clock)
        self.flow = OrderedFlow(Policy(schedule(2, 5, 3, 21600)), ports, watch, clocks, switching=switching)
        self.alone = Bridge(self.flow)
        self.alone.become_active()

    async def take(self, *messages: FakeMessage) -> None:
        for message in messages:
            self.flow.took(self.alone.core, message)
        await calm()

    async def pass_time(self, seconds: float) -> None:
        self.alone.pass_time(seconds)
        await calm()

    @property
    def posted(self) -> Sequence[int]:
        return [json.loads(request.body)["data"]["number"] for request, _ in self.sender.sent]


def message(number: int, chat: str = CHAT, instance: str = "acme") -> FakeMessage:
    event = {"event": "messages.upsert", "instance": instance, "data": {"key": {"remoteJid": chat}, "number": number}}
    return FakeMessage(json.dumps(event, separators=(",", ":")).encode(), queue="webhooks.ordered")


async def test_a_chats_events_are_sent_one_after_the_other_and_acked() -> None:
    rig = Rig(BOT)
    rig.sender.release.clear()
    taken = [message(number) for number in (1, 2, 3)]
    await rig.take(*taken)
    assert rig.posted == [1]
    rig.sender.release.set()
    await calm()
    await calm()
    assert rig.posted == [1, 2, 3]
    assert [one.ends for one in taken] == [["ack"]] * 3
    assert rig.recorder.outcomes == ["Delivered ok"] * 3
    assert rig.recorder.started_count == 3


async def test_what_is_delivered_in_order_tells_a_log_neither_its_chat_nor_its_text() -> None:
    """asyncio prints what a call that raised was given."""
    rig = Rig(BOT)
    rig.sender.release.clear()
    await rig.take(message(1))
    (item,) = rig.alone.core.in_hand.taken_of(BOT.endpoint)
    assert item.key.endswith(CHAT)
    for shown in (repr(item), repr(item.token)):
        assert item.id in shown
        assert "deliveries=" not in shown
        assert "5511" not in shown
        assert "remoteJid" not in shown
        assert URL not in shown


async def test_chats_do_not_wait_for_each_other_and_an_instance_in_order_is_one_line() -> None:
    for order, posted in (("chat", [1, 2]), ("instance", [1])):
        rig = Rig(Webhook("acme", URL, order=order))
        rig.sender.release.clear()
        await rig.take(message(1), message(2, "5522@s.whatsapp.net"))
        assert rig.posted == posted


async def test_what_is_for_no_ordered_webhook_is_acked_at_once_and_counted_nowhere() -> None:
    rig = Rig(Webhook("acme", URL))
    one = message(1)
    await rig.take(one)
    assert one.ends == ["ack"]
    assert (rig.posted, rig.recorder.records, rig.recorder.started_count) == ([], [], 0)


async def test_what_is_nested_as_deep_as_anybody_can_tell_is_delivered_however_deep_the_caller_stands() -> None:
    """The unordered side, called from less deep, may have left it to this one."""
    rig = Rig(BOT)
    data = b"[" * 950 + b"]" * 950
    new, carried = (FakeMessage(event(raw_data=data), queue="webhooks.ordered") for _ in range(2))
    carried.headers = headers_of(Past("e1", rig.clock.now, "evolution_exchange", "messages.upsert", "default"))

    for one in (new, carried):
        from_deeper(100, partial(rig.flow.took, rig.alone.core, one))
    await calm()
    await calm()
    assert [one.ends for one in (new, carried)] == [["ack"]] * 2
    assert all(data in request.body for request, _ in rig.sender.sent)
    assert delivery_id("e1", "acme", "default") in [request.headers["webhook-id"] for request, _ in rig.sender.sent]
    assert len(rig.sender.sent) == 2


async def test_what_comes_back_from_its_siding_is_sent_however_deep_it_is_nested_and_keeps_its_past() -> None:
    rig = Rig(BOT)
    past = Past("e1", rig.clock.now, "evolution_exchange", "messages.upsert", "default", attempts=7)
    body = event(raw_data=b"[" * 950 + b"]" * 950)
    back = FakeMessage(body, queue="webhooks.ordered.1", headers=headers_of(past), message_id="siding.1")
    stamp = Stamp(Kind.EVENT, 1, 1, 1, BOT.endpoint)
    item = rig.flow.stored(rig.alone.core, back, Stored(stamp, "e1", CHAT, 300))

    from_deeper(100, partial(rig.flow.attempt, rig.alone.core, item))
    await calm()
    (request, _), *more = rig.sender.sent
    assert (request.headers["webhook-attempt"], more) == ("8", [])


async def test_a_message_for_two_ordered_webhooks_is_acked_when_both_have_it() -> None:
    rig = Rig(BOT, Webhook("acme", "https://slow.example/in", id="slow", order="instance"))
    rig.sender.hanging.add("https://slow.example/in")
    one = message(1)
    await rig.take(one)
    assert len(rig.posted) == 2
    assert one.ends == []


async def test_a_failure_is_tried_again_in_place_and_charged() -> None:
    rig = Rig(BOT)
    rig.sender.answers[URL] = Answered(500)
    taken = [message(1), message(2)]
    await rig.take(*taken)
    for wait in (1.0, 2.0, 4.0):  # more than WEBHOOK_RETRY_MAX_ATTEMPTS, which does not count here
        await rig.pass_time(wait)
    rig.sender.answers.clear()
    await rig.pass_time(8.0)
    assert rig.posted == [1, 1, 1, 1, 1, 2]
    attempts = [dict(request.headers)["webhook-attempt"] for request, _ in rig.sender.sent]
    assert attempts == ["1", "2", "3", "4", "5", "1"]
    assert rig.publisher.tries == 0, "no delay queue"
    assert [one.ends for one in taken] == [["ack"], ["ack"]]
    assert len(rig.history.rows) == 6


async def test_an_event_that_is_answered_with_failures_for_its_time_becomes_a_dead_letter_and_its_chat_goes_on() -> (
    None
):
    rig = Rig(Webhook("acme", URL, order="chat", order_block_seconds=2))
    rig.sender.answers[URL] = Answered(500)
    one = message(1)
    await rig.take(one, message(2))
    await rig.pass_time(1.0)
    assert one.ends == []
    await rig.pass_time(2.0)
    [letter] = rig.publisher.published
    assert (letter.queue, letter.facts["reason"]) == ("dead", "attempts_exhausted")
    assert one.ends == ["ack"]
    assert rig.posted[-1] == 2


@pytest.mark.parametrize("answer", [Unanswered(Failure.CONNECT, "refused"), Answered(503, retry_after=1.0)])
async def test_what_is_no_answer_to_the_event_is_never_its_fault(answer: Answered | Unanswered) -> None:
    rig = Rig(Webhook("acme", URL, order="chat", order_block_seconds=2))
    rig.sender.answers[URL] = answer
    await rig.take(message(1))
    await rig.pass_time(50.0)
    assert rig.publisher.published == []


async def test_a_status_that_is_never_retried_ends_the_delivery_at_once() -> None:
    rig = Rig(BOT)
    rig.sender.answers[URL] = Answered(404)
    one = message(1)
    await rig.take(one)
    assert [letter.facts["reason"] for letter in rig.publisher.published] == ["rejected"]
    assert one.ends == ["ack"]


async def test_an_event_waits_until_the_store_can_say_for_whom_it_is_and_those_behind_it_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (intake, unknown):
        monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
    rig = Rig()
    rig.webhooks.down = True
    taken = [message(1), message(2)]
    await rig.take(taken[0])
    rig.webhooks.known["acme"] = (BOT,)
    await rig.take(taken[1])
    assert rig.posted == [], "the second one does not pass the first"
    assert rig.flow.unknown == 2
    rig.webhooks.down = False
    await calm()
    await calm()
    assert (rig.posted, rig.flow.unknown) == ([1, 2], 0)


async def test_the_webhook_counts_as_it_is_at_the_attempt() -> None:
    rig = Rig(BOT)
    rig.sender.answers[URL] = Answered(500)
    taken = [message(1), message(2)]
    await rig.take(*taken)
    rig.webhooks.known["acme"] = (Webhook("acme", "https://new.example/in", order="chat"),)
    await rig.pass_time(1.0)
    assert [request.url for request, _ in rig.sender.sent] == [URL, "https://new.example/in", "https://new.example/in"]
    rig.webhooks.known["acme"] = ()
    gone = message(3)
    rig.flow.took(rig.alone.core, gone)
    await calm()
    assert gone.ends == ["ack"]


async def test_behind_a_rate_limit_the_next_one_starts_when_it_may_and_not_at_the_next_beat() -> None:
    rig = Rig(BOT)
    rig.admission.refusal = Parked(ParkReason.RATE_LIMITED, 5, free_in=0.02)
    await rig.take(message(1))
    assert rig.posted == []
    rig.admission.refusal = None
    rig.alone.now += 0.02

    async def posted() -> Sequence[int]:
        return rig.posted

    await eventually(posted, lambda numbers: numbers == [1], 10, "the event to be sent")


async def test_an_open_circuit_moves_the_endpoint_into_a_siding_and_what_comes_back_is_sent_in_order() -> None:
    rig = Rig(BOT)
    rig.admission.refusal = Parked(ParkReason.CIRCUIT_OPEN, 5)
    taken = [message(1), message(2)]
    await rig.take(*taken)
    assert rig.alone.core.line(BOT.endpoint).mode is Mode.MOVING
    rig.alone.confirm()
    assert rig.posted == []


async def test_an_event_that_is_too_old_is_given_up_without_an_attempt() -> None:
    rig = Rig(BOT)
    rig.sender.answers[URL] = Answered(500)
    one = message(1)
    await rig.take(one)
    rig.clock.now += 86_401
    await rig.pass_time(1.0)
    assert [letter.facts["reason"] for letter in rig.publisher.published] == ["expired"]
    assert one.ends == ["ack"]
    assert rig.posted == [1]


async def test_what_an_ended_connection_had_under_way_tells_the_core_nothing() -> None:
    rig = Rig(BOT)
    rig.sender.release.clear()
    one = message(1)
    await rig.take(one)
    rig.alone.core.over = True
    one.lost = True
    rig.flow.forget(rig.alone.core)
    rig.sender.release.set()
    await calm()
    assert one.ends == []
    assert rig.recorder.records == []


async def test_what_comes_while_its_webhook_is_paused_is_kept_out_of_the_way_of_others() -> None:
    rig = Rig(replace(BOT, paused_at=1))
    taken = [message(1), message(2)]
    await rig.take(*taken)
    assert rig.posted == []
    assert rig.recorder.records == [], "not skipped"
    assert rig.alone.core.line(BOT.endpoint).mode is Mode.MOVING, "into a siding"


async def test_the_age_of_what_was_kept_counts_from_the_resume() -> None:
    rig = Rig(BOT)
    rig.sender.answers[URL] = Answered(500)
    await rig.take(message(1), message(2))
    rig.sender.answers.clear()
    rig.clock.now += 200_000
    rig.webhooks.known["acme"] = (replace(BOT, resumed_at=int(rig.clock.now * 1000)),)
    await rig.pass_time(1.0)
    assert rig.posted == [1, 1, 2]
    assert rig.publisher.published == [], "older than WEBHOOK_RETRY_MAX_AGE_SECONDS, and not given up"


async def test_what_a_replay_published_goes_to_its_one_webhook_in_order_behind_what_came_before() -> None:
    other = Webhook("acme", "https://other.example/in", id="other", order="chat")
    rig = Rig(BOT, other)
    past = Past(
        "e1", rig.clock.now - 90_000, "evolution_exchange", "messages.upsert", "default", replayed=rig.clock.now
    )
    rig.sender.release.clear()
    replayed = message(1)
    replayed.headers = headers_of(past)
    await rig.take(message(2), replayed)
    assert rig.posted == [2, 2], "one for each"
    rig.sender.release.set()
    await calm()
    await calm()
    assert rig.posted == [2, 2, 1]
    assert rig.recorder.started_count == 2, "it was counted when it came first"
    rig.webhooks.known["acme"] = (other,)
    gone = message(3)
    gone.headers = headers_of(past)
    await rig.take(gone)
    assert gone.ends == ["ack"]
    assert rig.recorder.outcomes[-1] == "Skipped webhook_gone"


async def test_the_global_webhook_is_in_order_by_instance_and_chat() -> None:
    rig = Rig()
    rig.webhooks.known["acme"] = rig.webhooks.known["other"] = ()
    rig.webhooks.global_webhook = Webhook("", URL, id=GLOBAL_ID, order="chat")
    rig.flow._routing._choosing = rig.flow._intake._choosing = Choosing(rig.webhooks.global_webhook, rig.clock)
    rig.sender.release.clear()
    await rig.take(message(1), message(2), message(3, instance="other"))
    assert rig.posted == [1, 3]


class Ends(Switching):
    """Notes the markers that end."""

    def __init__(self) -> None:
        self.ends: list[Endpoint] = []
        self.begun: list[Webhook] = []

    def seen(self, webhook: Webhook) -> None:
        self.begun.append(webhook)

    async def ended(self, marker: Marker) -> None:
        self.ends.append(marker.endpoint)


async def test_a_switch_ends_behind_all_that_was_taken_before_its_marker(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (intake, unknown):
        monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
    switching, webhook = Ends(), replace(BOT, order="none", order_next="chat", order_switch_at=7)
    rig = Rig(webhook, switching=switching)
    rig.sender.release.clear()
    marker = FakeMessage(body_of(Marker(Stage.IN_ORDERED, "acme", "default", 7)), queue="webhooks.ordered")
    await rig.take(message(1), marker, message(2))
    assert (rig.posted, switching.begun) == ([1], [webhook, webhook])
    assert (switching.ends, marker.ends) == ([], [])
    rig.sender.release.set()
    await calm()
    await calm()
    assert (switching.ends, marker.ends) == ([webhook.endpoint], ["ack"])


async def test_a_marker_of_a_connection_that_has_ended_goes_back_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (intake, unknown):
        monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
    switching = Ends()
    rig = Rig(BOT, switching=switching)
    rig.sender.release.clear()
    marker = FakeMessage(body_of(Marker(Stage.IN_ORDERED, "acme", "default", 7)), queue="webhooks.ordered")
    await rig.take(message(1), marker)
    rig.alone.core.over = True
    rig.sender.release.set()
    await calm()
    await calm()
    assert (switching.ends, marker.ends) == ([], [])


async def test_an_event_that_waited_behind_its_chat_goes_where_its_webhook_is_by_then() -> None:
    rig = Rig(BOT)
    rig.sender.release.clear()
    await rig.take(message(1), message(2), message(3, "5522@s.whatsapp.net"))
    rig.webhooks.known["acme"] = (replace(BOT, url="https://new.example/in"),)
    rig.sender.release.set()
    await calm()
    await calm()
    urls = {json.loads(request.body)["data"]["number"]: request.url for request, _ in rig.sender.sent}
    assert urls == {1: URL, 2: "https://new.example/in", 3: URL}
