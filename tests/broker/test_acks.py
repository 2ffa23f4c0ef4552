"""The ledger of acks against a model of what the broker keeps: its un-acked set."""

from __future__ import annotations

import time

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from worker.broker.consuming.acks import PATIENCE, WAITING_PART, AckLedger


def ledger_with(taken: int, prefetch: int = 1000) -> AckLedger:
    ledger = AckLedger()
    ledger.expect(prefetch)
    for tag in range(1, taken + 1):
        ledger.taken(tag)
    return ledger


def test_a_finished_prefix_is_one_frame() -> None:
    ledger = ledger_with(5)
    for tag in (2, 1, 3):
        ledger.ack(tag)
    assert ledger.take() == [(3, True)]
    assert not ledger.pending


def frames_of_calls(ledger: AckLedger, calls: int) -> list[tuple[int, bool]]:
    return [frame for _ in range(calls) for frame in ledger.take()]


def test_what_waits_behind_an_unfinished_one_goes_alone_when_its_patience_ends() -> None:
    ledger = ledger_with(4)
    ledger.ack(3)
    ledger.ack(4)
    assert frames_of_calls(ledger, PATIENCE) == []
    assert ledger.pending
    assert ledger.take() == [(3, False), (4, False)]
    assert not ledger.pending


def test_an_unfinished_one_that_ends_in_time_takes_all_behind_it_along_in_one_frame() -> None:
    ledger = ledger_with(200)
    for tag in range(2, 201):
        ledger.ack(tag)
        if tag % 30 == 0:
            ledger.take()
    ledger.ack(1)
    assert ledger.take() == [(200, True)]
    assert not ledger.pending


def test_it_counts_what_the_broker_passes_on_its_way_to_those_that_go_alone() -> None:
    ledger = ledger_with(20)
    ledger.ack(6)
    ledger.ack(9)
    frames_of_calls(ledger, PATIENCE)
    assert ledger._walked == 0
    assert ledger.take() == [(6, False), (9, False)]
    assert ledger._walked == 2 * 5, "five were open before them"
    for tag in range(1, 6):
        ledger.ack(tag)
    ledger.take()
    assert ledger._walked == 2 * 5, "a prefix is no walk"
    assert not ledger.dear


def test_acks_are_dear_once_the_broker_has_passed_half_a_million() -> None:
    ledger = ledger_with(3000, prefetch=4000)
    for tag in range(1001, 1502):
        ledger.ack(tag)
    frames_of_calls(ledger, PATIENCE + 1)
    assert (ledger._walked, ledger.dear) == (501_000, True)


def test_what_was_acked_and_not_told_is_unsettled_to_the_broker() -> None:
    ledger = ledger_with(4)
    assert ledger.unsettled == 4
    ledger.ack(2)
    ledger.take()
    assert ledger.unsettled == 4, "its ack waits behind the first"
    ledger.ack(1)
    assert ledger.unsettled == 4
    ledger.take()
    assert ledger.unsettled == 2


def test_what_was_open_before_its_patience_hangs() -> None:
    ledger = ledger_with(3)
    frames_of_calls(ledger, PATIENCE - 1)
    assert ledger.hanging == 0
    ledger.taken(4)
    ledger.take()
    assert ledger.hanging == 3
    ledger.ack(1)
    assert ledger.hanging == 2
    frames_of_calls(ledger, PATIENCE)
    assert ledger.hanging == 3


def test_each_waits_for_its_own_patience() -> None:
    ledger = ledger_with(4)
    ledger.ack(4)
    ledger.take()
    ledger.ack(1)
    ledger.ack(3)
    assert frames_of_calls(ledger, PATIENCE) == [(1, True), (4, False)]
    assert ledger.waiting == {3}
    assert ledger.take() == [(3, False)]


def test_behind_one_that_hangs_nothing_waits_longer_than_a_call() -> None:
    """Most of a prefetch may hang: what turns over the rest must not wait for it."""
    ledger = ledger_with(100)
    ledger.ack(2)
    assert frames_of_calls(ledger, PATIENCE + 1) == [(2, False)]
    for tag in range(3, 100):
        ledger.ack(tag)
        assert frames_of_calls(ledger, 2) == [(tag, False)]
    ledger.ack(1)
    ledger.take()
    assert not ledger.waiting


def test_more_than_a_part_of_the_prefetch_does_not_wait() -> None:
    """It is as full for the broker as with messages that nobody has finished: nothing more would come."""
    ledger = ledger_with(12, prefetch=4 * WAITING_PART)
    for tag in (9, 5, 7, 3, 11, 4):
        ledger.ack(tag)
    assert ledger.take() == []
    assert ledger.take() == [(3, False), (4, False)]
    assert len(ledger.waiting) == 4


def test_with_a_prefetch_of_one_nothing_waits_longer_than_a_call() -> None:
    ledger = ledger_with(2, prefetch=1)
    ledger.ack(2)
    assert frames_of_calls(ledger, 2) == [(2, False)]


