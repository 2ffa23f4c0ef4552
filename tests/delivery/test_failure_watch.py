"""Which attempts count for and against an endpoint that fails for long."""

from dataclasses import replace

import pytest

from tests.delivery.conftest import MakeRig, calm
from tests.delivery.fakes import Clock, FakeMessage, FakeReceivers
from tests.support.events import event
from worker.delivery.failing import LongFailing
from worker.delivery.failure_watch import FailureWatch
from worker.domain.backoff import schedule
from worker.domain.outcome import Parked, ParkReason
from worker.domain.policy import Policy
from worker.domain.verdict import Answered, Failure, Result, Unanswered, judge
from worker.domain.webhook import GLOBAL_ID, Webhook

SINCE = replace(Webhook("acme", "http://h/acme"), failing_since=1_795_000_000_000)
POLICY = Policy(schedule(4, 5, 3, 21600))


class Bench:
    def __init__(self) -> None:
        self.receivers, self.clock = FakeReceivers(), Clock(1_795_000_000.0)
        self.watch = FailureWatch(self.receivers, self.clock, LongFailing(100.0))

    async def hear(self, webhook: Webhook, *results: Result, every: float = 10.0) -> list[str]:
        for result in results:
            self.watch.judged(webhook, judge(result, 1, POLICY))
            self.clock.now += every
        await self.watch.finished()
        return self.receivers.told


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(
    "result",
    [Answered(404), Answered(301), Answered(429, 5.0), Answered(500)]
    + [Unanswered(failure, "") for failure in Failure if failure not in (Failure.REFUSED, Failure.PROXY)],
)
async def test_whatever_is_no_2xx_counts(bench: Bench, result: Result) -> None:
    assert await bench.hear(replace(SINCE, failing_since=None), result, result) == ["failing since 1795000000000"]


async def test_a_2xx_clears_and_after_the_limit_it_is_given_up(bench: Bench) -> None:
    await bench.hear(SINCE, Answered(204), every=100)
    await bench.hear(SINCE, *[Answered(503)] * 2)
    assert bench.receivers.told == ["recovered", "disable if it fails: every attempt failed since 2026-11-18T11:06:40Z"]


async def test_what_our_own_rules_refused_our_proxy_and_the_global_webhook_do_not_count(bench: Bench) -> None:
    await bench.hear(SINCE, *[Unanswered(Failure.REFUSED, ""), Unanswered(Failure.PROXY, "")] * 30)
    operators = Webhook("", "http://h/global", id=GLOBAL_ID)
    assert await bench.hear(operators, *[Answered(500)] * 30) == []


async def test_what_a_self_fault_took_does_not_count(bench: Bench) -> None:
    await bench.hear(SINCE, *[Answered(503)] * 2)
    bench.watch.self_fault(True)
    bench.clock.now += 1000
    bench.watch.self_fault(False)
    assert await bench.hear(SINCE, *[Answered(503)] * 5) == []


async def test_attempts_that_are_not_charged_are_not_heard_of(rig: MakeRig, bench: Bench) -> None:
    webhook = replace(SINCE, failing_since=None)
    found = rig(webhook)
    found.pipeline._attempter._failures = bench.watch
    found.sender.answers["http://h/acme"] = Unanswered(Failure.CONNECT, "refused")
    found.admission.not_charged = Parked(ParkReason.SELF_FAULT, 5)
    for _ in range(3):
        await found.take(FakeMessage(event()))
        bench.clock.now += 20
    found.admission.not_charged = None
    await found.take(FakeMessage(event()))
    assert bench.receivers.told == []
    bench.clock.now += 10
    await found.take(FakeMessage(event()))
    await calm()
    assert bench.receivers.told == ["failing since 1795000060000"]


@pytest.mark.parametrize("failing_since", [None, SINCE.failing_since])
async def test_a_410_disables_at_once_however_short_or_long_it_has_failed(
    bench: Bench, failing_since: int | None
) -> None:
    told = await bench.hear(replace(SINCE, failing_since=failing_since), Answered(410))
    assert told == ["disable at once: the receiver answered 410"]


async def test_a_410_disables_where_nothing_is_remembered_and_the_global_webhook_too(bench: Bench) -> None:
    watch = FailureWatch(bench.receivers, bench.clock)
    everybodys = Webhook("", "http://h/global", id=GLOBAL_ID)
    for result in (Answered(200), Answered(500), Answered(410)):
        watch.judged(SINCE, judge(result, 1, POLICY))
        bench.watch.judged(everybodys, judge(result, 1, POLICY))
    watch.self_fault(True)
    await watch.finished()
    await bench.watch.finished()
    assert [webhook for webhook, _ in bench.receivers.disabled] == [SINCE, everybodys]
    assert len(bench.receivers.told) == 2
