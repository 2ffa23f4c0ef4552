"""The core in any order of happenings: what may never be, and that in the end everything has ended."""

from collections import Counter, defaultdict

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.ordered.alone import Alone
from worker.domain.webhook import Endpoint
from worker.ordered.ports import Item
from worker.ordered.rules import WINDOW_EVENTS, Rules

ENDPOINTS = (Endpoint("acme", "a"), Endpoint("acme", "b"))
PREFETCH = 30
BLOCK_SECONDS = 20.0


class OrderMachine(RuleBasedStateMachine):
    """`_first[key]`: the number of the first delivery of a key that has not ended."""

    def __init__(self) -> None:
        super().__init__()
        self.alone = Alone(Rules(prefetch=PREFETCH, most_sidings=2, unacked_seconds=15.0, most_siding_bytes=4))
        self.alone.become_active()
        self._taken: Counter[tuple[str, str]] = Counter()
        self._ended: dict[tuple[str, str], set[int]] = defaultdict(set)

    def _held(self) -> int:
        return sum(self._taken.values()) - len(set(self.alone.settled))

    @precondition(lambda self: self._held() < PREFETCH)
    @rule(endpoint=st.sampled_from(ENDPOINTS), chats=st.lists(st.sampled_from("xyz"), min_size=1, max_size=5))
    def events_come(self, endpoint: Endpoint, chats: list[str]) -> None:
        for chat in chats:
            key = (endpoint.webhook_id, chat)
            self._taken[key] += 1
            name = f"{key[0]}/{key[1]}/{self._taken[key]}"
            self.alone.core.took(Item(name, endpoint, chat, size=1, block_seconds=BLOCK_SECONDS))

    @precondition(lambda self: self.alone.attempts)
    @rule(data=st.data(), how=st.sampled_from(["succeeds", "succeeds", "is refused", "gets no answer"]))
    def an_attempt_ends(self, data: st.DataObject, how: str) -> None:
        item = data.draw(st.sampled_from(self.alone.attempts))
        if how == "succeeds":
            self._ends(item)
            self.alone.succeed(item)
        else:
            self.alone.fail(item, answered=how == "is refused")

    @precondition(lambda self: self.alone.letters)
    @rule()
    def a_dead_letter_is_confirmed(self) -> None:
        item = self.alone.letters[0]
        self._ends(item)
        self.alone.bury(item)

    @precondition(lambda self: self._held() < PREFETCH)
    @rule(endpoint=st.sampled_from(ENDPOINTS))
    def a_circuit_opens(self, endpoint: Endpoint) -> None:
        """Whatever is tried next finds it open, and nothing of it is sent until circuits close."""
        self.alone.down.add(endpoint)
        self.events_come(endpoint, ["x", "y", "z"])

    @precondition(lambda self: self.alone.down)
    @rule()
    def all_circuits_close(self) -> None:
        self.alone.down.clear()

    @rule(seconds=st.sampled_from([0.25, 1.0, 5.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.alone.pass_time(seconds)

    @precondition(lambda self: self.alone.unconfirmed)
    @rule()
    def the_broker_confirms(self) -> None:
        self.alone.confirm()

    @rule()
    def the_broker_does_all(self) -> None:
        self.alone.broker_does_all()

    @precondition(lambda self: any(self.alone.sidings.values()))
    @rule(number=st.sampled_from([1, 2]))
    def a_siding_delivers(self, number: int) -> None:
        self.alone.deliver(number, prefetch=5)

    @precondition(lambda self: self.alone.emptied)
    @rule()
    def the_broker_stores_acks(self) -> None:
        self.alone.store_acks()

    @precondition(lambda self: self.alone.unconfirmed)
    @rule(arrives=st.booleans())
    def publishing_to_a_siding_breaks(self, arrives: bool) -> None:
        """What was under way has arrived, or nothing of it."""
        number = self.alone.unconfirmed[0][0]
        lost = {serial for siding, serial in self.alone.unconfirmed if siding == number}
        self.alone.unconfirmed = [under_way for under_way in self.alone.unconfirmed if under_way[0] != number]
        if not arrives:
            kept = [message for message in self.alone.sidings[number] if message.stamp.serial not in lost]
            self.alone.sidings[number].clear()
            self.alone.sidings[number].extend(kept)
        self.alone.core.publish_failed(number)

    @invariant()
    def one_attempt_a_key_and_never_before_an_earlier_one_has_ended(self) -> None:
        under_way = [*self.alone.attempts, *self.alone.letters]
        keys = [self._key(item) for item in under_way]
        assert len(keys) == len(set(keys))
        for item, key in zip(under_way, keys, strict=True):
            number = int(item.id.rpartition("/")[2])
            assert set(range(1, number)) <= self._ended[key], item.id

    @invariant()
    def what_is_settled_has_ended_or_is_in_a_siding(self) -> None:
        stored = {event for number in self.alone.sidings for event in self.alone.events_in(number)}
        ended = {f"{a}/{b}/{number}" for (a, b), numbers in self._ended.items() for number in numbers}
        assert set(self.alone.settled) <= ended | stored

    @invariant()
    def what_waits_is_bounded(self) -> None:
        assert len(self.alone.unconfirmed) <= 2 * (WINDOW_EVENTS + 2)
        assert not self.alone.gave_way

    def teardown(self) -> None:
        """The receivers are well again: no key starves."""
        self.alone.down.clear()
        for _ in range(200):
            self.alone.broker_does_all()
            for item in list(self.alone.attempts):
                self._ends(item)
                self.alone.succeed(item)
            for item in list(self.alone.letters):
                self._ends(item)
                self.alone.bury(item)
            if all(len(self._ended[key]) == taken for key, taken in self._taken.items()):
                break
            self.alone.pass_time(1.0)
            self.one_attempt_a_key_and_never_before_an_earlier_one_has_ended()
        assert {key: len(ended) for key, ended in self._ended.items() if ended} == dict(self._taken)

    def _ends(self, item: Item) -> None:
        self._ended[self._key(item)].add(int(item.id.rpartition("/")[2]))

    def _key(self, item: Item) -> tuple[str, str]:
        return item.endpoint.webhook_id, item.key


TestOrder = pytest.mark.filterwarnings("error")(OrderMachine.TestCase)
TestOrder.settings = settings(
    max_examples=30, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
