"""A choice that cannot be compiled is refused where it is set, with its place."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.choosing.made import chosen, webhook_with
from tests.domain.json_documents import ANY_TEXT, values
from worker.domain.choosing.choices import NONE_MADE
from worker.domain.choosing.document import read_filter
from worker.domain.choosing.operators import OPERATORS
from worker.domain.choosing.plan import plan_for
from worker.domain.choosing.timely import read_ttl
from worker.webhooks.fields import InvalidWebhook

DEEP: dict[str, Any] = {"a": 1}
for _ in range(8):
    DEEP = {"$not": DEEP}

REFUSED: list[tuple[object, str]] = [
    ({"$or": [{"data.n": 1}, {"data.n": {"$gt": None}}]}, "filter.$or[1].data.n.$gt: a number or a string, not null"),
    ({"data.n": {"$gt": True}}, "filter.data.n.$gt: a number or a string, not true"),
    ({"data.n": {"$gt": float("nan")}}, "filter.data.n.$gt: a number or a string, not NaN"),
    ({"data.n": {"$eq": [1]}}, "filter.data.n.$eq: a string, a number, true, false or null, not an array"),
    ({"data.n": {"$ne": {}}}, "filter.data.n.$ne: a string, a number, true, false or null, not an object"),
    (
        {"data.n": {"$in": "a"}},
        'filter.data.n.$in: a list with at least one string, number, true, false or null, not "a"',
    ),
    (
        {"data.n": {"$nin": []}},
        "filter.data.n.$nin: a list with at least one string, number, true, false or null, not an empty array",
    ),
    ({"data.n": {"$startsWith": ""}}, 'filter.data.n.$startsWith: a string with at least one character, not ""'),
    ({"data.n": {"$contains": 1}}, "filter.data.n.$contains: a string with at least one character, not 1"),
    ({"data.n": {"$exist": 1}}, "filter.data.n.$exist: true or false, not 1"),
    (
        {"data.n": {"$regex": "a"}},
        f"filter.data.n.$regex: no operator; there are {', '.join(OPERATORS)}, $and, $or, $not",
    ),
    ({"$eq": 1}, "filter.$eq: an operator stands below a path, as in `data.key.fromMe`"),
    ({"data": [1]}, 'filter.data: a value or an object, not an array; one of several values is {"$in": [...]}'),
    ({"data": {}}, "filter.data: at least one condition"),
    ({"$or": []}, "filter.$or: a list with at least one object, not an empty one"),
    ({"$and": {"a": 1}}, "filter.$and: a list with at least one object, not an object"),
    ({"$or": [{}]}, "filter.$or[0]: at least one condition"),
    ({"$or": [1]}, "filter.$or[0]: an object, not 1"),
    ({"$not": None}, "filter.$not: an object, not null"),
    ({"data.$x": 1}, "filter.data.$x: a path's keys do not start with $"),
    (
        {'data."': 1},
        "filter.data.\": a path's keys hold no quote, no control character, and a backslash before a dot alone",
    ),
    ({"a\\b": 1}, "filter.a\\b: a path's keys hold no quote, no control character, and a backslash before a dot alone"),
    (
        {"a\0b": 1},
        "filter.a\\u0000b: a path's keys hold no quote, no control character, and a backslash before a dot alone",
    ),
    *(
        (
            {f"data.a{char}b": 1},
            f"filter.data.a\\u{ord(char):04x}b: a path's keys hold no quote, no control character, and a backslash "
            "before a dot alone",
        )
        for char in "\u007f\u0085\u2028\u202e"
    ),
    *(
        ({path: 1}, f"filter.{path}: a path's keys are not empty: no dot at an end, nor two together")
        for path in ("", ".", "data.", ".data", "data..n")
    ),
    ({"a\ud83d": 1}, "filter: a key is text without unpaired surrogates"),
    ({"a": "\ud83d"}, 'filter.a: a string, a number, true, false or null, not "\\ud83d"'),
    ({".".join("a" * 17): 1}, f"filter.{'.'.join('a' * 17)}: at most 16 keys in a path"),
    (DEEP, f"filter{'.$not' * 8}: at most 8 objects deep"),
    ({"$or": [{"a": n} for n in range(33)]}, "filter: at most 64 conditions"),
    ({"a": "x" * 4100}, "filter: at most 4096 bytes as JSON, not 4108"),
    ("a", 'filter: an object, not "a"'),
    ([], "filter: an object, not an array"),
    (1, "filter: an object, not 1"),
]


@pytest.mark.parametrize(("value", "problem"), REFUSED)
def test_a_filter_is_refused_with_its_place(value: object, problem: str) -> None:
    compiled, problems = read_filter(value)
    assert compiled is None
    assert [str(found) for found in problems] == [problem]


def test_all_problems_are_told_at_once_up_to_a_number() -> None:
    places = [problem.place for problem in read_filter({"a": [], "b": {"$x": 1}, "c": 1})[1]]
    assert places == ["filter.a", "filter.b.$x"]
    assert len(read_filter({f"k{n}": [] for n in range(1000)})[1]) == 20


@pytest.mark.parametrize(
    "value", [{}, {"a": 1}, {"$or": [{"a": n} for n in range(32)]}, DEEP["$not"], {"a": "x" * 4088}]
)
def test_a_filter_at_its_limits(value: object) -> None:
    assert read_filter(value)[1] == []


@given(
    st.recursive(
        values(ANY_TEXT),
        lambda inner: st.dictionaries(
            st.sampled_from([*OPERATORS, "$and", "$or", "$not", "data", "a.b", "$x", "", "."]),
            inner | st.lists(inner),
            max_size=4,
        ),
    )
)
def test_no_value_makes_checking_raise(value: object) -> None:
    compiled, problems = read_filter(value)
    assert (compiled is None) == bool(problems)
    read = chosen({"filter": value, "ignore": value, "only_chats": value, "message_types": value})
    if read is not None:
        plan_for({"w": read})
    assert (read_ttl(value)[0] is None) == bool(read_ttl(value)[1])
    for field in ("latest_only", "ttl_seconds", "media", "thumbnails", "max_body_bytes"):
        chosen({field: value})


def test_a_value_of_boundless_depth_is_refused() -> None:
    value: object = 1
    for _ in range(5000):
        value = {"$and": [value]}
    assert "at most 8 objects deep" in str(read_filter(value)[1][0])


CHOICES: list[tuple[dict[str, object], str]] = [
    ({"ignore": "groups"}, "ignore: Input should be a valid list, not 'groups'"),
    ({"ignore": ["groups", "group"]}, "ignore[1]: 'group' is none of groups, status, channels, broadcasts, from_me"),
    (
        {"only_chats": ["+5511999999999"]},
        "only_chats[0]: '+5511999999999' is no JID (5511999999999@s.whatsapp.net, 1203630@g.us) and no phone "
        "number in digits",
    ),
    ({"except_chats": [5511]}, "except_chats[0]: Input should be a valid string, not 5511"),
    ({"message_types": ["image message"]}, "message_types[0]: 'image message' is no message type such as imageMessage"),
    ({"filter": 1}, "filter: an object, not 1"),
    ({"media": "no"}, "media: Input should be 'keep' or 'strip', not 'no'"),
    ({"thumbnails": True}, "thumbnails: Input should be 'keep' or 'strip', not true"),
    ({"max_body_bytes": 10}, "max_body_bytes: Input should be greater than or equal to 1024, not 10"),
    ({"max_body_bytes": True}, "max_body_bytes: Input should be a valid integer, not true"),
    ({"max_body_bytes": 2000.0}, "max_body_bytes: Input should be a valid integer, not 2000.0"),
    ({"latest_only": "CALL"}, "latest_only: Input should be a valid list, not 'CALL'"),
]


@pytest.mark.parametrize(("values", "problem"), CHOICES)
def test_a_choice_is_refused_with_its_place(values: dict[str, object], problem: str) -> None:
    with pytest.raises(InvalidWebhook) as caught:
        webhook_with(values)
    assert [str(found) for found in caught.value.problems] == [problem]


def test_a_list_has_its_bound() -> None:
    with pytest.raises(InvalidWebhook, match="only_chats: List should have at most 1000 items") as refused:
        webhook_with({"only_chats": ["1" * 8] * 1001})
    assert "1" * 8 not in str(refused.value), "the list is not repeated"


def test_choices_are_kept_in_one_spelling() -> None:
    read = chosen({"only_chats": ["5511:3@c.us", "5511@s.whatsapp.net", "55119999"], "ignore": ["status", "groups"]})
    assert read is not None
    assert read.only_chats == {"5511@s.whatsapp.net", "55119999"}
    assert read.ignore == ("groups", "status")


def test_nothing_chosen_costs_nothing() -> None:
    for fields in ({}, {"ignore": None, "filter": None}, {"ignore": [], "only_chats": []}, {"filter": {}}):
        read = chosen(fields)
        assert read is not None
        assert plan_for({"w": read, "v": NONE_MADE}) is None
