"""Evolution's webhooks as they are stored, read as what Evolution sends: rows and API answers alike."""

from __future__ import annotations

import json

import pytest

from worker.domain.request.build import problem_with
from worker.domain.request.own_headers import own_headers
from worker.domain.target import target_of
from worker.domain.webhook import Webhook
from worker.stores.evolution.http import candidate
from worker.stores.evolution.row import Row, stored
from worker.stores.evolution.sent import is_marked, sent, url_sent
from worker.webhooks.fields import webhook_from
from worker.webhooks.store import RowDamaged

URL = "https://h.example/x"

URLS = {
    f"  {URL}\n": URL,
    f"\t{URL} \r\n": URL,
    f"\x00\x1f{URL}\x0b": URL,
    f" worker+{URL} ": URL,
    f"Worker+{URL}": URL,
    f"worker+ {URL}": URL,
    "https://h.exa\nmple/\tx": URL,
    "https://h.example/a b?c d#e f": "https://h.example/a%20b?c%20d#e%20f",
    "https://h.example/a\x01b\x7f": "https://h.example/a%01b%7F",
    "https:///h.example/x": URL,
    "https://h.example\\a\\b?c=\\d": "https://h.example/a/b?c=\\d",
    "HTTPS://h.example/é%2F?t=%27|": "HTTPS://h.example/é%2F?t=%27|",
    "https://h.example/\u00a0": "https://h.example/\u00a0",
    "ftp://h.example/ x": "ftp://h.example/ x",
    "": "",
}


@pytest.mark.parametrize(("written", "read"), URLS.items())
def test_a_url_is_read_as_axios_reads_it(written: str, read: str) -> None:
    assert url_sent(written) == read


def test_a_pasted_mark_is_a_mark() -> None:
    assert is_marked(" \nworker+https://h/")
    assert is_marked("Worker+HTTPS://h/")
    assert not is_marked("https://worker+h/")


HEADERS = {
    "numbers": ({"X-N": 5, "X-F": 1.5, "X-Big": 10.0, "X-Z": 0}, {"X-N": "5", "X-F": "1.5", "X-Big": "10", "X-Z": "0"}),
    "booleans": ({"X-T": True, "X-F": False}, {"X-T": "true"}),
    "null": ({"X-A": None, "X-B": "b"}, {"X-B": "b"}),
    "nested": ({"X-O": {"a": 1}, "X-L": ["a", 1, None]}, {"X-O": "[object Object]", "X-L": "a, 1, null"}),
    "by case the last": ({"X-A": "1", "x-a": "2", "X-B": "3", "X-a": "4"}, {"X-A": "4", "X-B": "3"}),
    "by case the last is null": ({"X-A": "1", "x-a": None}, {}),
    "pasted": ({" X-A\n": " v\r\n", "X-B": "a  b"}, {"X-A": "v", "X-B": "a  b"}),
    "empty": ({}, {}),
    "none": (None, {}),
}


@pytest.mark.parametrize(("written", "read"), HEADERS.values(), ids=HEADERS.keys())
def test_headers_are_read_as_axios_sends_them(written: object, read: dict[str, str]) -> None:
    found = Row("acme", URL, json.dumps(written), True, None, False, False, None, 1)
    row = stored(found, take_all=True)
    assert row is not None
    assert own_headers(row.webhook, 0) == read
    imported = candidate("acme", {"url": URL, "enabled": True, "headers": written})
    assert imported is not None
    assert imported.fields["headers"] == read


@pytest.mark.parametrize("key", [None, 5, True, {"a": 1}, ""])
def test_a_key_that_signs_nothing_is_named(key: object) -> None:
    row = stored(Row("acme", URL, json.dumps({"jwt_key": key}), True, None, False, False, None, 1), take_all=True)
    assert row is not None
    assert problem_with(row.webhook) == "the value of header 'jwt_key' is empty, so it signs nothing"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (None, []),
        ([], []),
        (["NEW_THING", "call", "GROUP_UPDATE", "CALL"], ["CALL", "GROUPS_UPDATE", "NEW_THING"]),
        (["CALL", None, 5], ["CALL"]),
    ],
)
def test_events_are_read_whatever_their_version(written: object, read: list[str]) -> None:
    row = stored(Row("acme", URL, None, True, json.dumps(written), False, False, None, 1), take_all=True)
    imported = candidate("acme", {"url": URL, "enabled": True, "events": written})
    assert row is not None
    assert imported is not None
    assert row.webhook.events == frozenset(read)
    assert webhook_from({"instance": "acme", **imported.fields}, imported.words) == row.webhook


@pytest.mark.parametrize(
    ("column", "value"), [("headers", ["x"]), ("headers", "x"), ("events", {"a": 1}), ("events", [5])]
)
def test_what_evolution_could_not_send_either_is_refused_by_its_column(column: str, value: object) -> None:
    columns = {"headers": None, "events": None, column: json.dumps(value)}
    row = Row("acme", URL, columns["headers"], True, columns["events"], False, False, None, 1)
    with pytest.raises(RowDamaged, match=f"column `{column}`"):
        stored(row, take_all=True)


def test_truth_is_javascripts() -> None:
    fields = sent(URL, None, None, "yes", 1, 0)
    assert (fields["enabled"], fields["by_events"], fields["base64"]) == (True, True, False)


@pytest.mark.parametrize(
    ("webhook", "problem"),
    [
        (
            Webhook("acme", url_sent("https://h .example/")),
            "the host of the webhook's URL is not a valid name: it has a %",
        ),
        (Webhook("acme", URL, headers=(("X Y", "1"),)), "the header name 'X Y' is empty or holds a character"),
        (Webhook("acme", URL, headers=(("X-Y", "hunter2\nx"),)), "the value of header 'X-Y' holds a control character"),
        (Webhook("acme", URL, secrets=("whsec_!",)), "a signing secret must be whsec_"),
    ],
)
def test_what_cannot_be_sent_is_named_without_a_value(webhook: Webhook, problem: str) -> None:
    found = problem_with(webhook)
    assert found is not None
    assert found.startswith(problem)
    assert "hunter2" not in found


def test_a_url_as_evolution_has_it_can_be_sent() -> None:
    assert (
        str(target_of(url_sent(" https://h.example/a b/é?sig=%2F \n")).sent) == "https://h.example/a%20b/%C3%A9?sig=%2F"
    )
