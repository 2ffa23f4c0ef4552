"""A replay among faults that real parts cannot show on demand: each ends with what was missing sent, and said so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace

import msgspec
import pytest

from tests.replay.fakes import HOOK, HOUR, MS, NOW, Killed, World, delivery, job, world
from worker.domain.past import Past
from worker.domain.webhook import Webhook
from worker.replay import leased, runner
from worker.replay.fates import Moment
from worker.replay.jobs import Asked, Counts, Held, Job, JobLost, JobStopped, Kind, OthersWait, State
from worker.replay.pace import LEAST
from worker.replay.selection import NotNow
from worker.webhooks.store import StoreUnavailable


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rest takes a turn of the loop; the worlds' clocks stand still but where a test moves them."""
    turn = asyncio.sleep

    async def rest(_: float) -> None:
        await turn(0)

    monkeypatch.setattr("asyncio.sleep", rest)


async def test_what_the_history_does_not_show_as_delivered_is_sent_in_order_with_its_own_id() -> None:
    around = world(12)
    around.shows("Delivered", "ok", 0, 5)
    around.shows("Retried", "5xx", 1)
    around.shows("Skipped", "stale", 2)
    around.shows("DeadLettered", "rejected", 3)
    ended = await around.runner(job()).run()
    assert (ended.state, ended.sent) == (State.DONE, 9 - 1)
    assert ended.counts == Counts(found=12, delivered=2, on_their_way=1, to_send=8)
    assert around.sent == [3, 4, 6, 7, 8, 9, 10, 11]
    first: Past = around.pasts[0]
    assert (first.webhook_id, first.replayed, first.exchange) == ("default", NOW, "evolution")
    again = await around.runner(replace_id(job(), "replay_2")).run()
    assert (again.sent, len(around.sent)) == (0, 8), "run twice, it sends nothing twice"


def replace_id(one: Job, name: str) -> Job:
    return Job(name, one.asked, one.created_at)


async def test_a_dry_run_counts_and_sends_nothing() -> None:
    around = world(5)
    ended = await around.runner(job(dry_run=True)).run()
    assert (ended.state, ended.counts, around.sent) == (State.DONE, Counts(5, 0, 0, 5), [])


@pytest.mark.parametrize("dies_at", [None, 3, 6])
async def test_a_count_takes_turns_too_and_goes_on_where_it_was(
    dies_at: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "COUNTED", 10)
    around, read, turns = world(95), [], 0
    around.others = True
    around.shows("Delivered", "ok", 0, 50)
    around.shows("Retried", "5xx", 94)

    def slow(offset: int) -> None:
        read.append(offset)
        around.now += 0.5

    around.archive.on_event, around.keeps = slow, dies_at
    ended = None
    while ended is None:
        turns += 1
        with suppress(Killed):
            ended = await turn(around, job(dry_run=True) if turns == 1 else None)
        around.keeps = None if around.keeps == -1 else around.keeps
    assert ended.counts == Counts(95, 2, 1, 92)
    assert (turns > 3, len(read) < 95 + turns * 20) == (True, True), "no turn begins from the start"


async def turn(around: World, given: Job | None) -> Job | None:
    """As process.replaying gives one its turn; None: others wait."""
    runs = around.runner(given)
    try:
        return await runs.run()
    except OthersWait:
        await runs.release(None, MS)
    return None


async def test_all_of_it_means_also_what_was_delivered_but_nothing_twice() -> None:
    around = world(8)
    around.shows("Delivered", "ok", *range(8))
    ended = await around.runner(job(everything=True)).run()
    assert (ended.sent, around.sent) == (8, list(range(8)))
    await around.runner(job(everything=True)).run()
    assert len(around.sent) == 8, "the same job, begun once more"


async def test_all_of_it_leaves_what_waits_for_its_retry_to_come_by_itself() -> None:
    around = world(8)
    around.shows("Delivered", "ok", 0, 1)
    around.shows("Retried", "5xx", 2, 3)
    around.shows("DeadLettered", "attempts_exhausted", 4)
    ended = await around.runner(job(everything=True)).run()
    assert ended.counts == Counts(8, 0, 2, 6)
    assert around.sent == [0, 1, 4, 5, 6, 7]


