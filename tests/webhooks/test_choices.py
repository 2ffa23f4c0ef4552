"""The fields by which a webhook chooses: taken in each form, refused with the place, kept through file and row."""

from typing import Any

import pytest

from worker.domain.webhook import Webhook
from worker.stores.file.format import parse, written
from worker.stores.own.row import COLUMNS, from_row, to_row
from worker.webhooks.declaration import BY_NAME
from worker.webhooks.documents import Filter, Seconds
from worker.webhooks.fields import InvalidWebhook, fields_of, warnings, webhook_from
from worker.webhooks.kind import Damaged
from worker.webhooks.store import RowDamaged

URL = "https://h.example/x"
ALL: dict[str, Any] = {
    "ignore": ["groups", "from_me"],
    "only_chats": ["5511999999999", "1203630@g.us"],
    "except_chats": ["5511:12@c.us"],
    "message_types": ["imageMessage"],
    "filter": {"data.pushName": None, "$or": [{"data.n": {"$gte": 1.5}}, {"data.a\\.b": "é"}]},
    "media": "strip",
    "thumbnails": "strip",
    "max_body_bytes": 2048,
    "ttl_seconds": {"qrcode.updated": 60, "CALL": 0.5},
    "latest_only": ["presence.update"],
}


def made(**fields: object) -> Webhook:
    return webhook_from({"instance": "acme", "url": URL, **fields})


def refused(**fields: object) -> str:
    with pytest.raises(InvalidWebhook) as caught:
        made(**fields)
    return str(caught.value)


def test_values_are_canonical() -> None:
    webhook = made(**ALL)
    assert webhook.except_chats == {"5511@s.whatsapp.net"}
    assert webhook.ttl_seconds == (("CALL", 0.5), ("QRCODE_UPDATED", 60.0))
    assert webhook.latest_only == {"PRESENCE_UPDATE"}
    assert fields_of(webhook)["filter"] == ALL["filter"]
    assert (webhook.chooses, webhook.slims) == (True, True)


def test_they_survive_a_file_and_a_row() -> None:
    webhook = made(**ALL)
    assert parse(written([webhook], with_secrets=True).encode()) == (webhook,)
    row = {**to_row(webhook), "revision": 1, "created_at": 1, "updated_at": 1, "failing_since": None}
    assert from_row([row[column] for column in COLUMNS]).webhook == webhook


def test_null_and_what_is_empty_choose_nothing() -> None:
    plain = made()
    assert not plain.chooses
    assert not plain.slims
    assert made(**dict.fromkeys(ALL)) == plain
    empty = {name: type(value)() for name, value in ALL.items() if isinstance(value, list | dict)}
    assert made(**empty) == plain


