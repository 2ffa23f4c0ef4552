"""Who may do what: the key before everything, tokens within their instance, slower refusals."""

import pytest

from tests.api.conftest import KEY, Api, MakeApi
from worker.api.auth import FREE_FAILURES, LONGEST_DELAY, MOST_ADDRESSES, Authentication, Failures, _network
from worker.stores.own.store import SqlStore
from worker.webhooks.store import StoreUnavailable

URL = "https://h.example/x"
UNAUTHORIZED = {"status": 401, "error": "Unauthorized", "response": {"message": "Unauthorized"}}


async def owner(token: str) -> str | None:
    return {"acme-token": "acme"}.get(token)


@pytest.mark.parametrize("key", [None, "", "wrong", KEY.lower(), KEY + "x", KEY[:-1], "ключ"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/webhook/find/acme"), ("POST", "/webhook/set/acme"), ("PUT", "/webhook/set/acme"), ("GET", "/nope"),
     ("GET", "/webhook/find/%FF"), ("DELETE", "/webhook/acme"), ("GET", "/docs/"), ("GET", "/webhook")],
)  # fmt: skip
async def test_without_the_key_everything_is_401(api: Api, method: str, path: str, key: str | None) -> None:
    found = await api.call(method, path, key=key)
    assert (found.status, found.json) == (401, UNAUTHORIZED)
    assert "Allow" not in found.headers


async def test_401_comes_before_the_body_is_looked_at(api: Api) -> None:
    assert (await api.call("POST", "/webhook/set/acme", raw=b"{", key="wrong")).status == 401


async def test_repeated_failures_slow_down_and_the_right_key_never_waits(api: Api) -> None:
    for _ in range(FREE_FAILURES):
        await api.call("GET", "/webhook/find/acme", key="wrong")
    assert api.slept == []
    for _ in range(8):
        await api.call("GET", "/webhook/find/acme", key="wrong")
    assert api.slept == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, LONGEST_DELAY, LONGEST_DELAY]
    assert (await api.find("acme")).status == 200
    assert len(api.slept) == 8
    api.monotonic += 61
    await api.call("GET", "/webhook/find/acme", key="wrong")
    assert len(api.slept) == 8


def test_failures_are_remembered_for_a_bounded_number_of_addresses() -> None:
    failures = Failures(lambda: 0.0)
    for number in range(3 * MOST_ADDRESSES):
        assert failures.delay(str(number)) == 0
    assert len(failures._seen) == MOST_ADDRESSES


@pytest.mark.parametrize(
    ("address", "network"),
    [("203.0.113.9", "203.0.113.9"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"), ("::ffff:203.0.113.9", "203.0.113.9"),
     (None, ""), ("unix", "unix")],
)  # fmt: skip
def test_an_ipv6_network_counts_as_one_address(address: str | None, network: str) -> None:
    assert _network(address) == network


def test_an_empty_key_opens_nothing() -> None:
    with pytest.raises(ValueError, match="key"):
        Authentication("", None, Failures(lambda: 0.0))


async def test_a_token_reaches_its_own_instance(make_api: MakeApi, store: SqlStore) -> None:
    api = await make_api(store, token_owner=owner)
    body = {"enabled": True, "url": URL}
    for method, path, sent, status in (
        ("POST", "/webhook/set/acme", body, 201),
        ("POST", "/webhook/instance", {**body, "instance": "acme"}, 201),
        ("GET", "/webhook/find/acme", None, 200),
        ("POST", "/webhook/test/acme", None, 200),
        ("GET", "/webhook?instance=acme", None, 200),
        ("DELETE", "/webhook/acme", None, 200),
    ):
        assert (await api.call(method, path, sent, key="acme-token")).status == status


async def test_a_token_reaches_nothing_else(make_api: MakeApi, store: SqlStore) -> None:
    api = await make_api(store, token_owner=owner)
    await api.set("beta", {"url": URL})
    body = {"enabled": True, "url": URL}
    for method, path, sent in (
        ("POST", "/webhook/set/beta", body),
        ("POST", "/webhook/instance", {**body, "instance": "beta"}),
        ("POST", "/webhook/instance", {**body, "instanceName": "beta"}),
        ("POST", "/webhook/instance", {**body, "instance": ["acme"]}),
        ("GET", "/webhook/find/beta", None),
        ("GET", "/webhook/find/ACME", None),
        ("POST", "/webhook/test/beta", None),
        ("GET", "/webhook?instance=beta", None),
        ("DELETE", "/webhook/beta", None),
    ):
        found = await api.call(method, path, sent, key="acme-token")
        assert (found.status, found.json) == (401, UNAUTHORIZED)
    for path in ("/webhook/set/beta?instance=acme", "/webhook/instance?instance=acme"):
        found = await api.call("POST", path, {**body, "instanceName": "beta"}, key="acme-token")
        assert found.status == 400
    assert [item.webhook.url for item in await store.get("beta")] == [URL]
    assert (await api.call("GET", "/webhook", key="acme-token")).json == {"webhooks": [], "after": None}


async def test_a_token_source_that_is_down_is_503_for_tokens_only(make_api: MakeApi, store: SqlStore) -> None:
    async def down(_: str) -> str | None:
        raise StoreUnavailable("down")

    api = await make_api(store, token_owner=down)
    assert (await api.call("GET", "/webhook/find/acme", key="acme-token")).status == 503
    assert (await api.find("acme")).status == 200
