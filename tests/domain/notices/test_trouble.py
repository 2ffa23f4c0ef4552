"""When an endpoint's rows are trouble, and what is told of it: transitions only, once each."""

from __future__ import annotations

from itertools import permutations

import pytest

from worker.domain.history import Row
from worker.domain.notices.notice import Kind, Notice, Sample, fix
from worker.domain.notices.trouble import (
    DIGEST_MS,
    FAILING_MS,
    Key,
    Trouble,
    TroubleKind,
    after,
    due,
    is_past,
    paused,
    seen_in,
    told,
)

T = 1_795_000_000_000
MINUTE = 60_000
GOOD = Row(T, "msg_1", "e", "acme", "default", "CALL", None, "Delivered", "ok", 1, 200, 5, None, None, None, 9, "h:443")
BAD = GOOD._replace(outcome="Retried", reason="5xx", status=503, error="the receiver answered 503", answer="down")
DEAD = BAD._replace(outcome="DeadLettered", reason="attempts_exhausted", ms=None)


class Owner:
    """Hears of one endpoint, from rows that come in batches, at moments that the test chooses."""

    def __init__(self) -> None:
        self.troubles: dict[Key, Trouble] = {}
        self.heard: list[tuple[str, int]] = []
        self.notices: list[Notice] = []

    def rows(self, *rows: Row) -> None:
        for seen in seen_in(rows):
            self.keep(seen.key, after(self.troubles.get(seen.key), seen))

    def keep(self, key: Key, trouble: Trouble | None) -> None:
        self.troubles.pop(key, None)
        if trouble is not None:
            self.troubles[key] = trouble

    def tick(self, now: int) -> None:
        for key, trouble in [*self.troubles.items()]:
            notice = due(trouble, now)
            if notice is not None:
                self.notices.append(notice)
                self.heard.append((notice.kind.value, now))
                self.keep(key, told(trouble, notice, trouble.count, now))


@pytest.fixture
def owner() -> Owner:
    return Owner()


def test_ten_minutes_of_failures_are_told_once_and_the_first_success_once(owner: Owner) -> None:
    for minute in range(15):
        owner.rows(BAD._replace(at=T + minute * MINUTE))
        owner.tick(T + minute * MINUTE + 1)
    assert owner.heard == [("webhook.failing", T + FAILING_MS + 1)]
    owner.rows(GOOD._replace(at=T + 15 * MINUTE))
    owner.rows(GOOD._replace(at=T + 16 * MINUTE))
    for minute in (15, 16, 17):
        owner.tick(T + minute * MINUTE)
    assert owner.heard[1:] == [("webhook.recovered", T + 15 * MINUTE)]
    failing, recovered = owner.notices
    assert (failing.since, recovered.since) == (T / 1000, T / 1000)
    assert failing.sample == Sample("msg_1", "CALL", 503, "down")
    assert (failing.reason, recovered.sample) == ("the receiver answered 503", None)
    assert owner.troubles == {}


@pytest.mark.parametrize("success", range(11))
def test_a_success_in_between_begins_anew(owner: Owner, success: int) -> None:
    for minute in range(11):
        row = GOOD if minute == success else BAD
        owner.rows(row._replace(at=T + minute * MINUTE))
        owner.tick(T + minute * MINUTE)
    assert owner.heard == []


def test_one_failure_is_no_trouble_however_long_ago(owner: Owner) -> None:
    owner.rows(BAD)
    owner.tick(T + 24 * 60 * MINUTE)
    assert owner.heard == []


def test_failing_again_after_it_recovered_is_told_again_with_another_id(owner: Owner) -> None:
    for start in (0, 60):
        owner.rows(BAD._replace(at=T + start * MINUTE), BAD._replace(at=T + (start + 10) * MINUTE))
        owner.tick(T + (start + 10) * MINUTE)
        owner.rows(GOOD._replace(at=T + (start + 11) * MINUTE))
        owner.tick(T + (start + 11) * MINUTE)
    assert [kind for kind, _ in owner.heard] == ["webhook.failing", "webhook.recovered"] * 2
    assert len({notice.event_id for notice in owner.notices}) == 4


def test_a_success_that_failures_follow_before_it_was_told_is_no_recovery(owner: Owner) -> None:
    owner.rows(BAD, BAD._replace(at=T + FAILING_MS))
    owner.tick(T + FAILING_MS)
    owner.rows(GOOD._replace(at=T + FAILING_MS + 1), BAD._replace(at=T + FAILING_MS + 2))
    owner.tick(T + FAILING_MS + 3)
    assert [kind for kind, _ in owner.heard] == ["webhook.failing"]


def test_failures_while_a_recovery_is_told_are_a_new_trouble() -> None:
    (seen,) = seen_in([BAD, BAD._replace(at=T + FAILING_MS)])
    failing = told(after(None, seen), Notice(Kind.FAILING, 0, "acme", "default", ""), 2, T + FAILING_MS)  # type: ignore[arg-type]
    (success,) = seen_in([GOOD._replace(at=T + FAILING_MS + 1)])
    recovered = after(failing, success)
    assert recovered is not None
    notice = due(recovered, T + FAILING_MS + 2)
    assert notice is not None
    (later,) = seen_in([BAD._replace(at=T + FAILING_MS + 3)])
    left = told(after(recovered, later), notice, 2, T + FAILING_MS + 4)  # type: ignore[arg-type]
    assert left is not None
    assert (left.since, left.told) == (T + FAILING_MS + 3, None)


