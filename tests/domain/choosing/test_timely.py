"""ttl_seconds and latest_only: when an event is no longer of use."""

import pytest

from tests.domain.choosing.made import event_of, webhook_with
from worker.domain.choosing.chat import NOT_ONE, Chat
from worker.domain.choosing.subscriptions import look
from worker.domain.choosing.timely import is_stale, latest_key, read_ttl


def test_a_limit_counts_for_its_event_under_any_spelling() -> None:
    ttl, problems = read_ttl({"qrcode.updated": 60, "GROUP_UPDATE": 0.5})
    assert problems == []
    assert ttl == {"QRCODE_UPDATED": 60.0, "GROUPS_UPDATE": 0.5}
    limits = webhook_with({"ttl_seconds": ttl}).ttl_seconds
    assert is_stale(limits, "QRCODE_UPDATED", 60.001)
    assert not is_stale(limits, "QRCODE_UPDATED", 60)
    assert is_stale(limits, "GROUPS_UPDATE", 0.51)
    assert not is_stale(limits, "MESSAGES_UPSERT", 1e9)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "ttl_seconds: an object, event name to seconds, not an array"),
        ({"X": 0}, "ttl_seconds.X: a number of seconds, above 0 and up to 2592000, not 0"),
        ({"X": True}, "ttl_seconds.X: a number of seconds, above 0 and up to 2592000, not true"),
        ({"X": "60"}, 'ttl_seconds.X: a number of seconds, above 0 and up to 2592000, not "60"'),
        ({"X": float("nan")}, "ttl_seconds.X: a number of seconds, above 0 and up to 2592000, not NaN"),
        ({"": 60}, 'ttl_seconds: an event name, not ""'),
        ({"a\nb": 60}, 'ttl_seconds: an event name, not "a\\nb"'),
    ],
)
def test_a_wrong_limit_is_refused(value: object, problem: str) -> None:
    assert [str(found) for found in read_ttl(value)[1]] == [problem]


def test_the_same_news_is_of_one_kind_chat_and_webhook() -> None:
    latest = webhook_with({"latest_only": ["presence.update", "CONNECTION_UPDATE"]}).latest_only
    ana, bea = Chat("1@s.whatsapp.net"), Chat("2@s.whatsapp.net")

    def key(
        kind: str = "PRESENCE_UPDATE", chat: Chat | None = ana, instance: str = "acme", webhook: str = "w"
    ) -> object:
        return latest_key(latest, kind, chat, instance, webhook)

    assert key() == key(chat=Chat(ana.jid, "9@lid"))
    assert (
        len({key(), key(chat=bea), key(chat=None), key(kind="CONNECTION_UPDATE"), key(instance="b"), key(webhook="v")})
        == 6
    )
    assert key(kind="MESSAGES_UPSERT") is None


@pytest.mark.parametrize(
    "data",
    [
        [{"remoteJid": "1@s.whatsapp.net"}, {"remoteJid": "2@s.whatsapp.net"}],
        {"key": {"remoteJid": "1@newserver"}},
        [{"remoteJid": "1@s.whatsapp.net"}, {"n": 1}],
    ],
)
def test_an_event_about_several_chats_or_an_unknown_one_is_no_news_of_another(data: object) -> None:
    webhook = webhook_with({"latest_only": ["CHATS_UPSERT"]})
    event = event_of({"event": "chats.upsert", "instance": "acme", "data": data})
    chat = look(event, (None,), (webhook,)).chat
    assert chat is NOT_ONE
    assert latest_key(webhook.latest_only, event.kind, chat, "acme", "w") is None


def test_an_event_about_no_chat_is_compared_with_its_like() -> None:
    webhook = webhook_with({"latest_only": ["CONNECTION_UPDATE"]})
    event = event_of({"event": "connection.update", "instance": "acme", "data": {"state": "open", "id": "5"}})
    chat = look(event, (None,), (webhook,)).chat
    assert chat is None
    assert latest_key(webhook.latest_only, event.kind, chat, "acme", "w") is not None