def test_a_filter_may_be_its_json_as_text() -> None:
    assert made(filter='{ "data.n" : null }').filter == '{"data.n":null}'


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"filter": {"$or": [{"data.a": 1}, {"data.n": {"$gt": None}}]}},
            "filter.$or[1].data.n.$gt: a number or a string, not null",
        ),
        ({"filter": {"a": {"$regex": "x"}}}, "filter.a.$regex: no operator; there are $eq, $ne,"),
        ({"filter": {"a": {"$in": []}, "b": []}}, "filter.b: a value or an object, not an array"),
        ({"filter": "{"}, "filter: '{' is not JSON: "),
        ({"filter": {"data.n": 10**30}}, "filter: whole numbers fit 64 bits"),
        ({"filter": 5}, "filter: an object, not 5"),
        ({"filter": '{"$or":[{"data.n":1,"data.n":2}]}'}, "filter.$or[0].data.n: is there twice"),
        ({"filter": f'{{"data.n":{10**30}}}'}, "filter: whole numbers fit 64 bits"),
        ({"filter": '{"data.n":1e999}'}, "filter.data.n: a string, a number, true, false or null, not Infinity"),
        ({"filter": '{"data.n":-Infinity}'}, "holds -Infinity, which is not JSON"),
        ({"filter": '{"a":' * 5000}, "is nested too deeply"),
        ({"ttl_seconds": {"CALL": 1, "call": 2}}, "ttl_seconds.call: is CALL in another spelling"),
        (
            {"ignore": ["groups", "grups"]},
            "ignore[1]: 'grups' is none of groups, status, channels, broadcasts, from_me",
        ),
        ({"only_chats": ["ana"]}, "only_chats[0]: 'ana' is no JID (5511999999999@s.whatsapp.net"),
        ({"except_chats": ["+5511999"]}, "except_chats[0]: '+5511999' is no JID"),
        ({"message_types": ["image message"]}, "message_types[0]: 'image message' is no message type such as"),
        ({"media": "drop"}, "media: Input should be 'keep' or 'strip', not 'drop'"),
        ({"max_body_bytes": 1023}, "max_body_bytes: Input should be greater than or equal to 1024, not 1023"),
        ({"ttl_seconds": {"QRCODE_UPDATED": 0}}, "ttl_seconds.QRCODE_UPDATED: a number of seconds, above 0"),
        (
            {"ttl_seconds": {"QRCODE_UPDATD": 1}},
            "ttl_seconds.QRCODE_UPDATD: is not an event; the nearest is QRCODE_UPDATED",
        ),
        (
            {"latest_only": ["PRESENCE_UPDAT"]},
            "latest_only[0]: 'PRESENCE_UPDAT' is not an event; the nearest is PRESENCE_UPDATE",
        ),
        ({"latest_only": ["ALL"]}, "latest_only[0]: 'ALL' is a category of Evolution Go's: name each event"),
        (
            {"ttl_seconds": {"CONNECTION": 5}},
            "ttl_seconds.CONNECTION: is a category of Evolution Go's: name each event",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(fields: dict[str, object], said: str) -> None:
    assert said in refused(**fields)


def test_each_problem_of_a_filter_is_told_beside_those_of_other_fields() -> None:
    said = refused(filter={"a": {"$gt": True}, "$b": 1}, media="x")
    assert said.count(";") >= 2
    assert "filter.a.$gt" in said
    assert "filter.$b" in said
    assert "media" in said


@pytest.mark.parametrize(
    ("name", "typed", "plain"),
    [
        ("ignore", ["groups,from_me"], ["groups", "from_me"]),
        ("ignore", [""], []),
        ("only_chats", ["5511999999999", "1@g.us"], ["5511999999999", "1@g.us"]),
        ("filter", '{"data.n": null}', {"data.n": None}),
        ("filter", "", {}),
        ("ttl_seconds", ["QRCODE_UPDATED=60, CALL=0.5"], {"QRCODE_UPDATED": 60.0, "CALL": 0.5}),
        ("ttl_seconds", [""], {}),
        ("max_body_bytes", "2048", 2048),
        ("max_body_bytes", "", None),
        ("timeout_ms", "", None),
        ("concurrency", "", None),
        ("rate_limit", "", None),
        ("media", "", None),
        ("headers", [""], {}),
        ("ignore", ["groups,", ""], ["groups"]),
    ],
)
def test_each_is_typed_on_the_command_line(name: str, typed: Any, plain: object) -> None:
    assert BY_NAME[name].kind.typed(typed) == plain


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("filter", "{", "is not JSON"),
        ("filter", '{"data":{"n":1,"n":2}}', "filter.data.n: is there twice"),
        ("filter", '{"data.n":NaN}', "filter.data.n: holds NaN"),
        ("filter", "[" * 5000, "nested too deeply"),
        ("ttl_seconds", ["QRCODE_UPDATED"], "EVENT=SECONDS"),
        ("ttl_seconds", ["CALL=1,CONTACTS_SET=nan"], 'ttl_seconds.CONTACTS_SET: .* not "CONTACTS_SET=nan"'),
        ("ttl_seconds", ["CALL=-1", "CALL="], 'ttl_seconds.CALL: .*, not "CALL=-1"; ttl_seconds: .*, not "CALL"'),
        ("ttl_seconds", ["CALL=1", "call=2"], "names CALL twice"),
        ("ttl_seconds", [","], "nothing between its commas"),
        ("only_chats", ["groups", ",,"], "nothing between its commas"),
        ("events", [" , "], "nothing between its commas"),
    ],
)
def test_what_cannot_be_read_is_said(name: str, typed: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        BY_NAME[name].kind.typed(typed)


def test_a_path_that_no_known_event_has_is_warned_of() -> None:
    """An Evolution newer than the worker may send it, so it is not refused."""
    (warning,) = warnings(made(filter={"dta.n": 1, "$or": [{"data.n": 1}, {"dta.m": {"$exist": True}}]}))
    assert warning.startswith('filter: no event known here has "dta" at its top, so it is taken as absent; there are')
    assert warnings(made(filter={"instanceName": "acme", "data": {"n": 1}})) == ()


def test_a_slip_in_a_message_type_is_warned_of() -> None:
    """A WhatsApp newer than the worker may have the type, so it is not refused."""
    types = ["imageMessage", "imageMesage", "audio", "text", "somethingElseAltogether"]
    assert warnings(made(message_types=types)) == (
        'message_types: "audio" is no message type known here: is audioMessage meant?',
        'message_types: "imageMesage" is no message type known here: is imageMessage meant?',
    )


@pytest.mark.parametrize("stored", ['{"a":{"$regex":"x"}}', "[]", "{", 5, '{"$or":[]}'])
def test_a_row_whose_filter_cannot_be_compiled_is_damaged(stored: object) -> None:
    with pytest.raises(Damaged):
        Filter().read(stored)
    row: dict[str, object] = {**to_row(made()), "revision": 1, "created_at": 1, "updated_at": 1, "failing_since": None}
    with pytest.raises(RowDamaged, match="`filter` of webhook 'default' of instance 'acme'"):
        from_row([{**row, "filter": stored}[column] for column in COLUMNS])


@pytest.mark.parametrize("stored", ["[]", '{"CALL":"x"}', '{"CALL":-1}', "x", None])
def test_a_row_with_other_seconds_is_damaged(stored: object) -> None:
    with pytest.raises(Damaged):
        Seconds().read(stored)
