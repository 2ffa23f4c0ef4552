"""The compiled filter against the plain reading of docs/filters.md, and against events made to hurt."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.domain.choosing import plain_filter
from tests.domain.choosing.made import chosen, event_of, event_with, passes, plan_of, raw_event, told
from tests.domain.json_documents import texts
from worker.domain.choosing.plan import plan_for
from worker.domain.event import parse

KEYS = st.sampled_from(["data", "a", "b", "a", "", "__proto__", "x.y", "é", "length"])
NUMBERS = [0, 1, 1.0, 2, 1.5, -0.0, 10**30, 10**30 + 1, 2**53, 2**53 + 1, float(2**53), 1e300]
SCALARS = st.sampled_from([None, True, False, "", "a", "ab", "b", "1", "é😀", *NUMBERS])
TORN = st.sampled_from(["a\ud83d", "\udc00"])
DATA = st.recursive(
    SCALARS | TORN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=12
)
EVENTS = st.fixed_dictionaries(
    {"event": st.just("messages.upsert"), "instance": st.just("acme")},
    optional={"data": DATA, "a": DATA, "sender": st.just("ab")},
)


def dotted(keys: list[str]) -> str:
    return ".".join(key.replace(".", "\\.") for key in keys)


PATHS = st.builds(dotted, st.lists(KEYS, min_size=1, max_size=3)) | st.builds(
    lambda keys: dotted(["data", *keys]), st.lists(KEYS, max_size=2)
)
OPERATIONS = (
    st.tuples(st.sampled_from(["$eq", "$ne"]), SCALARS)
    | st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(SCALARS, min_size=1, max_size=4))
    | st.tuples(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), st.sampled_from(["a", "ab", *NUMBERS]))
    | st.tuples(st.sampled_from(["$startsWith", "$endsWith", "$contains"]), st.sampled_from(["a", "b", "ab"]))
    | st.tuples(st.just("$exist"), st.booleans())
)
CONDITIONS = st.lists(OPERATIONS, min_size=1, max_size=2).map(dict)


def below(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Documents that may stand below a path: operators, longer paths, and groups of both."""
    return (
        st.dictionaries(PATHS, inner | SCALARS, min_size=1, max_size=2)
        | st.fixed_dictionaries({"$not": inner})
        | st.dictionaries(st.sampled_from(["$and", "$or"]), st.lists(inner, min_size=1, max_size=2), min_size=1)
    )


FILTERS = st.dictionaries(
    PATHS, st.recursive(CONDITIONS, below, max_leaves=4) | SCALARS, min_size=1, max_size=2
) | st.lists(st.dictionaries(PATHS, CONDITIONS, min_size=1, max_size=2), min_size=1, max_size=3).flatmap(
    lambda items: st.sampled_from([{"$or": items}, {"$and": items}, {"$not": items[0]}])
)


@settings(max_examples=300)
@given(EVENTS, FILTERS, st.data())
def test_the_compiled_filter_means_what_the_page_says(
    event: dict[str, Any], filter_: dict[str, Any], data: st.DataObject
) -> None:
    if chosen({"filter": filter_}) is None:
        return  # deeper or longer than allowed
    body = data.draw(texts(event)).encode()
    assert passes(parse(body), filter_) is plain_filter.passes(event, filter_), body


@given(EVENTS, st.lists(FILTERS, min_size=2, max_size=4))
def test_webhooks_of_one_instance_do_not_disturb_each_other(
    event: dict[str, Any], filters: list[dict[str, Any]]
) -> None:
    read = {at: chosen({"filter": filter_}) for at, filter_ in enumerate(filters)}
    plan = plan_for({at: choices for at, choices in read.items() if choices is not None})
    if plan is None:
        return
    parsed = event_of(event)
    view = plan.read(parsed.fields)
    for _ in range(2):
        for at, choices in read.items():
            if choices is not None:
                assert (plan.refusal(at, view) is None) is plain_filter.passes(event, filters[at])


@pytest.mark.parametrize(
    ("data", "filter_", "expected"),
    [
        (b'{"n":1,"n":2}', {"data.n": 2}, True),
        (b'{"n":1,"n":2}', {"data.n": 1}, False),
        (b'{"k":{"n":1},"k":"x"}', {"data.k.n": 1}, False),
        (b'{"k":{"n":1,"m":1},"k":{"m":2}}', {"data.k.n": {"$exist": False}}, True),
        (b'{"k":{"n":1},"k":"x","t":"\\ud83d"}', {"data.k.n": 1}, False),
        (b'{"\\u006e":1}', {"data.n": 1}, True),
        (b'{"n":1e400}', {"data.n": {"$gt": 10**300}}, True),
        (b'{"n":-1e400}', {"data.n": {"$lt": 0}}, True),
        (b'{"n":' + b"9" * 5000 + b"}", {"data.n": {"$gt": 1}}, True),
        (b'{"n":-' + b"9" * 5000 + b"}", {"data.n": {"$gt": 1}}, False),
        (b'{"n":1e-99999}', {"data.n": 0}, True),
        (b'{"n":1.0e0}', {"data.n": 1}, True),
        (b'{"n":"\xff","m":1}', {"data.m": 1}, True),
        (b'{"n":"a\xff"}', {"data.n": {"$startsWith": "a"}}, True),
        (b'{"n":"\\u0000"}', {"data.n": "\0"}, True),
        (b'{"t":"\\ud83d","n":' + b"9" * 5000 + b"}", {"data.n": {"$gt": 1}}, True),
    ],
)
def test_what_only_wire_text_can_say(data: bytes, filter_: object, expected: bool) -> None:
    assert passes(raw_event(data), filter_) is expected