def test_a_prefix_never_names_a_tag_that_was_told_before() -> None:
    ledger = ledger_with(3)
    ledger.ack(3)
    assert frames_of_calls(ledger, PATIENCE + 1) == [(3, False)]
    ledger.ack(1)
    ledger.ack(2)
    assert ledger.take() == [(2, True)]


def test_a_prefix_leaves_what_waits_behind_the_next_unfinished_one() -> None:
    ledger = ledger_with(5)
    for tag in (2, 4, 5):
        ledger.ack(tag)
    ledger.take()
    ledger.ack(1)
    assert ledger.take() == [(2, True)]
    assert ledger.waiting == {4, 5}
    ledger.ack(3)
    assert ledger.take() == [(5, True)]


def test_what_was_rejected_does_not_come_back_and_what_was_handed_back_does() -> None:
    ledger = ledger_with(3)
    ledger.handed_back(1)
    ledger.rejected(2)
    assert (ledger.kept, ledger.settled) == (2, 1)
    ledger.ack(3)
    assert ledger.take() == [(3, True)]


def test_a_prefix_that_was_told_already_is_not_told_again() -> None:
    ledger = ledger_with(2)
    ledger.handed_back(1)
    assert ledger.take() == []
    ledger.ack(2)
    assert ledger.take() == [(2, True)]


def test_a_tag_that_never_arrived_is_not_swept_along() -> None:
    ledger = AckLedger()
    ledger.taken(2)
    ledger.ack(2)
    assert frames_of_calls(ledger, PATIENCE + 1) == [(2, False)]


def test_one_open_message_at_the_front_costs_neither_time_nor_memory() -> None:
    ledger = ledger_with(1)
    started = time.process_time()
    for tag in range(2, 60_000):
        ledger.taken(tag)
        ledger.ack(tag)
        if tag % 20 == 0:
            ledger.take()
    assert time.process_time() - started < 2
    kept = sum(len(part) for part in (ledger._open, ledger._fresh, ledger._waiting))
    assert kept < 20 * (PATIENCE + 2)


PREFETCH = 2 * WAITING_PART


class Ledger(RuleBasedStateMachine):
    """Deliveries, acks and hand-backs in any order, frames sent now and then, as in Consumption."""

    tags: Bundle[int] = Bundle("tags")

    def __init__(self) -> None:
        super().__init__()
        self.ledger = AckLedger()
        self.ledger.expect(PREFETCH)
        self.last = 0
        self.unacked: set[int] = set()
        self.acked: set[int] = set()
        self.settled: set[int] = set()
        self.calls: dict[int, int] = {}  # of `take` since it was settled

    @rule(target=tags, skipped=st.sampled_from([0, 0, 0, 1]))
    def deliver(self, skipped: int) -> int:
        self.unacked.update(range(self.last + 1, self.last + 2 + skipped))
        self.last += 1 + skipped
        self.ledger.taken(self.last)
        return self.last

    @rule(skipped=st.sampled_from([0, 0, 0, 1]))
    def deliver_what_is_settled_as_it_comes(self, skipped: int) -> None:
        self.unacked.update(range(self.last + 1, self.last + 2 + skipped))
        self.last += 1 + skipped
        self.ledger.passed(self.last)
        self.settled.add(self.last)

    @rule(tag=consumes(tags))
    def ack(self, tag: int) -> None:
        self.ledger.ack(tag)
        self.settled.add(tag)

    @rule(tag=consumes(tags))
    def hand_back(self, tag: int) -> None:
        assert tag in self.unacked
        self.unacked.remove(tag)
        self.ledger.handed_back(tag)

    @rule(times=st.sampled_from([1, 1, 2, PATIENCE]))
    def flush(self, times: int) -> None:
        for _ in range(times):
            self.flush_once()

    def flush_once(self) -> None:
        waited = self.settled & self.unacked
        self.calls = {tag: self.calls.get(tag, 0) + 1 for tag in waited}
        for tag, multiple in self.ledger.take():
            # The broker looks for this very tag, and closes the channel when it is not there.
            assert tag in self.unacked
            swept = {one for one in self.unacked if one <= tag} if multiple else {tag}
            assert swept <= self.settled, "acked what nobody settled"
            self.unacked -= swept
        late = [tag for tag in self.settled & self.unacked if self.calls[tag] > PATIENCE]
        assert not late, "settled long ago and still not told"
        asked_before = [tag for tag in self.settled & self.unacked if self.calls[tag] > 1]
        assert len(asked_before) <= PREFETCH // WAITING_PART, "they take the room of others"

    @invariant()
    def pending_says_whether_an_ack_is_left_to_send(self) -> None:
        assert self.ledger.pending == bool(self.settled & self.unacked)


TestLedger = Ledger.TestCase
