"""Since when has an endpoint failed everything: what is written, forgotten, and when it is given up."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.delivery.fakes import Clock
from worker.delivery.failing import Disable, Forget, LongFailing, Remember
from worker.domain.webhook import Webhook

DAY = 86_400.0
LIMIT = 5 * DAY
START = 1_795_000_000.0
ACME = Webhook("acme", "http://h/acme")


@pytest.fixture
def failing() -> LongFailing:
    return LongFailing(LIMIT)


def known(since: float) -> Webhook:
    """As its row is read once the start is written."""
    return replace(ACME, failing_since=int(since * 1000))


def fail_for(
    failing: LongFailing, webhook: Webhook, begin: float, seconds: float, every: float = 100.0
) -> list[object]:
    """What is decided at each failure of that time."""
    times = [begin + number * every for number in range(int(seconds / every) + 1)]
    return [failing.failed(webhook, now) for now in times]


def test_a_bad_minute_costs_no_write(failing: LongFailing) -> None:
    assert fail_for(failing, ACME, START, 500) == [None] * 6
    assert failing.succeeded(ACME, START + 550) is None


def test_the_start_is_written_once_it_has_lasted_and_not_at_each_failure(failing: LongFailing) -> None:
    decisions = fail_for(failing, ACME, START, 614, every=1)
    assert decisions[:600] == [None] * 600
    assert decisions[600:] == [Remember(int(START * 1000))] + [None] * 14


def test_what_could_not_be_written_is_asked_again(failing: LongFailing) -> None:
    decisions = fail_for(failing, ACME, START, 660, every=1)
    assert decisions.count(Remember(int(START * 1000))) == 5


def test_a_success_after_it_was_written_is_written_and_one_before_is_not(failing: LongFailing) -> None:
    fail_for(failing, ACME, START, 700)
    assert failing.succeeded(known(START), START + 800) == Forget()
    assert failing.succeeded(known(START), START + 801) is None, "asked a moment ago"
    assert failing.succeeded(ACME, START + 900) is None


def test_it_is_given_up_after_the_limit(failing: LongFailing) -> None:
    webhook = known(START)
    decisions = fail_for(failing, webhook, START, LIMIT, every=3600)
    assert decisions[:-1] == [None] * (len(decisions) - 1)
    assert decisions[-1] == Disable(int(START * 1000))


def test_a_restart_goes_on_from_the_row_after_failures_of_its_own(failing: LongFailing) -> None:
    now = START + LIMIT + 100
    decisions = fail_for(failing, known(START), now, 600)
    assert decisions == [None] * 6 + [Disable(int(START * 1000))]


def test_an_idle_webhook_is_not_failing(failing: LongFailing) -> None:
    assert failing.failed(known(START), START) is None
    assert failing.failed(known(START), START + 2 * LIMIT) is None, "one failure after a pause of ten days"


def test_one_failure_a_day_is_failing(failing: LongFailing) -> None:
    assert failing.failed(ACME, START) is None
    second = START + DAY
    assert failing.failed(ACME, second) == Remember(int(second * 1000)), "a success elsewhere meanwhile is not known"
    decisions = [failing.failed(known(second), second + day * DAY) for day in range(1, 6)]
    assert decisions == [None, None, None, None, Disable(int(second * 1000))]


def test_a_success_on_another_replica_begins_anew(failing: LongFailing) -> None:
    fail_for(failing, known(START), START, DAY)
    assert fail_for(failing, ACME, START + DAY, 500) == [None] * 6
    assert failing.failed(ACME, START + DAY + 600) == Remember(int((START + DAY) * 1000))


def test_another_replicas_earlier_start_counts(failing: LongFailing) -> None:
    fail_for(failing, ACME, START + DAY, 500)
    assert failing.failed(known(START), START + LIMIT - DAY) is None
    assert failing.failed(known(START), START + LIMIT) == Disable(int(START * 1000))


def test_a_webhook_that_was_changed_begins_anew(failing: LongFailing) -> None:
    fail_for(failing, ACME, START, 500)
    assert fail_for(failing, replace(ACME, url="http://h/new"), START + 600, 500) == [None] * 6


def test_what_a_self_fault_took_does_not_count(failing: LongFailing) -> None:
    fail_for(failing, known(START), START, DAY)
    failing.freeze(START + DAY)
    failing.thaw(START + 6 * DAY)
    decisions = fail_for(failing, known(START), START + 6 * DAY, 4 * DAY, every=3600)
    assert decisions[:-1] == [None] * 96
    assert decisions[-1] == Disable(int(START * 1000))


def test_endpoints_do_not_touch_each_other(failing: LongFailing) -> None:
    other = replace(ACME, id="audit")
    fail_for(failing, ACME, START, 500)
    assert failing.succeeded(other, START + 550) is None
    assert failing.failed(other, START + 600) is None
    assert failing.failed(ACME, START + 601) == Remember(int(START * 1000))


def test_no_more_endpoints_are_remembered_than_allowed() -> None:
    failing = LongFailing(LIMIT, most=3)
    for number in range(50):
        failing.failed(replace(ACME, id=f"w{number}"), START)
    assert failing.failed(replace(ACME, id="w49"), START + 600) == Remember(int(START * 1000))
    assert failing.failed(replace(ACME, id="w0"), START + 600) is None, "forgotten, begins anew"


pauses = st.floats(0.001, 2 * DAY) | st.floats(0.001, 10)
steps = st.tuples(pauses, st.sampled_from(["2xx", "2xx elsewhere", "failure"]))


@given(st.lists(st.tuples(st.integers(0, 3), steps), max_size=60), st.floats(10, LIMIT))
def test_no_endpoint_that_succeeded_within_the_limit_is_given_up(
    steps: list[tuple[int, tuple[float, str]]], limit: float
) -> None:
    """Each decision is carried out at once, as the store would; process 0..3 restarts before its step."""
    clock, row = Clock(START), ACME
    processes = [LongFailing(limit) for _ in range(3)]
    last_success = START - limit
    for process, (seconds, what) in steps:
        clock.now += seconds
        if process == 3:
            processes[0] = LongFailing(limit)
        used = processes[process % 3]
        if what != "failure":
            last_success = clock.now
            used = processes[(process + 1) % 3] if what == "2xx elsewhere" else used
            if used.succeeded(row, clock.now):
                row = ACME
            continue
        decided = used.failed(row, clock.now)
        match decided:
            case Remember(since=since):
                row = replace(ACME, failing_since=min(since, row.failing_since or since))
            case Disable(since=since):
                assert clock.now - since / 1000 >= limit
                assert row.failing_since == since
                doubt = min(600, limit / 10)
                assert clock.now - last_success >= limit - 3 * doubt, "what was not written yet is forgiven"