def test_the_clause_that_decided_is_named() -> None:
    event = event_with({"n": 3, "t": "x" * 100, "list": [1, 2], "o": {}, "torn": "\ud83d"})
    assert told(event, {"filter": {"data.n": {"$gt": 2, "$lt": 3}}}) == "filter.data.n.$lt: 3 is not less than 3"
    assert told(event, {"filter": {"data.list": 3}}) == "filter.data.list: each of 2 values is not 3"
    assert told(event, {"filter": {"data.o": 3}}) == "filter.data.o: an object is not 3"
    assert told(event, {"filter": {"data.torn": "a"}}) == 'filter.data.torn: "\\ud83d" is not "a"'
    assert told(event, {"filter": {"data": {"n": 1}}}) == "filter.data.n: 3 is not 1"
    assert told(event, {"filter": {"data.t": "y"}}) == f'filter.data.t: "{"x" * 60}"... is not "y"'
    assert (
        told(event, {"filter": {"data.n": {"$exist": False}}}) == "filter.data.n.$exist: 3, and $exist asks for false"
    )
    inner = {"$and": [{"data.n": 3}, {"data.n": {"$in": [4, 5]}}]}
    assert told(event, {"filter": inner}) == "filter.$and[1].data.n.$in: 3 is not in the list"


WORST: dict[str, object] = {
    "ignore": ["groups", "status", "from_me"],
    "filter": {"$or": [{f"data.a.b.c{n}": {"$nin": ["x", 1]}, "data.a": {"$contains": "q"}} for n in range(20)]},
}
HOSTILE = {
    "900 arrays deep": b"[" * 900 + b"]" * 900,
    "900 objects deep": b'{"a":' * 900 + b"1" + b"}" * 900,
    "deep beside": b'{"q":' + b"[" * 900 + b"]" * 900 + b',"a":1}',
    "deep and torn": b'{"t":"\\ud83d","q":' + b"[" * 900 + b"]" * 900 + b"}",
    "100,000 elements": b"[" + b",".join([b'{"a":{"b":[1,2]}}'] * 100_000) + b"]",
    "100,000 empty arrays": b"[" + b",".join([b"[]"] * 100_000) + b"]",
    "elements within": b'{"a":[' + b",".join([b'{"b":[1,2]}'] * 100_000) + b"]}",
    "strings within": b'{"a":[' + b",".join([b'"x"'] * 100_000) + b"]}",
    "elements and torn": b'{"t":"\\ud83d","a":[' + b",".join([b'{"b":1}'] * 100_000) + b"]}",
    "many keys": b"{" + b",".join(b'"k%d":1' % n for n in range(50_000)) + b"}",
    "many digits": b'{"a":' + b"9" * 1_000_000 + b"}",
    "one long string": b'{"a":"' + b"x" * 1_000_000 + b'"}',
}


MOST_CALLS = 2_000_000
"""For a megabyte of JSON; it takes 1.4 million where a lone surrogate makes each of 100,000 elements be read anew."""


@contextmanager
def calls_counted() -> Iterator[list[int]]:
    """What the interpreter calls meanwhile, its own functions and those in C: the same number on every machine."""
    counted = [0]

    def on_event(_frame: FrameType, what: str, _argument: object) -> None:
        counted[0] += what in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(on_event)
    try:
        yield counted
    finally:
        sys.setprofile(before)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_event_is_much_work(name: str) -> None:
    event, plan = raw_event(HOSTILE[name]), plan_of(WORST)
    assert plan is not None
    with calls_counted() as counted:
        plan.refusal("w", plan.read(event.fields))
        plan.explain("w", plan.read(event.fields))
    assert 0 < counted[0] < MOST_CALLS


def test_an_event_that_is_too_much_passes() -> None:
    filter_ = {"filter": {"data.a": "y"}}
    assert told(event_with({"a": ["x"] * 10_001}), filter_) is None
    assert told(event_with({"a": ["x"] * 5_000}), filter_) is not None
    assert told(event_with([{"a": "x"}] * 10_001), filter_) is None
    assert told(event_with([{"a": "x"}] * 5_000), filter_) is not None


def test_an_event_that_no_decoder_reads_passes() -> None:
    plan = plan_of({"filter": {"data.a": "y"}})
    assert plan is not None
    nested = b"[" * 3_000_000 + b"]" * 3_000_000  # beyond the limits of every Python
    for deep in (nested, b'{"t":"\\ud83d","q":' + nested + b"}"):
        view = plan.read({"data": deep})
        assert plan.refusal("w", view) is None
        assert plan.explain("w", view) is None


@settings(max_examples=150)
@given(st.recursive(SCALARS | TORN | st.text(), lambda i: st.lists(i) | st.dictionaries(KEYS | st.text(), i)), FILTERS)
def test_no_event_makes_it_raise(data: object, filter_: dict[str, Any]) -> None:
    read = chosen({"filter": filter_, **{k: v for k, v in WORST.items() if k != "filter"}, "message_types": ["a"]})
    plan = plan_for({"w": read}) if read is not None else None
    if plan is not None:
        event = event_of({"event": "x", "instance": "acme", "data": data, "a": data})
        words = plan.explain("w", plan.read(event.fields))
        assert words is None or json.dumps(words)
