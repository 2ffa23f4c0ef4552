"""An endpoint that is down moves into a siding and comes back; a takeover finds what is in them."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.ordered.alone import Alone, InSiding
from worker.domain.webhook import Endpoint
from worker.ordered.deciding.line import Mode
from worker.ordered.deciding.ports import Item, Kind, NotNow, Stamp
from worker.ordered.deciding.role import State
from worker.ordered.deciding.rules import BEAT_SECONDS, FULL_PREFETCH, WINDOW_EVENTS, Rules

DEAD, WELL = Endpoint("acme", "dead"), Endpoint("acme", "well")


def event(number: int, endpoint: Endpoint = DEAD, key: str = "chat", size: int = 1) -> Item:
    return Item(f"{endpoint.webhook_id}{number}", endpoint, key, size=size)


def active(rules: Rules | None = None) -> Alone:
    alone = Alone(rules)
    alone.become_active()
    return alone


def holding(events: int) -> Alone:
    """The dead endpoint's events 1 to `events` were taken, and are of one chat."""
    alone = active()
    for number in range(1, events + 1):
        alone.core.took(event(number))
    return alone


def sided(count: int = 3) -> Alone:
    """The dead endpoint's events 1 to `count` are in siding 1."""
    alone = active()
    alone.down.add(DEAD)
    for number in range(1, count + 1):
        alone.core.took(event(number))
    alone.broker_does_all()
    return alone


def test_an_endpoint_whose_circuit_is_open_holds_nothing_of_the_queue() -> None:
    alone = sided(3)
    assert alone.settled == ["dead1", "dead2", "dead3"]
    assert alone.events_in(1) == ["dead1", "dead2", "dead3"]
    assert alone.core.line(DEAD).mode is Mode.SIDED


def test_other_endpoints_go_on_meanwhile() -> None:
    alone = sided(3)
    alone.core.took(event(1, WELL))
    assert [item.id for item in alone.attempts] == ["well1"]


def test_fresh_events_of_a_sided_endpoint_go_behind_and_the_siding_is_given_back_when_it_is_empty() -> None:
    alone = sided(2)
    alone.core.took(event(3))
    alone.broker_does_all()
    alone.down.clear()
    alone.pass_time(1.0)
    for number in (1, 2, 3):
        assert [item.id for item in alone.attempts] == [f"dead{number}"]
        alone.succeed(alone.attempts[0])
        alone.broker_does_all()
    alone.core.took(event(4))
    assert alone.attempts[0].siding == 0, "from the queue, without a siding"
    assert alone.events_in(1) == []