async def test_all_of_it_means_also_what_was_delivered_just_now_by_whatever_clock() -> None:
    around = world(8)
    around.shows("Delivered", "ok", *range(8), at=MS + 2000)
    around.shows("Parked", "replayed", 3, at=MS + 1000)  # by another replay
    ended = await around.runner(job(everything=True)).run()
    assert (ended.sent, around.sent) == (8, list(range(8)))


async def test_batches_grow_with_what_is_taken() -> None:
    around = world(200)
    kept = []
    keep = around.keep_job

    async def counted(*given: object) -> object:
        kept.append(given)
        return await keep(*given)  # type: ignore[arg-type]

    around.keep_job = counted  # type: ignore[method-assign,assignment]
    ended = await around.runner(job()).run()
    assert ended.sent == 200
    assert len(kept) < 20, "batches of four would have been fifty"


@pytest.mark.parametrize("keeps", range(2, 8))
async def test_killed_after_publishing_and_before_keeping_nothing_is_missing_and_nothing_twice(keeps: int) -> None:
    """The rows of what was published are there: they take the batch in doubt out again."""
    around = world(30)
    around.keeps = keeps
    with pytest.raises(Killed):
        await around.runner(job()).run()
    around.keeps = None
    around.now += 30
    ended = await around.runner().run()
    assert ended.state is State.DONE
    assert sorted(around.sent) == list(range(30))


async def test_killed_before_its_rows_are_written_one_batch_at_most_comes_twice() -> None:
    around = world(30)
    around.delivers = False
    note = around.note

    async def gone(_: object) -> None:
        raise Killed

    around.note = gone  # type: ignore[method-assign,assignment]
    with pytest.raises(Killed):
        await around.runner(job()).run()
    in_doubt = list(around.sent)
    around.note, around.delivers = note, True  # type: ignore[method-assign]
    await around.runner().run()
    assert set(around.sent) == set(range(30))
    assert sorted({each for each in around.sent if around.sent.count(each) > 1}) == in_doubt


async def test_a_publish_that_fails_is_told_and_the_next_process_sends_the_rest() -> None:
    around = world(20)
    around.fails_at = 7
    with pytest.raises(ConnectionError):
        await around.runner(job()).run()
    around.fails_at = None
    ended = await around.runner().run()
    assert ended.state is State.DONE
    assert set(around.sent) == set(range(20))


async def test_what_the_broker_takes_no_more_stops_nothing_and_stays_missing() -> None:
    """Archived before RabbitMQ was upgraded to a smaller max_message_size."""
    around = world(20)
    around.too_large = frozenset({3, 12})
    ended = await around.runner(job()).run()
    assert (ended.state, ended.sent) == (State.DONE, 18)
    assert around.sent == [number for number in range(20) if number not in around.too_large]
    told = {(row.id, row.outcome, row.reason) for row in around.rows if row.reason == "too_large_for_broker"}
    assert told == {(delivery(number), "DeadLettered", "too_large_for_broker") for number in around.too_large}
    around.too_large = frozenset()
    again = await around.runner(replace_id(job(), "replay_2")).run()
    assert (again.sent, around.sent[18:]) == (2, [3, 12])


async def test_while_the_history_is_away_nothing_is_sent() -> None:
    around = world(5)
    around.away = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        await around.runner(job()).run()
    assert around.sent == []
    around.away = None
    assert (await around.runner().run()).sent == 5


async def test_a_receiver_that_takes_nothing_holds_back_what_follows() -> None:
    around = world(50)
    around.delivers = False
    running = asyncio.create_task(around.runner(job()).run())
    for _ in range(500):
        await asyncio.sleep(0)
    assert around.sent == list(range(LEAST))
    around.rows += [Moment(delivery(number), MS + 1, "Delivered", "ok") for number in around.sent]
    around.delivers = True
    assert (await running).sent == 50


