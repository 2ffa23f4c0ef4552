"""A letter that is too large for the broker, delivered from the command: who hears it, and when it is done with."""

from dataclasses import replace
from typing import Any

import pytest

from tests.support.events import event
from worker.deadletters.direct import DirectDelivery
from worker.domain.backoff import schedule
from worker.domain.event import identity
from worker.domain.past import Past
from worker.domain.policy import Policy
from worker.domain.request.build import Request
from worker.domain.verdict import Answered, Failure, Result, Unanswered
from worker.domain.webhook import GLOBAL_ID, Webhook
from worker.webhooks.store import StoreUnavailable

ACME = Webhook("acme", "https://h.example/acme", timeout_ms=1500)
AUDIT = replace(ACME, id="audit", url="https://h.example/audit", timeout_ms=None)
POLICY = Policy(schedule(3, 1, 2, 10), frozenset({400}), 86_400.0, timeout=30.0)
BODY = event(data={"key": {"remoteJid": "1203630@g.us", "fromMe": False}, "base64": "A" * 4000})


class Wire:
    """The network: remembers what was sent, and answers as told by the URL's path."""

    def __init__(self, **answers: Result) -> None:
        self.sent: list[tuple[str, float, Request]] = []
        self._answers = answers

    async def send(self, request: Request, timeout: float) -> Result:
        path = request.url.rsplit("/", 1)[1]
        self.sent.append((path, timeout, request))
        return self._answers.get(path, Answered(200))


async def deliver(
    wire: Wire, *webhooks: Webhook, operators: Webhook | None = None, body: bytes = BODY, to: str | None = None
) -> list[str]:
    async def load(instance: str) -> tuple[Webhook, ...]:
        assert instance == "acme"
        return webhooks

    direct = DirectDelivery(load, operators, wire, POLICY, lambda: 1e9)
    return await direct.deliver(body, Past(identity(BODY, None), 1e9, "evolution_exchange", "messages.upsert", to))


def paths(wire: Wire) -> list[str]:
    return sorted(path for path, _, _ in wire.sent)


async def test_it_goes_to_each_webhook_of_the_event_within_its_own_time() -> None:
    wire = Wire()
    assert await deliver(wire, ACME, AUDIT) == []
    assert sorted((path, timeout) for path, timeout, _ in wire.sent) == [("acme", 1.5), ("audit", 30.0)]


async def test_a_letter_of_one_webhook_goes_to_that_alone() -> None:
    wire = Wire()
    assert await deliver(wire, ACME, AUDIT, to="audit") == []
    assert paths(wire) == ["audit"]


@pytest.mark.parametrize(
    "choice",
    [
        {"ignore": frozenset({"groups"})},
        {"only_chats": frozenset({"5511"})},
        {"except_chats": frozenset({"1203630@g.us"})},
        {"filter": '{"data.key.fromMe":true}'},
        {"events": frozenset({"CALL"})},
        {"enabled": False},
    ],
)
async def test_a_webhook_that_chose_not_to_hear_it_does_not_and_the_letter_is_done(choice: dict[str, Any]) -> None:
    wire = Wire()
    assert await deliver(wire, ACME, replace(AUDIT, **choice)) == []
    assert paths(wire) == ["acme"]


async def test_the_operators_webhook_chooses_too() -> None:
    wire = Wire()
    everybodys = Webhook("", "https://g.example/all", id=GLOBAL_ID, ignore=frozenset({"groups"}))
    assert await deliver(wire, ACME, operators=everybodys) == []
    assert paths(wire) == ["acme"]
    assert await deliver(wire, ACME, operators=replace(everybodys, ignore=frozenset())) == []
    assert paths(wire) == ["acme", "acme", "all"]


async def test_what_is_cut_for_a_webhook_is_cut_here_too() -> None:
    wire = Wire()
    assert await deliver(wire, replace(ACME, media="strip")) == []
    assert b'"omitted":"base64","bytes":3000' in wire.sent[0][2].body


@pytest.mark.parametrize(
    ("webhook", "answers", "said"),
    [
        (ACME, {"acme": Answered(500)}, "default: the receiver answered 500"),
        (ACME, {"acme": Unanswered(Failure.TIMEOUT, "no answer within 1.5 s")}, "default: no answer within 1.5 s"),
        (replace(ACME, headers=(("X-A", "é\n"),)), {}, "default: the value of header 'X-A'"),
        (replace(ACME, url="ftp://h/"), {}, "default: "),
    ],
)
async def test_what_could_not_be_delivered_stays_and_is_told(
    webhook: Webhook, answers: dict[str, Result], said: str
) -> None:
    (problem,) = await deliver(Wire(**answers), webhook, AUDIT)
    assert problem.startswith(said)


async def test_a_body_above_what_its_webhook_takes_is_told_and_not_sent() -> None:
    wire = Wire()
    body = event(data={"text": "x" * 4000})
    (problem,) = await deliver(wire, replace(ACME, max_body_bytes=1024), AUDIT, body=body)
    assert problem.startswith("default: ")
    assert "1024 are allowed" in problem
    assert paths(wire) == ["audit"]


async def test_a_store_that_is_down_and_a_body_that_is_no_event_are_told() -> None:
    async def down(_: str) -> tuple[Webhook, ...]:
        raise StoreUnavailable("the database is away")

    direct = DirectDelivery(down, None, Wire(), POLICY, lambda: 1e9)
    past = Past(identity(BODY, None), 1e9, "", "")
    assert await direct.deliver(BODY, past) == ["the database is away"]
    (problem,) = await direct.deliver(b"[]", past)
    assert problem
