"""The fields of a webhook: what is accepted, and what a refusal says."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.names import KNOWN
from worker.domain.webhook import RateLimit, Webhook
from worker.stores.own.row import COLUMNS, from_row, to_row
from worker.webhooks.checks import EVENTS
from worker.webhooks.fields import InvalidWebhook, warnings, webhook_from

SECRET = "whsec_" + base64.b64encode(bytes(32)).decode()
LEAST: dict[str, Any] = {"instance": "acme", "url": "https://h.example/x"}


def problems(**fields: Any) -> dict[str, str]:
    with pytest.raises(InvalidWebhook) as caught:
        webhook_from({**LEAST, **fields})
    return {problem.field: problem.message for problem in caught.value.problems}


def test_instance_and_url_are_enough() -> None:
    assert webhook_from(LEAST) == Webhook("acme", "https://h.example/x")


def test_every_field_is_taken() -> None:
    assert webhook_from(
        {
            **LEAST,
            "id": "audit-2.b_c",
            "enabled": False,
            "events": ["messages.upsert", "GROUP_UPDATE", "messages-set"],
            "by_events": True,
            "base64": True,
            "headers": {"X-A": "1", "jwt_key": "k"},
            "secrets": [SECRET],
            "timeout_ms": 300_000,
            "concurrency": 1000,
            "rate_limit": {"per_second": 10, "burst": 20},
        }
    ) == Webhook(
        instance="acme",
        url="https://h.example/x",
        id="audit-2.b_c",
        enabled=False,
        events=frozenset({"MESSAGES_UPSERT", "GROUPS_UPDATE", "MESSAGES_SET"}),
        by_events=True,
        base64=True,
        headers=(("X-A", "1"), ("jwt_key", "k")),
        secrets=(SECRET,),
        timeout_ms=300_000,
        concurrency=1000,
        rate_limit=RateLimit(10, 20),
    )


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_every_known_event_is_accepted(name: str) -> None:
    assert webhook_from({**LEAST, "events": [name]}).events == {name}


def test_all_problems_come_at_once_in_the_order_of_the_fields() -> None:
    found = problems(id="global", url="ftp://h", events=["MESAGES_UPSERT"], timeout_ms=0, colour="red")
    assert found == {
        "id": "'global' is reserved for the operator's global webhook",
        "url": "must begin with http:// or https://",
        "events[0]": "'MESAGES_UPSERT' is not an event; the nearest is MESSAGES_UPSERT",
        "timeout_ms": "Input should be greater than or equal to 1, not 0",
        "colour": "is not a field of a webhook",
    }


@pytest.mark.parametrize(
    ("written", "nearest"),
    [("MESAGES_UPSERT", "MESSAGES_UPSERT"), ("calls", "CALL"), ("qr", "QRCODE_UPDATED"), ("status", "STATUS_INSTANCE")],
)
def test_a_slip_in_an_events_name_gets_the_one_that_was_meant(written: str, nearest: str) -> None:
    assert problems(events=[written])["events[0]"].endswith(f"is not an event; the nearest is {nearest}")


@pytest.mark.parametrize("written", ["ORDER_CREATED", "*", "", "x" * 500])
def test_a_name_that_resembles_no_event_gets_three_that_are_known(written: str) -> None:
    found = problems(events=[written])["events[0]"]
    assert "nearest" not in found
    assert set(found.partition("such are ")[2].split(", ")) <= {*EVENTS}
    assert found.count(", ") == 2


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("instance", "", "must not be empty"),
        ("instance", "x" * 256, "must have at most 255 characters, not 'xxx"),
        ("id", "a b", "may have letters without accents, digits, dots, dashes and underscores alone, not 'a b'"),
    ],
)
def test_what_is_wrong_with_a_text_is_said_in_plain_words(field: str, value: str, words: str) -> None:
    assert problems(**{field: value})[field].startswith(words)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InvalidWebhook, match="instance: is required; url: is required"):
        webhook_from({})


@pytest.mark.parametrize(
    ("field", "value"),
    [("instance", ""), ("instance", "a\n"), ("instance", "x" * 256), ("instance", "\ud83d"), ("id", "a b"),
     ("id", "a\n"), ("id", "x" * 65), ("url", "https://"), ("url", "h.example"), ("url", "https://h/ x"), ("url", "https://h/\ud83d"),
     ("url", "https://h/" + "x" * 8192), ("enabled", "true"), ("enabled", 1), ("by_events", None), ("events", "CALL"),
     ("timeout_ms", 300_001), ("timeout_ms", "5"), ("timeout_ms", True), ("concurrency", 0), ("concurrency", 1001),
     ("headers", [["X", "y"]]), ("headers", {"X Y": "z"}), ("headers", {"X": "a\r\nb"}), ("headers", {"": "z"}),
     ("headers", {"X": "1", "x": "2"}), ("headers", {f"X-{n}": "1" for n in range(65)}), ("rate_limit", 5),
     ("secrets", [SECRET] * 3), ("secrets", SECRET)],
)  # fmt: skip
def test_what_is_wrong_is_refused_by_its_name(field: str, value: Any) -> None:
    assert list(problems(**{field: value})) == [field]


@pytest.mark.parametrize(
    ("rate", "field"),
    [({"per_second": 0}, "per_second"), ({"per_second": float("nan")}, "per_second"), ({"burst": 2}, "per_second"),
     ({"per_second": 1, "burst": 0}, "burst"), ({"per_second": 1, "per_minute": 2}, "per_minute")],
)  # fmt: skip
def test_what_is_wrong_in_a_rate_limit_is_named_within_it(rate: dict[str, float], field: str) -> None:
    assert list(problems(rate_limit=rate)) == [f"rate_limit.{field}"]


@pytest.mark.parametrize("secret", ["hunter2", "whsec_hunter2", "whsec_" + base64.b64encode(bytes(23)).decode(),
                                    "whsec_" + base64.b64encode(bytes(65)).decode()])  # fmt: skip
def test_a_bad_secret_is_refused_and_not_shown(secret: str) -> None:
    found = problems(secrets=[secret])
    assert found == {"secrets[0]": "must be whsec_ followed by the base64 of 24 to 64 bytes"}


def test_no_refusal_shows_header_values_or_url_credentials() -> None:
    found = problems(headers={"X": "hunter2\n", "Y": 5}, url="ftp://user:hunter2@h")
    assert set(found) == {"headers.Y", "url"}
    assert "hunter2" not in str(found)


def test_a_value_of_boundless_depth_is_refused_without_being_quoted() -> None:
    value: object = 1
    for _ in range(5000):
        value = [value]
    assert "nested so deeply" in problems(media=value)["media"]
    assert "nested so deeply" in problems(ignore=[value])["ignore[0]"]


def test_what_does_less_than_expected_is_warned_of() -> None:
    webhook = webhook_from({**LEAST, "base64": True, "headers": {"Content-Type": "text/plain", "jwt_key": "k"}})
    first, second = warnings(webhook)
    assert "'Content-Type'" in first
    assert "webhook_base64" in second
    assert warnings(webhook_from(LEAST)) == ()


texts = st.text(st.characters(codec="utf-8"), max_size=20)


@given(
    st.builds(
        Webhook,
        instance=texts,
        url=texts,
        id=texts,
        events=st.frozensets(texts, max_size=3),
        headers=st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
        secrets=st.lists(texts, max_size=2).map(tuple),
        timeout_ms=st.none() | st.integers(1, 300_000),
        rate_limit=st.none() | st.builds(RateLimit, st.floats(0.001, 10_000), st.integers(1, 100)),
        disabled_reason=st.none() | texts,
    )
)
def test_every_webhook_survives_its_row(webhook: Webhook) -> None:
    row = {**to_row(webhook), "revision": 3, "created_at": 1, "updated_at": 2, "failing_since": None}
    assert from_row([row[column] for column in COLUMNS]).webhook == webhook


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(COLUMNS), values))
def test_whatever_is_given_the_answer_is_a_webhook_or_its_problems(fields: dict[str, object]) -> None:
    try:
        problems = tuple(str(webhook_from(fields)))
    except InvalidWebhook as error:
        problems = error.problems
    assert problems