async def test_what_leaves_no_row_holds_back_what_follows_for_a_minute_and_what_is_parked_for_longer() -> None:
    around = world(50)
    around.delivers = False
    running = asyncio.create_task(around.runner(job()).run())
    for seconds, parks, sent in ((0, False, 1), (59, False, 1), (2, True, 2), (61, False, 2), (839, False, 2)):
        around.now += seconds
        await turns(around, sent * LEAST, running)
        around.rows += [
            Moment(delivery(number), int(around.now * 1000) + 1, "Parked", "circuit_open")
            for number in around.sent[LEAST:]
            if parks
        ]
    around.now += 1
    await turns(around, 3 * LEAST, running)
    running.cancel()


async def test_a_receiver_that_takes_nothing_lets_other_jobs_go_on_and_is_not_flooded_by_its_own() -> None:
    around = world(50)
    around.delivers, around.others = False, True
    for turn in range(3):
        running = asyncio.create_task(around.runner(job() if turn == 0 else None).run())
        await turns(around, LEAST, running)
        around.now += 11
        with pytest.raises(OthersWait):
            await running
    around.rows += [Moment(delivery(number), MS + 1, "Retried", "5xx") for number in around.sent]
    around.delivers = True
    assert (await around.runner().run()).sent == 50
    assert around.sent == list(range(50))


async def test_what_was_sent_by_another_while_it_waited_for_room_is_not_sent_again() -> None:
    around = world(50)
    around.delivers = False
    running = asyncio.create_task(around.runner(job()).run())
    await turns(around, LEAST, running)
    around.shows("Delivered", "ok", *range(LEAST + 2), at=MS + 1)  # two of them were redriven by hand
    around.now += 2
    around.delivers = True
    assert (await running).sent == 50 - 2
    assert around.sent == [*range(LEAST), *range(LEAST + 2, 50)]


async def test_a_rate_holds_over_the_turns_of_others() -> None:
    around = world(50)
    around.others = True
    running = asyncio.create_task(around.runner(job(rate=0.1)).run())
    await turns(around, 1, running)
    around.now += 10
    await turns(around, 2, running)
    around.now += 0.5
    with pytest.raises(OthersWait) as given_way:
        await running
    assert given_way.value.seconds == 9.5


async def test_a_resume_whose_range_has_not_ended_lets_other_jobs_go_on() -> None:
    around = world(5)
    running = asyncio.create_task(around.runner(resume(MS - HOUR, MS + 60_000)).run())
    await turns(around, 5, running)
    around.others, around.now = True, around.now + 11
    with pytest.raises(OthersWait):
        await running


async def turns(around: World, sent: int, running: asyncio.Task[Job]) -> None:
    """As much as goes without the clock: `sent` are published then, and the job has not ended."""
    for _ in range(500):
        await asyncio.sleep(0)
    assert around.sent == list(range(sent))
    assert not running.done()


async def test_a_stop_in_the_middle_ends_it_and_what_was_sent_stays_sent() -> None:
    around = world(50)
    around.archive.on_event = lambda offset: setattr(around, "stopped", bool(around.sent) and offset >= 20)
    runner = around.runner(job())
    with pytest.raises(JobStopped):
        await runner.run()
    ended = await runner.end(State.STOPPED, None)
    assert (ended.state, around.job) == (State.STOPPED, ended)
    assert 0 < ended.sent <= len(around.sent) < 50


async def test_one_that_lost_its_lease_does_nothing_more() -> None:
    around = world(50)
    runner = around.runner(job())
    around.archive.on_event = lambda offset: setattr(around, "lease", 1) if offset == 30 else None
    with pytest.raises(JobLost):
        await runner.run()
    sent = len(around.sent)
    with pytest.raises(JobLost):
        await runner.end(State.DONE, None)
    assert len(around.sent) == sent < 50


async def test_one_whose_lease_ran_out_while_it_asked_the_history_publishes_nothing() -> None:
    around = world(50)
    ask = around.moments

    async def slow(ids: Sequence[str]) -> Sequence[Moment]:
        if around.job is not None and around.job.state is State.SENDING:
            around.now += 21
            around.lease = 1  # somebody else's
        return await ask(ids)

    around.moments = slow  # type: ignore[method-assign]
    with pytest.raises(JobLost):
        await around.runner(job()).run()
    assert around.sent == []


