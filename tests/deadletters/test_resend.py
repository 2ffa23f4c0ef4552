"""What the history says of an attempt that somebody asked for: it ends what nobody else will try, and nothing else."""

import pytest

from tests.deadletters.test_direct import ACME, BODY, POLICY, Wire
from worker.basics.clock import Clocks
from worker.deadletters.resend import Resender, Standing
from worker.domain.event import identity
from worker.domain.history import Row
from worker.domain.outcome import SkipReason
from worker.domain.past import Past
from worker.domain.routing import delivery_id
from worker.domain.verdict import Answered, Failure, Result, Unanswered
from worker.domain.webhook import Webhook

PAST = Past(identity(BODY, None), 1e9, "evolution_exchange", "messages.upsert", ACME.id, attempts=2)


async def sent(answer: Result, standing: Standing) -> Row:
    async def load(instance: str) -> tuple[Webhook, ...]:
        assert instance == "acme"
        return (ACME,)

    async def keep(row: Row) -> None:
        kept.append(row)

    kept: list[Row] = []

    async def asked(of: str) -> Standing:
        assert len(wire.sent) == 1, "after the attempt"
        assert of == delivery_id(PAST.event_id, "acme", ACME.id)
        return standing

    clocks, wire = Clocks(lambda: 1e9, lambda: 0.0), Wire(acme=answer)
    row = await Resender(load, None, None, wire, POLICY, clocks, keep, asked).send(BODY, PAST)
    assert kept == [row]
    return row


REFUSED = Unanswered(Failure.REFUSED, "10.0.0.1 is not allowed")


@pytest.mark.parametrize(
    ("answer", "while_it_waits", "of_what_nobody_tries"),
    [
        (Answered(503), ("Retried", "5xx"), ("DeadLettered", "attempts_exhausted")),
        (Answered(400), ("Retried", "4xx"), ("DeadLettered", "rejected")),
        (Answered(410), ("Retried", "4xx"), ("DeadLettered", "gone")),
        (Unanswered(Failure.DNS, "no such name"), ("Retried", "dns"), ("DeadLettered", "attempts_exhausted")),
        (REFUSED, ("Parked", "self_fault"), ("DeadLettered", "egress_refused")),
        (Answered(204), ("Delivered", "ok"), ("Delivered", "ok")),
    ],
)
async def test_a_failure_gives_up_only_what_no_worker_will_try_again(
    answer: Result, while_it_waits: tuple[str, str], of_what_nobody_tries: tuple[str, str]
) -> None:
    waiting, ended = await sent(answer, Standing(waits=True)), await sent(answer, Standing())
    assert (waiting.outcome, waiting.reason) == while_it_waits
    assert (ended.outcome, ended.reason) == of_what_nobody_tries
    assert (waiting.attempt, waiting.status, waiting.error) == (3, ended.status, ended.error)


async def test_what_its_webhook_chose_not_to_have_stays_so() -> None:
    row = await sent(Answered(503), Standing(skipped=SkipReason.STALE))
    assert (row.outcome, row.reason, row.status, row.error) == ("Skipped", "stale", 503, "the receiver answered 503")
    assert (await sent(Answered(200), Standing(skipped=SkipReason.STALE))).outcome == "Delivered"
