"""The verdict table, row by row, and that it leaves nothing undecided."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.backoff import schedule
from worker.domain.outcome import REASONS, DeadLettered, Delivered, Outcome, Reason, Retried
from worker.domain.verdict import Answered, Failure, Result, Rules, Unanswered, judge

RULES = Rules(schedule(attempts=12, initial=5, multiplier=3, longest=21600))
LAST = RULES.schedule.attempts

RETRIED = [
    *((Answered(status), Reason.STATUS_4XX) for status in (408, 425, 429, 402, 405, 409, 418, 451, 499)),
    *((Answered(status), Reason.STATUS_5XX) for status in (500, 501, 502, 503, 504, 507, 599)),
    *((Answered(status), Reason.STATUS_3XX) for status in (300, 301, 302, 303, 304, 307, 308)),
    *((Answered(status), Reason.STATUS_5XX) for status in (100, 101, 199, 600, 999)),  # RFC 9110 section 15
    (Unanswered(Failure.TIMEOUT, "no answer within 30 s"), Reason.TIMEOUT),
    (Unanswered(Failure.CONNECT, "connection refused"), Reason.CONNECT),
    (Unanswered(Failure.CONNECT, "connection cut before the headers end"), Reason.CONNECT),
    (Unanswered(Failure.DNS, "no such host"), Reason.DNS),
    (Unanswered(Failure.TLS, "certificate expired"), Reason.TLS),
]
FINAL = [
    *((Answered(status), Reason.REJECTED) for status in (400, 401, 403, 404, 422, 413)),
    (Answered(410), Reason.GONE),
    (Unanswered(Failure.REFUSED, "169.254.169.254 is not allowed"), Reason.EGRESS_REFUSED),
]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 226, 299])
@pytest.mark.parametrize("attempt", [1, LAST, LAST + 1])
def test_a_2xx_status_line_is_delivered(status: int, attempt: int) -> None:
    assert judge(Answered(status, retry_after=30), attempt, RULES) == Delivered()


@pytest.mark.parametrize(("result", "reason"), RETRIED)
def test_retried_then_dead_lettered(result: Result, reason: Reason) -> None:
    for attempt in range(1, LAST):
        assert judge(result, attempt, RULES) == Retried(reason, RULES.schedule.delays[attempt - 1], result.error)
    assert judge(result, LAST, RULES) == DeadLettered(Reason.ATTEMPTS_EXHAUSTED, result.error)


@pytest.mark.parametrize(("result", "reason"), FINAL)
def test_dead_lettered_at_once(result: Result, reason: Reason) -> None:
    assert judge(result, 1, RULES) == DeadLettered(reason, result.error)


def test_the_operator_chooses_the_final_statuses() -> None:
    rules = Rules(RULES.schedule, frozenset({500, 200, 410}))
    assert judge(Answered(500), 1, rules) == DeadLettered(Reason.REJECTED, "the receiver answered 500")
    assert judge(Answered(404), 1, rules) == Retried(Reason.STATUS_4XX, 5, "the receiver answered 404")
    assert judge(Answered(200), 1, rules) == Delivered()
    assert judge(Answered(410), 1, rules) == DeadLettered(Reason.GONE, "the receiver answered 410")
    assert judge(Answered(413), 1, rules) == DeadLettered(Reason.REJECTED, "the receiver answered 413")


@pytest.mark.parametrize(
    ("status", "retry_after", "attempt", "delay"),
    [
        (429, 60, 1, 135),  # the next step that covers it
        (503, 60, 1, 135),
        (429, 0, 1, 5),
        (429, 1, 4, 135),  # never sooner than the schedule
        (503, 10 * 365 * 86400, 1, 3645),  # at most an hour
        (503, 60, 9, 21600),
        (500, 60, 1, 5),  # means something on 429 and 503 only
        (302, 60, 1, 5),
    ],
)
def test_retry_after(status: int, retry_after: float, attempt: int, delay: int) -> None:
    outcome = judge(Answered(status, retry_after), attempt, RULES)
    assert isinstance(outcome, Retried)
    assert outcome.delay == delay


def test_retry_after_on_the_last_attempt_changes_nothing() -> None:
    assert isinstance(judge(Answered(429, 60), LAST, RULES), DeadLettered)


results = st.builds(Answered, st.integers(100, 999), st.none() | st.floats()) | st.builds(
    Unanswered, st.sampled_from(Failure), st.text()
)
rules = st.builds(
    Rules,
    st.builds(schedule, st.integers(1, 20), st.integers(1, 100), st.integers(1, 5), st.integers(1, 30_000)),
    st.frozensets(st.integers(100, 999)),
)


@given(results, st.integers(1, 30), rules)
def test_every_result_has_one_outcome_and_none_is_retried_after_the_last_attempt(
    result: Result, attempt: int, rules: Rules
) -> None:
    outcome: Outcome = judge(result, attempt, rules)
    assert outcome.reason in REASONS[type(outcome)]
    if isinstance(outcome, Retried):
        assert attempt < rules.schedule.attempts
        assert outcome.delay in rules.schedule.steps
        assert outcome.delay >= rules.schedule.delays[attempt - 1]


def test_every_reason_belongs_to_an_outcome() -> None:
    assert {reason for reasons in REASONS.values() for reason in reasons} == set(Reason)