@pytest.mark.parametrize("slow", ["begin", "mark", "offset_at", "events"])
async def test_the_lease_is_renewed_while_the_archive_gives_nothing(slow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leased, "RENEW_SECONDS", 0.001)
    around = world(5)
    renewals = 0
    renewed = asyncio.Event()
    keep, real = around.keep_job, getattr(around.archive, slow)

    async def counted(held: Held, one: Job, lease: int) -> Held:
        nonlocal renewals
        renewals += one == held.job
        if renewals > 2:
            renewed.set()
        return await keep(held, one, lease)

    async def waits(*given: object) -> object:
        await renewed.wait()
        return await real(*given)

    async def waits_first(*given: object) -> AsyncIterator[object]:
        await renewed.wait()
        async for each in real(*given):
            yield each

    around.keep_job = counted  # type: ignore[method-assign]
    monkeypatch.setattr(around.archive, slow, waits_first if slow == "events" else waits)
    async with asyncio.timeout(10):
        assert (await around.runner(job()).run()).sent == 5


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ([replace(HOOK, paused_at=MS)], "paused"),
        ([replace(HOOK, enabled=False)], "disabled"),
    ],
)
async def test_a_webhook_that_rests_in_the_middle_makes_it_wait(changed: list[Webhook], words: str) -> None:
    around = world(50)
    around.archive.on_event = lambda offset: rests(around, offset, changed)
    with pytest.raises(NotNow, match=words):
        await around.runner(job()).run()
    assert 0 < len(around.sent) < 50
    around.webhooks, around.archive.on_event = [HOOK], lambda _: None
    ended = await around.runner().run()
    assert (ended.state, sorted(around.sent)) == (State.DONE, list(range(50)))


def rests(around: World, offset: int, webhooks: list[Webhook]) -> None:
    """From the 20th of the events that are sent on; seconds pass, so that the webhook is looked up again."""
    if around.sent and offset >= 20:
        around.webhooks = webhooks
        around.now += 11


async def test_a_webhook_that_is_gone_ends_it() -> None:
    around = world(50)
    around.archive.on_event = lambda offset: rests(around, offset, [])
    ended = await around.runner(job()).run()
    assert (ended.state, "set it again" in str(ended.error)) == (State.FAILED, True)
    assert 0 < len(around.sent) < 50


@pytest.mark.parametrize("accept", [False, True])
async def test_an_archive_that_loses_what_was_to_be_read_stops_it_unless_that_is_accepted(accept: bool) -> None:
    around = world(50)
    around.archive.on_event = lambda offset: setattr(around.archive, "head", 30 if around.sent else 0)
    ended = await around.runner(job(accept_gap=accept)).run()
    assert "by its bounds before they were read" in str(ended.gone)
    assert (ended.state, 49 in around.sent) == ((State.DONE, True) if accept else (State.FAILED, False))
    assert not {10, 20, 25} & set(around.sent)


@pytest.mark.parametrize("accept", [False, True])
async def test_a_resume_whose_archive_loses_some_of_it_meanwhile_says_so_and_goes_on(accept: bool) -> None:
    around = world(50)
    around.archive.on_event = lambda offset: setattr(around.archive, "head", 30 if around.sent else 0)
    given = resume(MS - HOUR)
    ended = await around.runner(replace_asked(given, accept)).run()
    assert "by its bounds before they were read" in str(ended.gone)
    assert (ended.state, around.sent[-20:]) == (State.DONE, list(range(30, 50)))


def replace_asked(one: Job, accept: bool) -> Job:
    return msgspec.structs.replace(one, asked=msgspec.structs.replace(one.asked, accept_gap=accept))


async def test_what_the_archive_had_lost_before_is_said_and_the_rest_is_sent() -> None:
    around = world(50)
    around.archive.head = 41
    ended = await around.runner(job()).run()
    assert (ended.state, around.sent) == (State.DONE, list(range(40, 50)))
    assert "older events are gone" in str(ended.gone)


