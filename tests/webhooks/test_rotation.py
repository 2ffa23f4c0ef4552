"""`webhook rotate-secret`: two secrets sign until the old one's end, and the end holds at the moment of signing."""

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.conftest import Clock
from tests.support.webhook_commands import set_webhook
from worker.domain.request.signature import secret_key, signature, signing_key
from worker.domain.webhook import Webhook
from worker.stores.own.store import SqlStore
from worker.webhooks.commands import SetArguments
from worker.webhooks.fields import InvalidWebhook, fields_of, webhook_from
from worker.webhooks.rotation import rotate_secret, with_new_secret
from worker.webhooks.shown import shown

A, B, C = ("whsec_" + base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2, 3))
ACME = Webhook("acme", "https://h.example/x", secrets=(A,))
NOW = 1_795_000_000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    found = SqlStore(f"sqlite:///{tmp_path}/webhooks.db", Clock())
    await found.migrate()
    yield found
    await found.close()


@pytest.mark.parametrize(
    ("now", "valid"), [(NOW, (B, A)), (NOW + 59.9, (B, A)), (NOW + 60, (B,)), (NOW + 1e9, (B,))]
)  # fmt: skip
def test_the_old_secret_signs_until_its_end(now: float, valid: tuple[str, ...]) -> None:
    webhook = with_new_secret(ACME, B, 60, NOW + 0.5)
    assert webhook.signing_secrets(now) == valid
    assert len(signature(map(signing_key, webhook.signing_secrets(now)), "msg_1", "1", b"{}").split()) == len(valid)


@pytest.mark.parametrize(
    ("before", "expire_old", "after"),
    [
        (ACME, 60, replace(ACME, secrets=(B, A), old_secret_until=NOW + 60)),
        (ACME, 0, replace(ACME, secrets=(B,))),
        (replace(ACME, secrets=()), 60, replace(ACME, secrets=(B,))),
        (replace(ACME, secrets=(C, A), old_secret_until=5), 9, replace(ACME, secrets=(B, C), old_secret_until=NOW + 9)),
        (replace(ACME, secrets=(C, A)), 0, replace(ACME, secrets=(B,))),
    ],
)  # fmt: skip
def test_only_the_newest_of_the_old_ones_stays(before: Webhook, expire_old: int, after: Webhook) -> None:
    assert with_new_secret(before, B, expire_old, NOW) == after


async def test_it_is_shown_once_and_kept_by_every_later_set(store: SqlStore) -> None:
    await store.put(ACME)
    rotated = await rotate_secret(store, "acme", "default", 60, NOW)
    assert rotated is not None
    assert len(secret_key(rotated.new_secret)) == 32
    assert (rotated.old_until, rotated.revision) == ("2026-11-18T11:07:40.000Z", 2)
    result = await set_webhook(store, SetArguments("acme", timeout_ms=5))
    assert result.webhook["old_secret_until"] == rotated.old_until
    assert rotated.new_secret not in str(result)
    (found,) = await store.load("acme")
    assert (found.secrets, found.old_secret_until) == ((rotated.new_secret, A), NOW + 60)
    await set_webhook(store, SetArguments("acme", secret=C))
    (found,) = await store.load("acme")
    assert (found.secrets, found.old_secret_until) == ((C,), None)


async def test_there_is_nothing_to_rotate_in_what_does_not_exist(store: SqlStore) -> None:
    assert await rotate_secret(store, "acme", "default", 60, NOW) is None


def test_the_end_is_written_and_read_with_the_secret() -> None:
    webhook = with_new_secret(ACME, B, 60, NOW)
    fields = fields_of(webhook)
    assert fields["secrets"] == [B, {"secret": A, "until": NOW + 60}]
    assert webhook_from({"instance": "acme", **fields}) == webhook
    assert shown(webhook)["old_secret_until"] == "2026-11-18T11:07:40.000Z"


@pytest.mark.parametrize(
    ("secrets", "said"),
    [
        ([{"secret": A, "until": 1}], "secrets: only the second can have an end"),
        ([B, {"secret": "whsec_x", "until": 1}], r"secrets\[1\].secret: must be whsec_"),
        ([B, {"secret": A}], r"secrets\[1\].until: is required"),
        ([B, {"secret": A, "until": -1}], r"secrets\[1\].until: "),
        ([5], r"secrets\[0\]: "),
    ],
)
def test_what_is_no_secret_is_refused_by_name(secrets: list[object], said: str) -> None:
    with pytest.raises(InvalidWebhook, match=said) as caught:
        webhook_from({"instance": "acme", "url": ACME.url, "secrets": secrets})
    assert "plain" not in str(caught.value)