def test_the_first_dead_letter_is_told_at_once_and_then_a_digest_in_a_quarter_of_an_hour(owner: Owner) -> None:
    owner.rows(DEAD)
    owner.tick(T)
    owner.rows(*(DEAD._replace(at=T + second * 1000, reason="expired", error=None) for second in range(1, 8)))
    for later in range(1, DIGEST_MS + 1, 1000):
        owner.tick(T + later)
    assert len(owner.heard) == 1
    owner.tick(T + DIGEST_MS)
    assert owner.heard == [("webhook.dead", T), ("webhook.dead", T + DIGEST_MS)]
    first, digest = owner.notices
    assert first.reason == "the receiver answered 503"
    assert digest.reason == "7 deliveries were given up, the last one: expired"
    assert digest.since == T / 1000 + 1
    assert first.event_id != digest.event_id


def test_after_a_quiet_quarter_of_an_hour_the_next_dead_letter_is_a_first_one(owner: Owner) -> None:
    owner.rows(DEAD)
    owner.tick(T)
    (trouble,) = owner.troubles.values()
    assert not is_past(trouble, T + DIGEST_MS - 1, 0)
    assert is_past(trouble, T + DIGEST_MS, 0)
    owner.rows(DEAD._replace(at=T + 2 * DIGEST_MS))
    owner.tick(T + 2 * DIGEST_MS)
    assert len(owner.heard) == 2


def test_dead_letters_that_come_while_others_are_told_stay_to_be_told() -> None:
    (seen,) = seen_in([DEAD, DEAD._replace(at=T + 1)])
    trouble = after(None, seen)
    assert trouble is not None
    notice = due(trouble, T + 2)
    assert notice is not None
    (more,) = seen_in([DEAD._replace(at=T + 3)])
    left = told(after(trouble, more), notice, trouble.count, T + 4)  # type: ignore[arg-type]
    assert left is not None
    assert (left.count, left.told, due(left, T + 4)) == (1, T + 4, None)
    digest = due(left, T + 4 + DIGEST_MS)
    assert digest is not None
    assert digest.event_id != notice.event_id


@pytest.mark.parametrize(
    "row",
    [
        GOOD,
        BAD._replace(webhook="notice::ops"),
        DEAD._replace(webhook="notice:default"),
        BAD._replace(outcome="Parked", reason="circuit_open", ms=None),
        BAD._replace(outcome="Parked", reason="self_fault"),
        BAD._replace(outcome="Skipped", reason="stale", ms=None),
    ],
)
def test_what_is_no_failure_of_a_receiver_or_about_a_notice_is_no_trouble(owner: Owner, row: Row) -> None:
    owner.rows(row, row._replace(at=T + FAILING_MS))
    owner.tick(T + FAILING_MS)
    assert (owner.heard, owner.troubles) == ([], {})


def test_an_attempt_that_gives_up_is_a_failure_and_a_dead_letter() -> None:
    kinds = [seen.key.kind for seen in seen_in([DEAD._replace(ms=7)])]
    assert kinds == [TroubleKind.DEAD, TroubleKind.FAILING]
    refused = DEAD._replace(ms=7, reason="egress_refused")
    assert [seen.key.kind for seen in seen_in([refused])] == [TroubleKind.DEAD], "the operator's own rules"


def test_the_global_webhook_is_one_endpoint_and_an_event_without_a_webhook_has_one() -> None:
    rows = [BAD._replace(webhook="global"), BAD._replace(webhook="global", instance="other")]
    (seen,) = seen_in(rows)
    assert (seen.key, seen.count) == (Key("failing", "", "global"), 2)
    (seen,) = seen_in([DEAD._replace(webhook=None, instance=None)])
    assert seen.key == Key("dead", "", "")


def test_batches_of_several_replicas_come_to_the_same_in_any_order() -> None:
    batches = ([BAD], [BAD._replace(at=T + 5 * MINUTE)], [BAD._replace(at=T + FAILING_MS)])
    for order in permutations(batches):
        hearing = Owner()
        for rows in order:
            hearing.rows(*rows)
        hearing.tick(T + FAILING_MS)
        assert hearing.heard == [("webhook.failing", T + FAILING_MS)]
        assert hearing.notices[0].since == T / 1000


def test_an_endpoint_that_nobody_tries_any_more_is_forgotten(owner: Owner) -> None:
    owner.rows(BAD)
    (trouble,) = owner.troubles.values()
    assert not is_past(trouble, T + 999, 1000)
    assert is_past(trouble, T + 1000, 1000)


def test_a_pause_is_told_once_with_the_command_that_ends_it_and_forgotten_with_the_resume() -> None:
    known = after(None, paused("acme", "default", T, T))
    assert known is not None
    notice = due(known, T + 5000)
    assert notice is not None
    assert (notice.kind, notice.since, fix(notice)) == (
        Kind.PAUSED,
        T / 1000,
        "webhook-worker webhook resume --id=default acme",
    )
    known = told(known, notice, 1, T + 5000)
    assert known is not None
    assert due(known, T + MINUTE) is None
    over = after(known, paused("acme", "default", T, T + MINUTE, resumed=True))
    assert over is not None
    assert (due(over, T + MINUTE), is_past(over, T + MINUTE, 1)) == (None, True)


def test_a_pause_that_is_over_before_it_was_told_is_never_told() -> None:
    known = after(None, paused("acme", "default", T, T))
    assert after(known, paused("acme", "default", T, T + 1000, resumed=True)) is None