def resume(since: int, until: int = MS - 60_000) -> Job:
    return Job("replay_r", Asked("acme", "default", since, until, Kind.RESUME, accept_gap=True), MS)


async def test_a_resume_looks_in_front_of_its_range_for_what_was_taken_late() -> None:
    around = world(40)
    since = MS - HOUR + 20_000  # event 20 came then
    around.shows("Skipped", "paused", *range(22, 40), at=since + 2000)
    around.shows("Skipped", "paused", 3, 7, at=since + 3000)  # out of a backlog
    around.shows("Delivered", "ok", 20, 21)
    ended = await around.runner(resume(since)).run()
    assert ended.older
    assert around.sent == [*range(22, 40), 3, 7], "and of what came before nothing else"


@pytest.mark.parametrize("everything", [False, True])
async def test_a_range_behind_the_last_event_sends_nothing(everything: bool) -> None:
    around = world(50)
    quiet = Asked("acme", "default", MS - 600_000, MS - 60_000, everything=everything)
    ended = await around.runner(Job("replay_1", quiet, MS)).run()
    assert (ended.state, ended.counts, around.sent) == (State.DONE, Counts(), [])


async def test_a_resume_after_a_quiet_pause_sends_what_came_out_of_a_backlog_and_nothing_else() -> None:
    around = world(50)
    assert (await around.runner(resume(MS - 600_000)).run()).sent == 0
    around.shows("Skipped", "paused", 3, 7, at=MS - 500_000)
    ended = await around.runner(resume(MS - 600_000)).run()
    assert (ended.state, around.sent) == (State.DONE, [3, 7])


@pytest.mark.parametrize("keeps", [None, *range(1, 9)])
async def test_a_resume_looks_again_while_the_history_shows_ever_more(keeps: int | None) -> None:
    """A history that lags behind a long backlog: two rows are there at the first look, one more comes after
    each question."""
    around = world(50)
    began = MS - 600_000
    around.shows("Skipped", "paused", 3, 7, at=began + 1000)
    late, ask = [2, 5, 11], around.skipped

    async def asked(instance: str, webhook: str, reasons: Sequence[str], since: int) -> int:
        found = await ask(instance, webhook, reasons, since)
        if late:
            around.shows("Skipped", "paused", late.pop(), at=began + 2000)
        return found

    around.skipped, around.keeps = asked, keeps  # type: ignore[method-assign]
    if keeps is not None:
        with pytest.raises(Killed):
            await around.runner(resume(began)).run()
        around.keeps = None
    ended = await around.runner(None if keeps else resume(began)).run()
    assert ended.state is State.DONE
    assert sorted(around.sent) == [2, 3, 5, 7, 11]


async def test_a_resume_that_met_all_does_not_look_further() -> None:
    around = world(40)
    since = MS - HOUR + 20_000
    around.shows("Skipped", "paused", *range(20, 40), at=since + 2000)
    ended = await around.runner(resume(since)).run()
    assert (ended.older, around.sent) == (False, list(range(20, 40)))


@pytest.mark.parametrize("keeps", range(1, 9))
async def test_a_resume_that_is_killed_anywhere_misses_nothing(keeps: int) -> None:
    around = world(40)
    since = MS - HOUR + 20_000
    around.shows("Skipped", "paused", 5, *range(20, 40), at=since + 2000)
    around.keeps = keeps
    with pytest.raises(Killed):
        await around.runner(resume(since)).run()
    around.keeps = None
    ended = await around.runner().run()
    assert ended.state is State.DONE
    assert sorted(around.sent) == [5, *range(20, 40)]


async def test_the_time_of_a_value_that_passes_counts_from_the_event() -> None:
    around = world(40)
    around.webhooks = [replace(HOOK, ttl_seconds={"MESSAGES_UPSERT": 60})]
    await around.runner(job()).run()
    oldest = around.pasts[0]
    assert oldest.first_seen <= NOW - 3590, "an hour old, although it is published now"
    assert oldest.set_out == NOW
