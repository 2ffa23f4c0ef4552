"""The verdict table, row by row, and that it leaves nothing undecided."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.backoff import schedule
from worker.domain.outcome import (
    REASONS,
    DeadLettered,
    DeadReason,
    Delivered,
    Outcome,
    Parked,
    ParkReason,
    Retried,
    RetryReason,
)
from worker.domain.policy import Policy
from worker.domain.verdict import Answered, Failure, Result, Unanswered, judge

POLICY = Policy(schedule(attempts=12, initial=5, multiplier=3, longest=21600))
LAST = POLICY.schedule.attempts

RETRIED = [
    *((Answered(status), RetryReason.STATUS_4XX) for status in (408, 425, 429, 402, 405, 409, 418, 451, 499)),
    *((Answered(status), RetryReason.STATUS_5XX) for status in (500, 501, 502, 503, 504, 507, 599)),
    *((Answered(status), RetryReason.STATUS_3XX) for status in (300, 301, 302, 303, 304, 307, 308)),
    *((Answered(status), RetryReason.STATUS_5XX) for status in (100, 101, 199, 600, 999)),  # RFC 9110 section 15
    (Unanswered(Failure.TIMEOUT, "no answer within 30 s"), RetryReason.TIMEOUT),
    (Unanswered(Failure.CONNECT, "connection refused"), RetryReason.CONNECT),
    (Unanswered(Failure.CONNECT, "connection cut before the headers end"), RetryReason.CONNECT),
    (Unanswered(Failure.DNS, "no such host"), RetryReason.DNS),
    (Unanswered(Failure.TLS, "certificate expired"), RetryReason.TLS),
]
FINAL = [
    *((Answered(status), DeadReason.REJECTED) for status in (400, 401, 403, 404, 422, 413)),
    (Answered(410), DeadReason.GONE),
    (Unanswered(Failure.REFUSED, "169.254.169.254 is not allowed"), DeadReason.EGRESS_REFUSED),
]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 226, 299])
@pytest.mark.parametrize("attempt", [1, LAST, LAST + 1])
def test_a_2xx_status_line_is_delivered(status: int, attempt: int) -> None:
    assert judge(Answered(status, retry_after=30), attempt, POLICY) == Delivered()


@pytest.mark.parametrize(("result", "reason"), RETRIED)
def test_retried_then_dead_lettered(result: Result, reason: RetryReason) -> None:
    for attempt in range(1, LAST):
        assert judge(result, attempt, POLICY) == Retried(reason, POLICY.schedule.delays[attempt - 1], result.error)
    assert judge(result, LAST, POLICY) == DeadLettered(DeadReason.ATTEMPTS_EXHAUSTED, result.error)


@pytest.mark.parametrize(("result", "reason"), FINAL)
def test_dead_lettered_at_once(result: Result, reason: DeadReason) -> None:
    assert judge(result, 1, POLICY) == DeadLettered(reason, result.error)


@pytest.mark.parametrize("attempt", [1, LAST])
def test_a_fault_of_the_proxy_is_ours_and_never_the_last_attempt(attempt: int) -> None:
    result = Unanswered(Failure.PROXY, "the proxy answered 407 to CONNECT")
    assert judge(result, attempt, POLICY) == Parked(ParkReason.SELF_FAULT, 5, result.error)


def test_the_operator_chooses_the_final_statuses() -> None:
    policy = Policy(POLICY.schedule, frozenset({500, 200, 410}))
    assert judge(Answered(500), 1, policy) == DeadLettered(DeadReason.REJECTED, "the receiver answered 500")
    assert judge(Answered(404), 1, policy) == Retried(RetryReason.STATUS_4XX, 5, "the receiver answered 404")
    assert judge(Answered(200), 1, policy) == Delivered()
    assert judge(Answered(410), 1, policy) == DeadLettered(DeadReason.GONE, "the receiver answered 410")
    assert judge(Answered(413), 1, policy) == DeadLettered(DeadReason.REJECTED, "the receiver answered 413")


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
    outcome = judge(Answered(status, retry_after), attempt, POLICY)
    assert isinstance(outcome, Retried)
    assert outcome.delay == delay


def test_retry_after_on_the_last_attempt_changes_nothing() -> None:
    assert isinstance(judge(Answered(429, 60), LAST, POLICY), DeadLettered)


results = st.builds(Answered, st.integers(100, 999), st.none() | st.floats()) | st.builds(
    Unanswered, st.sampled_from(Failure), st.text()
)
policies = st.builds(
    Policy,
    st.builds(schedule, st.integers(1, 20), st.integers(1, 100), st.integers(1, 5), st.integers(1, 30_000)),
    st.frozensets(st.integers(100, 999)),
)


@given(results, st.integers(1, 30), policies)
def test_every_result_has_one_outcome_and_none_is_retried_after_the_last_attempt(
    result: Result, attempt: int, policy: Policy
) -> None:
    outcome: Outcome = judge(result, attempt, policy)
    assert outcome.reason in REASONS[type(outcome)]
    if isinstance(outcome, Retried):
        assert attempt < policy.schedule.attempts
        assert outcome.delay in policy.schedule.steps
        assert outcome.delay >= policy.schedule.delays[attempt - 1]


def test_the_reasons_are_the_labels_that_dashboards_know() -> None:
    assert {outcome.__name__: " ".join(reasons) for outcome, reasons in REASONS.items()} == {
        "Delivered": "ok",
        "Skipped": "no_webhook disabled event_not_enabled webhook_gone duplicate filtered stale superseded paused",
        "Retried": "3xx 4xx 5xx timeout connect dns tls",
        "Parked": "endpoint_busy circuit_open retry_after rate_limited self_fault config_unavailable shutdown internal "
        "handed_back paused",
        "DeadLettered": "invalid_event bad_url bad_headers too_large egress_refused rejected gone attempts_exhausted "
        "expired disabled internal too_large_for_broker",
    }
