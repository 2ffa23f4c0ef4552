"""The core in any order of happenings: what may never be, and that in the end everything has ended."""

from collections import Counter, defaultdict

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.ordered.alone import Alone
from worker.domain.webhook import Endpoint
from worker.ordered.deciding.ports import Item
from worker.ordered.deciding.rules import WINDOW_EVENTS, Rules

ENDPOINTS = (Endpoint("acme", "a"), Endpoint("acme", "b"))
PREFETCH = 30
BLOCK_SECONDS = 20.0


class OrderMachine(RuleBasedStateMachine):
    """`_first[key]`: the number of the first delivery of a key that has not ended."""

    def __init__(self) -> None:
        super().__init__()
        self.alone = Alone(Rules(prefetch=PREFETCH, most_sidings=2, unacked_seconds=15.0, most_siding_bytes=4))
        self.alone.become_active()
        self._failures: Counter[str] = Counter()
        self._failed_at: dict[str, float] = {}
        self._answered_since: dict[str, float] = {}
        self._succeeded_at: dict[tuple[str, str], float] = {}
        self._judged: set[int] = set()
        self._seen: set[int] = set()
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
            self._succeeds(item)
        else:
            self._fails(item, answered=how == "is refused")

    @precondition(lambda self: self.alone.attempts)
    @rule()
    def all_attempts_of_an_endpoint_are_refused(self) -> None:
        endpoint = self.alone.attempts[0].endpoint
        for item in [item for item in self.alone.attempts if item.endpoint == endpoint]:
            self._fails(item, answered=True)

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
        under_way = {one for one in self.alone.unconfirmed if one[0] == number}
        lost = {serial for _, serial in under_way - self.alone.delivered}
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
    def what_is_settled_by_a_siding_is_there_for_certain_with_all_before_it(self) -> None:
        ended = {f"{a}/{b}/{number}" for (a, b), numbers in self._ended.items() for number in numbers}
        unconfirmed = set(self.alone.unconfirmed)
        certain = set[str]()
        for number in self.alone.sidings:
            for serial, name in self.alone.serials_in(number):
                if (number, serial) in unconfirmed:
                    break
                certain.add(name)
        assert set(self.alone.settled) <= ended | certain

    @invariant()
    def a_failed_one_is_tried_again_in_its_time(self) -> None:
        for item in self.alone.attempts:
            if id(item) not in self._seen and item.id in self._failed_at and not self._let_through(item):
                waited = self.alone.now - self._failed_at[item.id]
                assert waited >= min(2 ** (self._failures[item.id] - 1), 60), (item.id, waited)
        self._seen = {id(item) for item in self.alone.attempts}

    @invariant()
    def only_what_was_answered_with_failures_for_its_time_is_given_up(self) -> None:
        for item in self.alone.letters:
            if id(item) in self._judged:
                continue
            self._judged.add(id(item))
            assert self.alone.now - self._answered_since[item.id] >= BLOCK_SECONDS, item.id

    @invariant()
    def what_waits_is_bounded(self) -> None:
        assert len(self.alone.unconfirmed) <= 2 * (WINDOW_EVENTS + 2)
        assert not self.alone.gave_way

    def teardown(self) -> None:
        """The receivers are well but for one event, which is refused: no key starves, and that one is given up."""
        self.alone.down.clear()
        bad: str | None = None
        for _ in range(400):
            self.alone.broker_does_all()
            for item in list(self.alone.attempts):
                bad = bad or item.id
                if item.id == bad:
                    self._fails(item, answered=True)
                else:
                    self._succeeds(item)
            for item in list(self.alone.letters):
                self._ends(item)
                self.alone.bury(item)
            if all(len(self._ended[key]) == taken for key, taken in self._taken.items()):
                break
            self.alone.pass_time(1.0)
            self.one_attempt_a_key_and_never_before_an_earlier_one_has_ended()
            self.a_failed_one_is_tried_again_in_its_time()
        assert {key: len(ended) for key, ended in self._ended.items() if ended} == dict(self._taken)

    def _succeeds(self, item: Item) -> None:
        self._ends(item)
        self._succeeded_at[self._key(item)] = self.alone.now
        self.alone.succeed(item)

    def _fails(self, item: Item, *, answered: bool) -> None:
        self._failures[item.id] += 1
        self._failed_at[item.id] = self.alone.now
        if answered:
            self._answered_since.setdefault(item.id, self.alone.now)
        else:
            self._answered_since.pop(item.id, None)
        self.alone.fail(item, answered=answered)

    def _let_through(self, item: Item) -> bool:
        """Another event of its endpoint was answered with failures for so long that this one is to tell whether the
        endpoint is well: at once."""
        since = [at for name, at in self._answered_since.items() if name.startswith(f"{item.endpoint.webhook_id}/")]
        return any(self.alone.now - at >= BLOCK_SECONDS for at in since)

    def _ends(self, item: Item) -> None:
        self._ended[self._key(item)].add(int(item.id.rpartition("/")[2]))

    def _key(self, item: Item) -> tuple[str, str]:
        return item.endpoint.webhook_id, item.key


TestOrder = pytest.mark.filterwarnings("error")(OrderMachine.TestCase)
TestOrder.settings = settings(
    max_examples=100, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
