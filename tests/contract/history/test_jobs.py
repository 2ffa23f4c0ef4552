"""Replays as rows on each database: in one process' hands, whatever the others do, and nobody else's to see."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from msgspec.structs import replace

from tests.contract.history.conftest import DELIVERED, FAILED, NOON, NewHistory, batch
from worker.history.store import HistoryStore
from worker.replay.fates import Moment, published_by
from worker.replay.jobs import Asked, CannotReplay, Counts, Job, JobLost, JobStopped, Kind, State
from worker.stores.history.kinds import DAY_MS
from worker.stores.history.store import Store

LEASE = 20_000
HOSTILE = ("' OR '1'='1", "replay_%", "replay_1\0", "x" * 5000, "\ud800", "", "REPLAY_1", "replay_1 ")


@pytest.fixture
def store(history: HistoryStore) -> Store:
    return cast(Store, history)


def job(number: int, *, instance: str = "acme", webhook: str = "default") -> Job:
    return Job(f"replay_{number}", Asked(instance, webhook, NOON - 1000, NOON), NOON + number)


async def added(store: Store, *jobs: Job) -> None:
    for one in jobs:
        await store.add_job(one)


async def test_of_ten_processes_one_gets_a_job(store: Store, new_history: NewHistory) -> None:
    await added(store, job(1))
    others = [cast(Store, new_history()) for _ in range(10)]
    found = await asyncio.gather(*(one.claim_job(NOON, NOON + LEASE) for one in others))
    assert [held.job for held in found if held is not None] == [job(1)]


async def test_ten_processes_share_ten_jobs_of_ten_webhooks_without_a_double(
    store: Store, new_history: NewHistory
) -> None:
    await added(store, *(job(number, webhook=f"w{number}") for number in range(10)))
    others = [cast(Store, new_history()) for _ in range(10)]

    async def all_that_it_gets(one: Store) -> list[str]:
        got = []
        while (held := await one.claim_job(NOON, NOON + LEASE)) is not None:
            got.append(held.job.id)
        return got

    found = [name for each in await asyncio.gather(*map(all_that_it_gets, others)) for name in each]
    assert sorted(found) == sorted(f"replay_{number}" for number in range(10))


async def test_two_of_one_webhook_take_turns_in_the_order_in_which_they_were_asked_for(store: Store) -> None:
    await added(store, job(2), job(1), job(3, webhook="other"), job(4, instance="beta"))
    first = await store.claim_job(NOON, NOON + LEASE)
    assert first is not None
    assert first.job.id == "replay_1"
    for name in ("replay_3", "replay_4"):
        other = await store.claim_job(NOON, NOON + LEASE)
        assert other is not None
        assert other.job.id == name, "webhooks of one id, and of one instance, are others"
    assert await store.claim_job(NOON, NOON + LEASE) is None
    await store.keep_job(first, replace(first.job, state=State.DONE, ended_at=NOON), NOON + LEASE)
    second = await store.claim_job(NOON, NOON + LEASE)
    assert second is not None
    assert second.job.id == "replay_2"


async def test_a_resume_is_first_and_what_was_given_back_stands_behind_what_nobody_has_begun(store: Store) -> None:
    resume = Job("replay_9", Asked("beta", "default", NOON - 1000, NOON, Kind.RESUME), NOON + 9)
    await added(store, job(1), job(2, webhook="other"), resume)
    got: list[str] = []
    for turn in range(5):
        assert await store.free_job(NOON + turn)
        held = await store.claim_job(NOON + turn, NOON + LEASE)
        assert held is not None
        got.append(held.job.id)
        await store.keep_job(held, held.job, NOON + turn)
    assert got == ["replay_9", "replay_1", "replay_2", "replay_9", "replay_1"]


async def test_what_is_held_or_waits_for_another_of_its_webhook_is_not_free(store: Store) -> None:
    await added(store, job(1), job(2))
    assert await store.claim_job(NOON, NOON + LEASE) is not None
    assert not await store.free_job(NOON)
    assert await store.free_job(NOON + LEASE)


async def test_a_job_that_is_added_twice_is_the_first_one_and_of_nobody_else(store: Store) -> None:
    first, later = job(1), replace(job(1), created_at=NOON + 9)
    assert await store.add_job(first) == first
    assert await asyncio.gather(*(store.add_job(later) for _ in range(3))) == [first] * 3
    assert list(await store.jobs(None, 9)) == [first]
    with pytest.raises(CannotReplay, match="another instance's"):
        await store.add_job(job(1, instance="other"))


async def test_the_eleventh_replay_of_a_webhook_is_refused_but_no_resume_is(store: Store) -> None:
    await added(store, *(job(number) for number in range(10)))
    with pytest.raises(CannotReplay, match="10 replays that have not ended"):
        await store.add_job(job(11))
    await added(store, job(12, webhook="other"))
    await added(store, Job("replay_r", Asked("acme", "default", NOON - 1000, NOON, Kind.RESUME), NOON))
    assert await store.stop_job("replay_3", None, NOON)
    await added(store, job(11))


async def test_whoever_wants_one_gets_what_stands_before_it_and_counting_takes_no_turns(store: Store) -> None:
    counting = Job("replay_3", Asked("acme", "default", NOON - 1000, NOON, dry_run=True), NOON + 3)
    await added(store, job(1), job(2), counting, job(4, instance="beta"))
    for name in ("replay_1", "replay_3"):
        held = await store.claim_job(NOON, NOON + LEASE, "replay_2")
        assert held is not None
        assert held.job.id == name
    assert await store.claim_job(NOON, NOON + LEASE, "replay_2") is None, "the one before it has not ended"
    assert await store.claim_job(NOON, NOON + LEASE, "replay_4") is not None


async def test_a_lease_that_runs_out_gives_the_job_as_it_was_kept_and_takes_it_from_the_first(store: Store) -> None:
    await added(store, job(1))
    first = await store.claim_job(NOON, NOON + LEASE)
    assert first is not None
    as_kept = replace(job(1), state=State.SENDING, position=77, sent=5, counts=Counts(9, 3, 1, 5), gone="a\u2028part")
    first = await store.keep_job(first, as_kept, NOON + 2 * LEASE)
    assert await store.claim_job(NOON + 2 * LEASE - 1, NOON + 9 * LEASE) is None
    second = await store.claim_job(NOON + 2 * LEASE, NOON + 3 * LEASE)
    assert second is not None
    assert second.job == as_kept
    with pytest.raises(JobLost):
        await store.keep_job(first, replace(as_kept, position=78), NOON + 9 * LEASE)
    with pytest.raises(JobLost):
        await store.keep_job(first, replace(as_kept, state=State.DONE), NOON + 9 * LEASE)
    assert await store.job("replay_1", None) == as_kept, "nothing of the first one's is written"


async def test_one_that_is_given_back_is_free_from_then_on(store: Store) -> None:
    await added(store, job(1))
    held = await store.claim_job(NOON, NOON + LEASE)
    assert held is not None
    await store.keep_job(held, replace(held.job, error="the database was away"), NOON + 10_000)
    assert await store.claim_job(NOON + 9_999, NOON + LEASE) is None
    again = await store.claim_job(NOON + 10_000, NOON + LEASE)
    assert again is not None
    assert again.job.error == "the database was away"


async def test_a_stop_of_one_that_runs_reaches_its_runner_and_nothing_more_is_kept_but_its_end(store: Store) -> None:
    await added(store, job(1))
    held = await store.claim_job(NOON, NOON + LEASE)
    assert held is not None
    assert await store.stop_job("replay_1", None, NOON)
    with pytest.raises(JobStopped):
        await store.keep_job(held, replace(held.job, position=5), NOON + LEASE)
    ended = replace(held.job, state=State.STOPPED, sent=3, ended_at=NOON)
    await store.keep_job(held, ended, NOON + LEASE)
    assert await store.job("replay_1", None) == ended
    assert not await store.stop_job("replay_1", None, NOON), "it has ended"
    assert await store.claim_job(NOON + 9 * LEASE, NOON + 10 * LEASE) is None


async def test_a_stop_of_one_that_nobody_holds_ends_it_at_once(store: Store) -> None:
    await added(store, job(1), job(2, webhook="died"))
    assert await store.claim_job(NOON, NOON + LEASE, "replay_2") is not None
    assert await store.stop_job("replay_1", None, NOON)
    assert await store.stop_job("replay_2", None, NOON + LEASE), "its process is gone"
    for name, at in (("replay_1", NOON), ("replay_2", NOON + LEASE)):
        found = await store.job(name, None)
        assert found is not None
        assert (found.state, found.ended_at) == (State.STOPPED, at)
    assert await store.claim_job(NOON + 9 * LEASE, NOON + 10 * LEASE) is None


async def test_one_whose_runner_died_after_a_stop_is_ended_by_the_next(store: Store) -> None:
    await added(store, job(1))
    assert await store.claim_job(NOON, NOON + LEASE) is not None
    assert await store.stop_job("replay_1", None, NOON)
    held = await store.claim_job(NOON + LEASE, NOON + 2 * LEASE)
    assert held is not None
    with pytest.raises(JobStopped):
        await store.keep_job(held, held.job, NOON + 3 * LEASE)


async def test_an_instances_own_jobs_are_nobody_elses(store: Store) -> None:
    await added(store, job(1), job(2, instance="beta"), job(3, instance="Acme"))
    for other in ("beta", "ACME", "acme ", "", *HOSTILE):
        assert await store.job("replay_1", other) is None
        assert not await store.stop_job("replay_1", other, NOON)
    assert [one.id for one in await store.jobs("acme", 10)] == ["replay_1"]
    assert [one.id for one in await store.jobs("Acme", 10)] == ["replay_3"]
    assert [one.id for one in await store.jobs(None, 2)] == ["replay_3", "replay_2"], "newest first"
    found = await store.job("replay_1", "acme")
    assert found is not None
    assert found.state is State.QUEUED


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_ids_find_and_stop_nothing(store: Store, name: str) -> None:
    await added(store, job(1))
    assert await store.job(name, None) is None
    assert not await store.stop_job(name, None, NOON)
    assert await store.claim_job(NOON, NOON + LEASE, name) is None
    assert await store.job("replay_1", None) == job(1)


async def test_hostile_texts_in_a_job_come_back_as_they_were(store: Store) -> None:
    asked = Asked("in'st\"\\%\u2028", "w%_'", NOON - 1, NOON, events=("A", "b.c"), chat="\U0001f525@x", rate=0.5)
    await added(store, Job("replay_x", asked, NOON))
    found = await store.job("replay_x", asked.instance)
    assert found is not None
    assert found.asked == asked


async def test_those_that_have_ended_go_when_the_history_of_their_time_goes(store: Store) -> None:
    old = [replace(job(number), created_at=NOON - 40 * DAY_MS + number) for number in (1, 2)]
    await added(store, *old, job(3))
    held = await store.claim_job(NOON, NOON + LEASE)
    assert held is not None
    await store.keep_job(held, replace(held.job, state=State.DONE, ended_at=NOON), NOON)
    await store.tidy(NOON)
    assert [one.id for one in await store.jobs(None, 10)] == ["replay_3", "replay_2"]


async def test_the_rows_of_deliveries_tell_their_attempt_and_which_replay_published_them(store: Store) -> None:
    replayed = DELIVERED._replace(
        at=NOON + 1, outcome="Parked", reason="replayed", attempt=0, error=published_by("replay_1")
    )
    await store.write([batch(FAILED._replace(attempt=7), replayed, DELIVERED._replace(id="msg_2"))])
    assert await store.moments(["msg_1", "msg_3"]) == [
        Moment("msg_1", NOON, "Retried", "5xx", 7),
        Moment("msg_1", NOON + 1, "Parked", "replayed", 0, "published again by replay_1"),
    ]
