"""Who hears a notice, and in which form."""

import pytest

from worker.domain.notices.formats import Format
from worker.domain.notices.receivers import OPERATOR, NoticeReceiver, operator, owner, owner_id, receiver
from worker.domain.webhook import Webhook
from worker.webhooks.fields import InvalidWebhook, webhook_from

SECRET = "whsec_" + "A" * 32
ACME = Webhook(
    "acme",
    "https://h.example/",
    "audit",
    enabled=False,
    headers=(("X-Key", "secret"),),
    secrets=(SECRET,),
    alert_url="https://owner.example/in",
)


def test_an_owner_hears_of_a_disabled_webhook_signed_with_its_secret_and_without_its_headers() -> None:
    assert owner(ACME) == NoticeReceiver(
        "acme", "https://owner.example/in", "notice:audit", secrets=(SECRET,), format=Format.STANDARD
    )
    assert owner(Webhook("acme", "https://h.example/")) is None


def test_the_operator_hears_where_there_is_a_url() -> None:
    assert operator("", "", "auto") is None
    found = operator("https://ops.example/", SECRET, "discord")
    assert found == NoticeReceiver("", "https://ops.example/", OPERATOR, secrets=(SECRET,), format=Format.DISCORD)


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("https://hooks.slack.com/services/T0/B0/X", Format.SLACK),
        ("https://HOOKS.slack.com./services/T0/B0/X", Format.SLACK),
        ("https://hooks.slack.com.evil.example/services/T0/B0/X", Format.STANDARD),
        ("https://discord.com/api/webhooks/1/x", Format.DISCORD),
        ("https://canary.discord.com/api/webhooks/1/x?wait=true", Format.DISCORD),
        ("https://discordapp.com/api/webhooks/1/x", Format.DISCORD),
        ("https://discord.com/channels/1", Format.STANDARD),
        ("https://owner.example/api/webhooks/1/x", Format.STANDARD),
        ("not a url", Format.STANDARD),
    ],
)
def test_the_form_goes_by_the_address(url: str, form: Format) -> None:
    for found in (operator(url, "", "auto"), owner(Webhook("acme", "https://h.example/", alert_url=url))):
        assert found is not None
        assert found.format is form


def test_a_receiver_is_found_by_its_id_among_the_instances_webhooks() -> None:
    ops = operator("https://ops.example/", "", "auto")
    other = Webhook("acme", "https://h.example/", "other")
    assert receiver(OPERATOR, (), ops) is ops
    assert receiver(OPERATOR, (ACME,), None) is None
    assert receiver(owner_id("audit"), (other, ACME), ops) == owner(ACME)
    assert receiver(owner_id("other"), (other, ACME), ops) is None
    assert receiver("audit", (ACME,), ops) is None


@pytest.mark.parametrize("taken", [OPERATOR, owner_id("default")])
def test_no_webhook_can_have_such_an_id(taken: str) -> None:
    with pytest.raises(InvalidWebhook, match="id"):
        webhook_from({"instance": "acme", "id": taken, "url": "https://h.example/"})
