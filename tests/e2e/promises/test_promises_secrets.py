"""Promise 7 of the README: every kind of secret is marked with one string, every outcome is provoked, and the string
is looked for wherever operators look."""

from __future__ import annotations

import asyncio
import base64
import json

from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents, PutWebhooks
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.local_process import free_port
from tests.support.receiver import Answer, HostileReceiver, Receiver, read_request
from tests.support.worker import Worker
from worker.domain.webhook import Webhook

CANARY = "Kanarienvogel"
SIGNING = "whsec_" + base64.b64encode(CANARY.encode() * 2).decode()
SEALING = base64.b64encode((CANARY * 3)[:32].encode()).decode()
BASIC = base64.b64encode(f"user:{CANARY}".encode()).decode()
MARKS = (CANARY, SEALING[:20], SIGNING.removeprefix("whsec_")[:20], BASIC)
"""In the clear, as a signing secret, as basic credentials."""

COMMANDS = (
    ("webhook", "list"),
    ("webhook", "list", "--json"),
    ("webhook", "get", "rejects", "--json"),
    ("webhook", "set", "rejects", "--enabled"),
    ("dead", "list"),
    ("dead", "list", "--json"),
    ("check",),
    ("check", "--json"),
)


def marked(instance: str, url: str, **fields: object) -> Webhook:
    """A webhook with a secret in each place that can hold one."""
    headers = (("Authorization", f"Bearer {CANARY}"), ("X-Key", CANARY), ("jwt_key", CANARY))
    return Webhook(
        instance,
        url.replace("//", f"//user:{CANARY}@", 1),
        **{"headers": headers, "secrets": (SIGNING,), "timeout_ms": 500, **fields},  # type: ignore[arg-type]
    )


async def test_promise_7_no_secret_appears_in_a_log_a_metric_a_header_or_an_answer_of_the_cli(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver, amqp: Amqp, names: Names
) -> None:
    settings = {
        "AUTHENTICATION_API_KEY": CANARY,
        "WEBHOOK_SECRET_KEY": SEALING,
        "SERVER_PORT": str(free_port()),
        "WEBHOOK_GLOBAL_ENABLED": "true",
        "WEBHOOK_GLOBAL_URL": f"http://user:{CANARY}@127.0.0.1:{receiver.port}/global",
        "WEBHOOK_EVENTS_MESSAGES_UPSERT": "true",
        "WEBHOOK_RETRY_MAX_ATTEMPTS": "1",  # one attempt each: every failure becomes a dead letter at once
        "WEBHOOK_RETRY_NON_RETRYABLE_STATUS_CODES": "404",
    }

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 two hundred " + CANARY.encode() + b"\r\n\r\n")

    release = asyncio.Event()
    _script(receiver, release)
    async with HostileReceiver(cut) as hostile:
        cases = _cases(receiver, hostile)
        await webhooks(*cases)
        daemon = await worker(**settings)
        key = event(instance="").replace(b'"apikey":"k"', b'"apikey":"%s"' % CANARY.encode())
        await publish(*(key.replace(b'"instance":""', b'"instance":"%s"' % case.instance.encode()) for case in cases))
        await publish(b'{"event":{"apikey":"%s"},"instance":"acme"}' % CANARY.encode())
        await publish(key, key[:-1], key.replace(b'"instance":""', b'"instance":"nobody"'))
        await daemon.wait_metric("deliveries_total", 2 * len(cases) + 4)
    release.set()
    outcomes = {record["reason"] for record in daemon.records if record["message"] == "delivery"}
    assert outcomes >= {"ok", "disabled", "event_not_enabled", "rejected", "gone", "attempts_exhausted"}
    assert outcomes >= {"bad_url", "bad_headers", "egress_refused", "invalid_event"}
    answers = [await _ran(worker, settings, command) for command in COMMANDS]
    headers = await _all_headers(amqp, names)
    assert len(headers) >= 9
    _assert_nowhere(
        logs="\n".join(daemon.lines),
        metrics="\n".join(await daemon.metrics()),
        headers=repr(headers),
        commands="\n".join(line for answer in answers for line in answer.lines),
    )
    assert any(CANARY in (post.header("x-key") or "") for post in receiver.requests), "the receiver did get them"


def _script(receiver: Receiver, release: asyncio.Event) -> None:
    answers = {"/404": 404, "/410": 410, "/500": 500, "/302": 302}
    for path, status in answers.items():
        receiver.always(path, Answer(status, {"Location": f"http://h/{CANARY}", "X-Echo": CANARY}, CANARY.encode()))
    receiver.always("/hangs", Answer(release=release))


def _cases(receiver: Receiver, hostile: HostileReceiver) -> list[Webhook]:
    """One instance for each way to end."""
    return [
        marked("delivers", receiver.url("/ok")),
        marked("off", receiver.url("/ok"), enabled=False),
        marked("picky", receiver.url("/ok"), events=frozenset({"CALL"})),
        marked("rejects", receiver.url("/404")),
        marked("gone", receiver.url("/410")),
        marked("fails", receiver.url("/500")),
        marked("redirects", receiver.url("/302")),
        marked("hangs", receiver.url("/hangs")),
        marked("refuses", f"http://127.0.0.1:{free_port()}/x"),
        marked("unresolved", "http://receiver.invalid/x"),
        marked("no-tls", receiver.url("/x").replace("http:", "https:")),
        marked("talks nonsense", hostile.url("/x")),
        marked("private", "http://10.9.8.7/x"),
        marked("bad url", "ftp://127.0.0.1/x"),
        marked("broken url", "http://[::1/x"),
        marked("bad port", "http://127.0.0.1:99999999/x"),
        marked("bad header", receiver.url("/ok"), headers=(("X-Key", f"{CANARY}\r\n"),)),
        marked("bad secret", receiver.url("/ok"), secrets=(f"whsec_{CANARY}!",)),
    ]


async def _ran(worker: StartWorker, settings: dict[str, str], command: tuple[str, ...]) -> Worker:
    process = await worker(arguments=command, ready=False, **settings)
    # `check` finds the webhook whose private address the egress rules refuse.
    assert await process.wait() == (1 if command[0] == "check" else 0), process.output()
    return process


async def _all_headers(amqp: Amqp, names: Names) -> list[dict[str, object]]:
    queues = (names.events, names.retries, names.dead, *map(names.retry, (5, 15, 45, 135, 405, 1215, 3645)))
    return [dict(message.headers) for queue in queues for message in await amqp.drain(queue)]


def _assert_nowhere(**places: str) -> None:
    for place, text in places.items():
        for mark in MARKS:
            at = text.find(mark)
            assert at < 0, f"{place}: {json.dumps(text[max(0, at - 300) : at + 100])}"