def test_what_may_be_published_without_a_confirm_is_shared_by_the_sidings() -> None:
    """A queue that confirms nothing must not take it all, and all together stay below what stops a connection."""
    alone = active()
    dead = [Endpoint("acme", f"dead{number}") for number in range(4)]
    alone.down |= set(dead)
    for endpoint in dead:
        alone.core.took(event(1, endpoint))
    alone.broker_does_all()
    alone.pass_time(BEAT_SECONDS)
    alone.broker_does_all()
    for endpoint in dead:
        for number in range(2, 2 + WINDOW_EVENTS):
            alone.core.took(event(number, endpoint))
    under_way = Counter(number for number, _ in alone.unconfirmed)
    assert under_way == dict.fromkeys(range(1, 5), WINDOW_EVENTS // 4)
    alone.broker_does_all()
    ids = [[f"{endpoint.webhook_id}{number}" for number in range(1, 2 + WINDOW_EVENTS)] for endpoint in dead]
    assert [alone.events_in(number) for number in range(1, 5)] == ids


def test_nothing_is_acked_in_the_queue_before_the_siding_has_confirmed_it_and_all_before_it() -> None:
    alone = active()
    alone.down.add(DEAD)
    for number in (1, 2):
        alone.core.took(event(number))
    alone.confirm()
    alone.deliver(1)
    (_, first), (_, second) = alone.unconfirmed
    alone.core.confirmed(1, second)
    assert alone.settled == []
    alone.core.confirmed(1, first)
    assert alone.settled == ["dead1", "dead2"]


def test_after_a_publish_that_was_refused_while_the_next_was_taken_the_order_is_kept() -> None:
    alone = active()
    alone.down.add(DEAD)
    for number in (1, 2):
        alone.core.took(event(number))
    alone.confirm()
    alone.deliver(1)
    (_, first), (_, second) = alone.unconfirmed
    alone.sidings[1] = deque(message for message in alone.sidings[1] if message.stamp.serial != first)
    alone.unconfirmed.clear()
    alone.core.confirmed(1, second)
    alone.core.publish_failed(1)
    alone.down.clear()
    alone.pass_time(1.0)
    sent = []
    for _ in range(2):
        alone.broker_does_all()
        sent.append(alone.attempts[0].id)
        alone.succeed(alone.attempts[0])
    assert sent == ["dead1", "dead2"]


@pytest.mark.parametrize("breaks", [1, FULL_PREFETCH - 1, 3 * FULL_PREFETCH])
def test_a_label_that_is_published_again_and_again_leaves_room_for_its_events(breaks: int) -> None:
    """Each break leaves open whether it has arrived, and it has. Un-acked, its copies would fill the prefetch."""
    alone = active()
    alone.down.add(DEAD)
    alone.core.took(event(1))
    for _ in range(breaks):
        assert kinds(alone)[-1] is Kind.LABEL
        alone.unconfirmed.clear()
        alone.core.publish_failed(1)
    assert kinds(alone) == [Kind.LABEL] * (breaks + 1)
    alone.broker_does_all()
    alone.down.clear()
    alone.pass_time(2.0)
    assert [item.id for item in alone.attempts] == ["dead1"]
    assert kinds(alone).count(Kind.LABEL) == 1
    alone.succeed(alone.attempts[0])
    alone.broker_does_all()
    assert kinds(alone) == []
    assert alone.core.line(DEAD).mode is Mode.DIRECT


def kinds(alone: Alone) -> list[Kind]:
    """Of what siding 1 holds."""
    return [message.stamp.kind for message in alone.messages_in(1)]


def test_a_head_that_waits_for_a_minute_moves() -> None:
    alone = active()
    alone.core.took(event(1))
    alone.pass_time(59.0)
    alone.fail(alone.attempts[0], answered=False)
    assert alone.core.line(DEAD).mode is Mode.DIRECT
    alone.pass_time(1.5)
    assert alone.core.line(DEAD).mode is not Mode.DIRECT


def test_a_hundred_that_wait_move_once_they_are_slow_and_not_as_a_burst() -> None:
    alone = holding(101)
    alone.pass_time(1.5)
    assert alone.core.line(DEAD).mode is Mode.DIRECT
    alone.pass_time(1.0)
    assert alone.core.line(DEAD).mode is Mode.MOVING
    alone.fail(alone.attempts[0], answered=False)
    alone.broker_does_all()
    assert len(alone.events_in(1)) == 101


def test_when_half_of_the_prefetch_is_held_the_endpoint_that_holds_most_moves() -> None:
    alone = active(Rules(prefetch=20))
    for number in range(1, 8):
        alone.core.took(event(number))
    for number in range(1, 4):
        alone.core.took(event(number, WELL))
    alone.pass_time(2.5)
    assert (alone.core.line(DEAD).mode, alone.core.line(WELL).mode) == (Mode.MOVING, Mode.DIRECT)


def failing(events: int) -> Alone:
    """An endpoint of one chat that has refused its first event twice; its circuit is closed yet."""
    alone = holding(events)
    alone.fail(alone.attempts[0])
    alone.pass_time(1.0)
    alone.fail(alone.attempts[0])
    return alone


@pytest.mark.parametrize(("events", "moves"), [(10, False), (11, True)])
def test_one_that_fails_moves_after_two_seconds_if_more_than_ten_wait(events: int, moves: bool) -> None:
    alone = failing(events)
    alone.pass_time(0.75)
    assert alone.core.line(DEAD).mode is Mode.DIRECT
    alone.pass_time(0.5)
    assert (alone.core.line(DEAD).mode is Mode.MOVING) == moves


@pytest.mark.parametrize(("events", "moves"), [(10, False), (11, True)])
def test_one_that_hangs_moves_after_two_seconds_if_more_than_ten_wait(events: int, moves: bool) -> None:
    """No attempt has failed: its timeout may be a minute. What it holds keeps what is behind it un-acked."""
    alone = holding(events)
    alone.pass_time(1.75)
    assert alone.core.line(DEAD).mode is Mode.DIRECT
    alone.pass_time(0.5)
    assert (alone.core.line(DEAD).mode is Mode.MOVING) == moves


def test_nothing_moves_while_rabbitmq_takes_no_publishes() -> None:
    """It would stand still until the alarm ends: nothing starts at one that moves."""
    alone = holding(11)
    for _ in range(20):
        alone.pass_time(0.2, blocked=True)
    assert alone.core.line(DEAD).mode is Mode.DIRECT
    alone.pass_time(0.25)
    assert alone.core.line(DEAD).mode is Mode.MOVING


def test_one_that_waits_for_its_rate_is_held_up_by_no_receiver() -> None:
    alone = active()
    alone.not_now = NotNow(1.0)
    for number in range(1, 12):
        alone.core.took(event(number))
    alone.pass_time(10.0)
    assert alone.core.line(DEAD).mode is Mode.DIRECT


@pytest.mark.parametrize("end", [Alone.succeed, Alone.skip])
def test_one_that_is_slow_and_takes_what_comes_stays(end: Callable[[Alone, Item], None]) -> None:
    """Whatever becomes of what it takes."""
    alone = holding(15)
    for _ in range(3):
        alone.pass_time(1.75)
        end(alone, alone.attempts[0])
        assert alone.core.line(DEAD).mode is Mode.DIRECT


def test_one_that_comes_back_has_two_seconds_again() -> None:
    alone = sided(1)
    alone.down.clear()
    alone.pass_time(1.0)
    alone.succeed(alone.attempts[0])
    for number in range(2, 14):
        alone.core.took(event(number))
    alone.pass_time(3.0)  # until RabbitMQ has stored the acks
    alone.broker_does_all()
    assert alone.core.line(DEAD).mode is Mode.DIRECT
    alone.pass_time(1.75)
    assert alone.core.line(DEAD).mode is Mode.DIRECT
    alone.pass_time(0.5)
    assert alone.core.line(DEAD).mode is Mode.MOVING


def test_one_that_fails_in_one_chat_and_takes_those_of_another_stays() -> None:
    alone = failing(11)
    alone.core.took(event(12, key="other"))
    alone.pass_time(0.5)
    alone.succeed(next(item for item in alone.attempts if item.key == "other"))
    alone.pass_time(1.5)
    alone.fail(alone.attempts[0])
    alone.pass_time(0.25)
    assert alone.core.line(DEAD).mode is Mode.DIRECT


def moved_with_one_under_way(*keys: str) -> Alone:
    """One event for each of these chats, of an endpoint that accepts and does not answer; then all of it moves."""
    alone = active(Rules(prefetch=2))
    for number, key in enumerate(keys, 1):
        alone.core.took(event(number, key=key))
    alone.pass_time(1.25)
    assert alone.core.line(DEAD).mode is Mode.MOVING
    return alone


def test_what_is_under_way_moves_with_all_behind_it_and_holds_nothing_of_the_queue() -> None:
    alone = moved_with_one_under_way("chat", "chat")
    alone.broker_does_all()
    assert alone.settled == ["dead1", "dead2"]
    assert alone.events_in(1) == ["dead1", "dead2"], "in the order in which they came, for whoever takes over"
    assert [(item.id, item.siding) for item in alone.attempts] == [("dead1", 0)], "the copy waits for its end"


def moved_before(first: str) -> Alone:
    """Its two events of one chat are on their way: the "attempt" at the first ends next, or its "copy" has come."""
    alone = moved_with_one_under_way("chat", "chat")
    alone.confirm()
    alone.deliver(1)
    if first == "copy":
        alone.broker_does_all()
    return alone


@pytest.mark.parametrize("first", ["attempt", "copy"])
def test_what_ended_while_it_moved_is_not_sent_again_and_its_chat_goes_on(first: str) -> None:
    alone = moved_before(first)
    alone.succeed(alone.attempts[0])
    alone.broker_does_all()
    assert [(item.id, item.siding) for item in alone.attempts] == [("dead2", 1)]
    assert sorted(alone.settled) == ["dead1", "dead1", "dead2"], "in the queue, and its copy in the siding"


@pytest.mark.parametrize("first", ["attempt", "copy"])
def test_what_failed_while_it_moved_is_tried_again_in_its_time_and_before_the_next(first: str) -> None:
    alone = moved_before(first)
    alone.fail(alone.attempts[0], answered=False)
    alone.broker_does_all()
    assert alone.attempts == [], "its backoff is not forgotten"
    alone.pass_time(1.0)
    assert [(item.id, item.siding) for item in alone.attempts] == [("dead1", 1)]
    alone.succeed(alone.attempts[0])
    assert [item.id for item in alone.attempts] == ["dead2"]


def test_what_ended_while_it_moved_is_not_sent_again_when_its_publish_failed() -> None:
    alone = moved_with_one_under_way("chat", "chat")
    alone.confirm()
    alone.deliver(1)
    alone.succeed(alone.attempts[0])
    alone.sidings[1].clear()
    alone.unconfirmed.clear()
    alone.core.publish_failed(1)
    alone.broker_does_all()
    assert [(item.id, item.siding) for item in alone.attempts] == [("dead2", 1)]


def test_a_chat_of_which_nothing_is_under_way_goes_on_from_the_siding() -> None:
    alone = active(Rules(prefetch=2))
    alone.core.took(event(1))
    alone.core.took(event(2))
    alone.pass_time(1.25)
    alone.core.took(event(3, key="other"))
    alone.broker_does_all()
    assert [(item.id, item.siding) for item in alone.attempts] == [("dead1", 0), ("dead3", 1)]


def test_a_siding_is_not_given_back_while_what_was_under_way_before_it_is() -> None:
    alone = moved_with_one_under_way("chat", "other")
    alone.broker_does_all()
    alone.succeed(alone.attempts[0])
    alone.broker_does_all()
    assert alone.core.line(DEAD).mode is Mode.SIDED
    alone.succeed(alone.attempts[0])
    alone.broker_does_all()
    assert alone.core.line(DEAD).mode is Mode.DIRECT


def test_one_that_takes_what_comes_stays_when_half_of_the_prefetch_is_held() -> None:
    alone = active(Rules(prefetch=20))
    for number in range(1, 12):
        alone.core.took(event(number, WELL, key=f"chat{number}"))
        alone.core.took(event(number, key=f"chat{number}"))
    alone.pass_time(0.5)
    alone.succeed(next(item for item in alone.attempts if item.endpoint == WELL))
    alone.pass_time(0.75)
    assert (alone.core.line(DEAD).mode, alone.core.line(WELL).mode) == (Mode.MOVING, Mode.DIRECT)


def test_when_too_many_bytes_are_held_the_endpoint_that_holds_most_moves_at_once() -> None:
    alone = active(Rules(most_bytes=100))
    alone.core.took(event(1, size=80))
    alone.core.took(event(1, WELL, size=21))
    alone.pass_time(0.25)
    assert (alone.core.line(DEAD).mode, alone.core.line(WELL).mode) == (Mode.MOVING, Mode.DIRECT)


def test_without_a_free_siding_the_endpoint_waits_where_it_is() -> None:
    alone = active(Rules(most_sidings=0))
    alone.down.add(DEAD)
    alone.core.took(event(1))
    alone.pass_time(1.0)
    assert alone.core.line(DEAD).mode is Mode.DIRECT
    alone.down.clear()
    alone.pass_time(2.0)
    assert [item.id for item in alone.attempts] == ["dead1"]


def test_a_siding_is_opened_anew_before_rabbitmq_loses_patience() -> None:
    alone = sided(2)
    alone.pass_time(301.0)
    assert alone.reopened == [1]
    alone.broker_does_all()
    alone.down.clear()
    alone.pass_time(1.0)
    for number in (1, 2):
        alone.broker_does_all()
        assert [item.id for item in alone.attempts] == [f"dead{number}"]
        alone.succeed(alone.attempts[0])


# A takeover.

OLD = 5
"""The epoch before."""


def taking_over(*messages: InSiding) -> Alone:
    """A new active replica, whose only siding holds these."""
    alone = Alone(sidings=1)
    alone.sidings[1].extend(messages)
    alone.core.role.highest = OLD
    alone.core.first_came()
    alone.core.took(event(9))
    alone.pass_time(5.0)
    assert alone.core.role.state is State.ASKING, "nothing has answered"
    assert alone.attempts == []
    alone.broker_does_all()
    alone.pass_time(0.25)
    return alone


def label(use: int = 1, endpoint: Endpoint = DEAD, epoch: int = OLD) -> InSiding:
    return InSiding(Stamp(Kind.LABEL, epoch, 1, use, endpoint), None)


def stored(number: int, use: int = 1, epoch: int = OLD) -> InSiding:
    return InSiding(Stamp(Kind.EVENT, epoch, number + 1, use, DEAD), event(number))


def test_who_takes_over_serves_the_siding_first_and_puts_what_is_in_the_queue_behind_it() -> None:
    alone = taking_over(label(), stored(1))
    assert [item.id for item in alone.attempts] == ["dead1"]
    assert alone.settled == ["dead9"]
    assert alone.events_in(1) == ["dead1", "dead9"]


def test_a_siding_with_a_label_alone_is_given_back() -> None:
    alone = taking_over(label())
    alone.broker_does_all()
    alone.pass_time(0.5)
    alone.broker_does_all()
    assert [item.id for item in alone.attempts] == ["dead9"]
    assert not alone.sidings[1], "nor is its label left for the next one"


def test_who_takes_over_finds_the_events_behind_many_copies_of_a_label() -> None:
    copies = [InSiding(Stamp(Kind.LABEL, OLD, serial, 1, DEAD), None) for serial in range(1, 3 * FULL_PREFETCH)]
    alone = taking_over(*copies, stored(3 * FULL_PREFETCH))
    assert [item.id for item in alone.attempts] == [f"dead{3 * FULL_PREFETCH}"]
    assert kinds(alone) == [Kind.LABEL, Kind.EVENT, Kind.EVENT]


def test_an_event_without_a_label_before_it_was_published_too_late_and_is_dropped() -> None:
    alone = taking_over(stored(9))
    assert [item.siding for item in alone.attempts] == [0]
    assert alone.events_in(1) == []


@pytest.mark.parametrize("late", [1, 7])
def test_an_event_of_another_use_than_the_labels_was_published_too_late_and_is_dropped(late: int) -> None:
    alone = taking_over(label(3), stored(1, use=3), stored(2, use=late))
    assert alone.events_in(1) == ["dead1", "dead9"]
    alone.succeed(alone.attempts[0])
    assert [item.id for item in alone.attempts] == ["dead9"]


@pytest.mark.parametrize("late", [1, 7])
def test_of_two_labels_the_one_counts_whose_events_follow(late: int) -> None:
    alone = taking_over(label(late, WELL), label(3), stored(1, use=3))
    assert [item.id for item in alone.attempts] == ["dead1"]


def test_a_late_label_behind_a_use_changes_nothing() -> None:
    alone = taking_over(label(3), stored(1, use=3), label(7, WELL))
    assert not alone.gave_way
    assert [item.id for item in alone.attempts] == ["dead1"]


def test_the_label_of_a_later_epoch_ends_this_one() -> None:
    alone = sided(1)
    alone.core.came(1, Stamp(Kind.LABEL, 10**9, 1, 10**9, WELL), None, (1, None))
    assert alone.gave_way


def test_another_replicas_marker_is_never_acked_without_a_lease() -> None:
    alone = sided(1)
    alone.now += 5.0
    alone.sidings[1].append(InSiding(Stamp(Kind.MARKER, 10**9, 1), None))
    alone.deliver(1)
    alone.close_siding(1)
    assert alone.sidings[1][-1].stamp.kind is Kind.MARKER


def test_a_labels_copy_that_comes_without_a_lease_is_acked_once_there_is_one() -> None:
    alone = sided(1)
    [kept] = [one for one in alone.messages_in(1) if one.stamp.kind is Kind.LABEL]
    alone.now += 5.0
    alone.sidings[1].append(InSiding(replace(kept.stamp, serial=kept.stamp.serial + 100), None))
    alone.deliver(1)
    assert kinds(alone).count(Kind.LABEL) == 2
    alone.pass_time(1.0)
    assert [one for one in alone.messages_in(1) if one.stamp.kind is Kind.LABEL] == [kept]


def test_a_siding_that_is_opened_anew_keeps_one_label_whichever_comes_first_then() -> None:
    alone = sided(1)
    [kept] = [one for one in alone.messages_in(1) if one.stamp.kind is Kind.LABEL]
    alone.sidings[1].appendleft(InSiding(replace(kept.stamp, serial=0), None))
    alone.pass_time(301.0)
    alone.broker_does_all()
    assert kinds(alone).count(Kind.LABEL) == 1
    alone.down.clear()
    alone.pass_time(1.0)
    assert [item.id for item in alone.attempts] == ["dead1"]


def test_a_drained_replica_keeps_its_lease_while_attempts_run_and_leaves_no_tick_behind_when_it_rests() -> None:
    alone = active()
    alone.core.took(event(1, WELL))
    alone.core.drain()
    alone.ticks.clear()
    alone.pass_time(20.0)
    assert len(alone.ticks) == 40
    assert not alone.gave_way
    alone.succeed(alone.attempts[0])
    assert alone.core.resting
    alone.pass_time(20.0)
    assert len(alone.ticks) == 40
