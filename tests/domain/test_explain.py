"""What `explain` says is what deliveries do, with the clause that decided."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from worker.domain.event import InvalidEvent
from worker.domain.explain import Explained, explain
from worker.domain.outcome import DeadLettered, DeadReason, Skipped, SkipReason
from worker.domain.webhook import GLOBAL_ID, Webhook

ACME = Webhook("acme", "https://h.example/x")


def said(**data: Any) -> bytes:
    found = {"key": {"remoteJid": "1203630@g.us", "fromMe": True}, "messageType": "conversation", **data}
    return json.dumps({"event": "messages.upsert", "instance": "acme", "data": found}).encode()


def of(webhook: Webhook, content: bytes | None = None) -> Explained:
    (found,) = explain(said() if content is None else content, (webhook,), None, 1e9)
    return found


@pytest.mark.parametrize(
    ("fields", "reason", "why"),
    [
        ({"ignore": frozenset({"groups"})}, SkipReason.FILTERED, "ignore: groups"),
        ({"filter": '{"data.key.fromMe":false}'}, SkipReason.FILTERED, "filter.data.key.fromMe: true is not false"),
        (
            {"events": frozenset({"CALL", "LOGOUT_INSTANCE"})},
            SkipReason.EVENT_NOT_ENABLED,
            "events: CALL, LOGOUT_INSTANCE",
        ),
        ({"enabled": False, "disabled_reason": "gone: 410"}, SkipReason.DISABLED, "gone: 410"),
        ({"enabled": False, "ignore": frozenset({"groups"})}, SkipReason.DISABLED, "enabled: false"),
        (
            {"events": frozenset({"CALL"}), "ignore": frozenset({"groups"})},
            SkipReason.EVENT_NOT_ENABLED,
            "events: CALL",
        ),
    ],
)
def test_why_an_event_is_skipped(fields: dict[str, Any], reason: SkipReason, why: str) -> None:
    found = of(replace(ACME, **fields))
    assert (found.outcome, found.why, found.body_bytes) == (Skipped(reason), why, None)


def test_what_is_sent_and_what_could_come_between() -> None:
    content = said(base64="A" * 4000)
    whole = of(ACME, content)
    assert (whole.outcome, whole.unless) == (None, ())
    slim = of(replace(ACME, media="strip", ttl_seconds=(("MESSAGES_UPSERT", 60.0),)), content)
    assert slim.body_bytes is not None
    assert whole.body_bytes is not None
    assert 3800 < whole.body_bytes - slim.body_bytes < 4000
    assert slim.unless == ("it is older than 60 s when its attempt starts (stale)",)
    latest = of(replace(ACME, latest_only=frozenset({"MESSAGES_UPSERT"})))
    assert latest.unless == ("a newer one of its chat is taken before that (superseded)",)


@pytest.mark.parametrize(
    ("fields", "notes"),
    [
        ({}, ()),
        ({"media": "strip"}, ("cut: 1 media, 0 thumbnails",)),
        ({"thumbnails": "strip"}, ("cut: 0 media, 1 thumbnails",)),
        ({"max_body_bytes": 1024}, ("cut: 1 media, 1 thumbnails",)),
        ({"max_body_bytes": 100_000}, ()),
    ],
)
def test_what_would_be_cut_is_noted(fields: dict[str, Any], notes: tuple[str, ...]) -> None:
    assert of(replace(ACME, **fields), said(base64="QUJD", jpegThumbnail="A" * 1000)).notes == notes


def test_the_size_is_that_of_the_body_without_a_secret_that_is_dropped() -> None:
    content = said()[:-1] + b',"apikey":"0123456789"}'
    sizes = [
        explain(content, (ACME,), None, 1e9, forward_apikey=forward)[0].body_bytes for forward in (None, True, False)
    ]
    assert sizes[0] == sizes[1]
    assert sizes[1] is not None
    assert sizes[2] == sizes[1] - len(',"apikey":"0123456789"')


def test_what_would_become_a_dead_letter() -> None:
    large = of(replace(ACME, max_body_bytes=1024), said(text="x" * 2000))
    assert isinstance(large.outcome, DeadLettered)
    assert (large.outcome.reason, "1024 are allowed" in (large.why or "")) == (DeadReason.TOO_LARGE, True)
    bad = of(replace(ACME, url="ftp://h"))
    assert isinstance(bad.outcome, DeadLettered)
    assert bad.outcome.reason is DeadReason.BAD_URL


def test_the_operators_webhook_is_the_last() -> None:
    everybodys = Webhook("", "https://g.example/", id=GLOBAL_ID, ignore=frozenset({"from_me"}))
    found = explain(said(), (ACME, replace(ACME, id="audit")), everybodys, 1e9)
    assert [each.webhook.id for each in found] == ["default", "audit", GLOBAL_ID]
    assert found[2].why == "ignore: from_me"


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(InvalidEvent):
        explain(b"{}", (ACME,), None, 1e9)


def test_an_event_that_is_too_much_to_judge_says_that_it_passes_unjudged() -> None:
    webhook = replace(ACME, filter='{"data.list":"a"}')
    judged, unjudged = of(webhook, said(list=["b"])), of(webhook, said(list=["b"] * 10_001))
    assert (judged.outcome, judged.notes) == (Skipped(SkipReason.FILTERED), ())
    assert unjudged.outcome is None
    assert unjudged.notes == ("passes without having been judged: its arrays have too many elements",)


def test_another_instances_event_is_noted_but_for_the_operators_webhook_which_hears_all() -> None:
    everybodys = Webhook("", "https://g.example/", id=GLOBAL_ID)
    own, operators = explain(said(), (replace(ACME, instance="other"),), everybodys, 1e9)
    assert own.notes == ('the event is of instance "acme", so this webhook would never see it',)
    assert operators.notes == ()
