"""Client certificates and authorities of webhooks: what is taken, kept, shown and refused."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.support.tls import Authority
from tests.support.webhook_commands import set_webhook
from worker.basics.masking import MASK
from worker.domain.webhook import Tls, Webhook
from worker.stores.own.sealing import MARK, Sealer
from worker.stores.own.store import SqlStore
from worker.webhooks.commands import SetArguments, get_webhooks
from worker.webhooks.fields import InvalidWebhook, webhook_from
from worker.webhooks.transfer import Candidate, plan

URL = "https://h.example/x"
AUTHORITY = Authority()
PEM = AUTHORITY.client_certificate()
OTHER = AUTHORITY.client_certificate("other")
ENDED = AUTHORITY.client_certificate(days=-1)
BEGIN = "-----BEGIN CERTIFICATE-----"
KEY, CERTIFICATE = PEM[: PEM.index(BEGIN)], PEM[PEM.index(BEGIN) :]


def encrypted(pem: str) -> str:
    key = load_pem_private_key(pem.encode(), None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2")).decode()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    found = SqlStore(f"sqlite:///{tmp_path}/webhooks.db", lambda: 1_795_000_000_123, Sealer("A" * 43 + "="))
    await found.migrate()
    yield found
    await found.close()


@pytest.mark.parametrize("pem", [PEM, CERTIFICATE + KEY, CERTIFICATE + AUTHORITY.pem + KEY, f"# chain\n{PEM}\n"])
def test_certificate_and_key_are_taken_in_either_order_with_their_chain(pem: str) -> None:
    assert webhook_from({"instance": "acme", "url": URL, "client_certificate": pem}).tls == Tls(pem, None)


@pytest.mark.parametrize(
    ("field", "pem", "why"),
    [
        ("client_certificate", "hunter2", "holds no certificate"),
        ("client_certificate", KEY, "holds no certificate"),
        ("client_certificate", CERTIFICATE, "holds no private key"),
        ("client_certificate", KEY + CERTIFICATE.replace("\nMI", "\nAA"), "or a damaged one"),
        ("client_certificate", KEY.replace("\nM", "\nA") + CERTIFICATE, "damaged private key"),
        ("client_certificate", KEY + OTHER[OTHER.index(BEGIN) :], "not that of its first certificate"),
        ("client_certificate", AUTHORITY.pem + PEM, "not that of its first certificate"),
        ("client_certificate", encrypted(KEY) + CERTIFICATE, "encrypted private key"),
        ("client_certificate", PEM + "é", "outside ASCII"),
        ("client_certificate", PEM * 60, "at most 32768 characters"),
        ("ca", "hunter2", "holds no certificate"),
        ("ca", PEM, "holds a private key"),
        ("ca", KEY, "holds a private key"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason_and_never_quoted(field: str, pem: str, why: str) -> None:
    with pytest.raises(InvalidWebhook) as caught:
        webhook_from({"instance": "acme", "url": URL, field: pem})
    (problem,) = caught.value.problems
    assert problem.field == field
    assert why in problem.message
    assert not any(part in str(problem) for part in ("hunter2", "BEGIN PRIVATE KEY-----\n", KEY.splitlines()[1]))


async def test_it_is_sealed_and_masked_kept_and_cleared(store: SqlStore, tmp_path: Path) -> None:
    result = await set_webhook(store, SetArguments("acme", url=URL, client_certificate=PEM, ca=AUTHORITY.pem))
    assert (result.webhook["client_certificate"], result.webhook["ca"]) == (MASK, AUTHORITY.pem)
    (shown,) = await get_webhooks(store, "acme")
    assert KEY.splitlines()[1] not in str(shown)
    with closing(sqlite3.connect(tmp_path / "webhooks.db")) as connection:
        (sealed,) = connection.execute("SELECT client_certificate FROM webhooks").fetchone()
    assert sealed.startswith(MARK)
    await set_webhook(store, SetArguments("acme", timeout_ms=5))
    (kept,) = await store.load("acme")
    assert kept.tls == Tls(PEM, AUTHORITY.pem)
    assert KEY.splitlines()[1] not in repr(kept) + repr(kept.tls)
    await set_webhook(store, SetArguments("acme", client_certificate="", ca=""))
    assert await store.load("acme") == (Webhook("acme", URL, timeout_ms=5),)


async def test_an_expired_one_is_refused_where_it_is_set_and_stays_where_it_is(store: SqlStore) -> None:
    with pytest.raises(InvalidWebhook, match="client_certificate: has expired on 20"):
        await set_webhook(store, SetArguments("acme", url=URL, client_certificate=ENDED))
    await store.put(Webhook("acme", URL, client_certificate=ENDED))
    await set_webhook(store, SetArguments("acme", timeout_ms=5))
    assert (await store.load("acme"))[0].client_certificate == ENDED, "another field can be changed"
    with pytest.raises(InvalidWebhook, match="has expired"):
        await set_webhook(store, SetArguments("acme", client_certificate=f"{ENDED}\n"))
    assert webhook_from({"instance": "acme", "url": URL, "client_certificate": ENDED}).tls == Tls(ENDED), "as in a file"


async def test_an_import_is_held_to_the_same(store: SqlStore) -> None:
    given = [Candidate("acme", "default", {"url": URL, "client_certificate": ENDED})]
    given += [Candidate("other", "default", {"url": URL, "client_certificate": OTHER})]
    planned = await plan(store, given)
    assert [change.webhook.instance for change in planned.create] == ["other"]
    ((endpoint, why),) = planned.refused
    assert (endpoint.instance, "has expired on" in why) == ("acme", True)
