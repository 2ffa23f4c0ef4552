"""What a webhook's requests have in common, and who shares it."""

from collections.abc import Mapping
from copy import copy
from dataclasses import fields, replace
from typing import Any

import pytest

from worker.domain.event import parse
from worker.domain.past import Past
from worker.domain.request.build import Request, build
from worker.domain.request.not_sendable import BadHeaders
from worker.domain.request.template import Template, template_of
from worker.domain.routing import Delivery, route
from worker.domain.webhook import RateLimit, Webhook

NOW = 1_700_000_000.0
OLD, NEW = "whsec_b2xkIGtleSBvbGQga2V5IG9sZCBrZXk=", "whsec_bmV3IGtleSBuZXcga2V5IG5ldyBrZXk="
EVENT = parse(b'{"event":"messages.upsert","instance":"acme","data":{"message":{"base64":"QUFB"}}}')
PLAIN = Webhook("acme", "https://h/x", secrets=(NEW, OLD), old_secret_until=int(NOW) + 60)
CHANGES: Mapping[str, Any] = {
    "instance": "acme 2",
    "url": "https://h/y",
    "id": "crm",
    "enabled": False,
    "events": frozenset({"MESSAGES_UPSERT"}),
    "by_events": True,
    "base64": True,
    "headers": (("x-a", "1"),),
    "secrets": (NEW,),
    "timeout_ms": 1000,
    "concurrency": 2,
    "rate_limit": RateLimit(1.0, 1),
    "client_certificate": "certificate",
    "ca": "authority",
    "ignore": frozenset({"groups"}),
    "only_chats": frozenset({"1@s.whatsapp.net"}),
    "except_chats": frozenset({"2@s.whatsapp.net"}),
    "message_types": frozenset({"conversation"}),
    "filter": '{"data.a":1}',
    "media": "strip",
    "thumbnails": "strip",
    "max_body_bytes": 100_000,
    "ttl_seconds": (("MESSAGES_UPSERT", 1.0),),
    "latest_only": frozenset({"MESSAGES_UPSERT"}),
    "alert_url": "https://h/alerts",
    "order": "chat",
    "order_block_seconds": 10,
    "order_next": "chat",
    "order_switch_at": 1,
    "resumed_at": 1,
    "disabled_reason": "410",
    "disabled_at": 1,
    "paused_at": 1,
    "instance_id": "0d5c",
    "old_secret_until": int(NOW) - 1,
    "failing_since": 1,
}
"""Another value for each field."""


def built(webhook: Webhook) -> Request:
    """Whether it hears the event or not."""
    hearing = replace(webhook, enabled=True, paused_at=None)
    found = route(EVENT, Past("e" * 64, NOW, "x", "k"), hearing, [hearing])
    assert isinstance(found, Delivery)
    own = template_of(webhook).destination
    return build(Delivery(found.id, found.event, webhook, found.target, own, found.past), NOW)


def parts(request: Request) -> tuple[object, ...]:
    return request.target, dict(request.headers), request.body, request.tls


def test_every_field_has_another_value_here() -> None:
    assert set(CHANGES) == {field.name for field in fields(Webhook)}
    assert [name for name, value in CHANGES.items() if getattr(PLAIN, name) == value] == []


@pytest.mark.parametrize("name", CHANGES)
def test_a_webhook_that_differs_in_any_field_is_sent_as_if_it_were_alone(name: str) -> None:
    kept = template_of(PLAIN)  # what another might share by mistake
    changed, alone = (replace(PLAIN, **{name: CHANGES[name]}) for _ in range(2))
    object.__setattr__(alone, "template", Template(alone))
    assert parts(built(changed)) == parts(built(alone))
    assert template_of(PLAIN) is kept


@pytest.mark.parametrize(
    "name", ["url", "by_events", "headers", "secrets", "old_secret_until", "media", "client_certificate", "ca"]
)
def test_what_a_request_is_made_of_is_not_shared_by_those_that_differ_in_it(name: str) -> None:
    assert template_of(replace(PLAIN, **{name: CHANGES[name]})) is not template_of(PLAIN)


def test_webhooks_that_are_set_up_alike_share_one_and_are_equal_with_it_and_without() -> None:
    first, second = replace(PLAIN), replace(PLAIN, instance="globex")
    assert template_of(first) is template_of(second) is template_of(first)
    assert first == replace(first)
    assert template_of(copy(first)) is template_of(first)


@pytest.mark.parametrize("seconds", [-1, 0, 1])
def test_the_keys_are_those_of_the_secrets_that_are_valid(seconds: int) -> None:
    webhook = replace(PLAIN, old_secret_until=int(NOW) - seconds)
    assert len(template_of(webhook).keys(NOW)) == len(webhook.signing_secrets(NOW))


def test_a_secret_that_is_none_is_told_only_while_it_would_sign() -> None:
    broken = replace(PLAIN, secrets=(NEW, "whsec_!"))
    with pytest.raises(BadHeaders, match="whsec_ followed by base64"):
        built(broken)
    expired = replace(broken, old_secret_until=int(NOW) - 1)
    assert (
        built(expired).headers["webhook-signature"]
        == built(replace(PLAIN, secrets=(NEW,))).headers["webhook-signature"]
    )


def test_a_bad_url_is_told_at_each_event_and_no_template_fails() -> None:
    bad = Webhook("acme", "ftp://h/x")
    assert template_of(bad).target is None
    assert [type(route(EVENT, Past("e" * 64, NOW, "x", "k"), bad, [bad])).__name__ for _ in range(2)] == [
        "DeadLettered",
        "DeadLettered",
    ]
