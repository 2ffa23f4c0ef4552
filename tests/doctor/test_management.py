"""RabbitMQ's management API, and whatever answers in its place; e2e/commands/test_doctor.py asks a real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.support.receiver import Answer, Receiver
from worker.doctor.asking import management as module
from worker.doctor.asking.management import Management, ManagementUnavailable, management_address


@pytest.mark.parametrize(
    ("amqp", "given", "shown", "who", "vhost"),
    [
        ("amqp://me:p%40ss@mq.example/", None, "http://mq.example:15672", ("me", "p@ss"), "/"),
        ("amqps://me:pw@mq.example:5671/chat%2Fa", None, "https://mq.example:15671", ("me", "pw"), "chat/a"),
        ("amqp://mq.example", None, "http://mq.example:15672", ("guest", "guest"), "/"),
        ("amqp://me:pw@[::1]:5672/", None, "http://[::1]:15672", ("me", "pw"), "/"),
        ("amqp://me:pw@mq.example/%2F", "https://m.example/mq/api/", "https://m.example/mq", ("me", "pw"), "/"),
        ("amqp://me:pw@mq.example/v", "http://ops:x%3Ay@m.example:8080", "http://m.example:8080", ("ops", "x:y"), "v"),
    ],
)
def test_the_address_is_guessed_from_the_brokers_unless_given(
    amqp: str, given: str | None, shown: str, who: tuple[str, str], vhost: str
) -> None:
    found = management_address(amqp, given)
    assert (found.shown, (found.user, found.password), found.vhost) == (shown, who, vhost)
    assert f"'{who[1]}'" not in repr(found)


@pytest.mark.parametrize("given", ["ftp://h", "h:15672", "http://", "/api", "http://h:port"])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        management_address("amqp://h/", given)


@pytest.fixture
async def management(receiver: Receiver) -> AsyncIterator[Management]:
    async with Management(management_address("amqp://me:hunter2@h/v", receiver.url(""))) as management:
        yield management


QUEUES = "/api/queues/v"


async def test_all_pages_are_read_and_absent_figures_are_told_from_empty_ones(
    management: Management, receiver: Receiver
) -> None:
    pages = [
        {"page_count": 2, "items": [{"name": "a", "effective_policy_definition": [], "messages": 0, "policy": None}]},
        {"page_count": 2, "items": [{"name": "b", "arguments": {"x-queue-type": "quorum"}}]},
    ]
    for page in pages:
        receiver.answer(QUEUES, Answer(body=json.dumps(page).encode()))
    known, unknown = await management.queues()
    assert (known.name, known.policy, known.messages) == ("a", {}, 0)
    assert (unknown.name, unknown.policy, unknown.messages) == ("b", None, None)
    assert ["page=1&" in receiver.requests[0].query, "page=2&" in receiver.requests[1].query] == [True, True]
    assert receiver.requests[0].header("authorization") == "Basic bWU6aHVudGVyMg=="


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (Answer(401, body=b'{"error":"not_authorised"}'), "refuses this user"),
        (Answer(404), "HTTP 404"),
        (Answer(302, {"Location": "http://127.0.0.1:1/"}), "HTTP 302"),
        (Answer(body=b"<html>"), "does not answer as"),
        (Answer(body=b"[]"), "does not answer as"),
        (Answer(body=b'{"items":[{}],"page_count":1}'), "does not answer as"),
        (Answer(body=b'{"items":[],"page_count":"many"}'), "does not answer as"),
        (Answer(body=b"x" * 2000), "an answer of more than 0 MiB"),
    ],
)
async def test_what_is_no_such_api_is_said_without_credentials(
    management: Management, receiver: Receiver, answer: Answer, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    receiver.answer(QUEUES, answer)
    with pytest.raises(ManagementUnavailable, match=text) as caught:
        await management.queues()
    assert caught.value.refused == (answer.status == 401)
    assert "hunter2" not in str(caught.value)


async def test_silence_ends_after_its_time(
    management: Management, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.2)
    release = asyncio.Event()
    receiver.answer("/api/overview", Answer(release=release))
    with pytest.raises(ManagementUnavailable, match="has not answered within"):
        await management.clock()
    release.set()
