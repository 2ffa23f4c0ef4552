"""JSON text is read as its writer meant it, or refused."""

import json

import pytest

from worker.basics.depth import MOST_LEVELS, is_deeper, levels_of_json
from worker.basics.strict_json import NotStrict, SaidTwice, strict_json


def test_what_is_json_is_read() -> None:
    assert strict_json('{"a": [1, 1.5, null, {"b": "\\ud83d"}], "b": {}}') == {
        "a": [1, 1.5, None, {"b": "\ud83d"}],
        "b": {},
    }


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"a": 1, "a": 1}', "a"),
        ('{"a": [0, {"b": {"c": 1, "d": 2, "c": 3}}]}', "a[1].b.c"),
        ('{"a": {"b": 1, "b": 2}, "a": 3}', "a"),  # the first, with what is wrong in it, is not there any more
        ('[{"x": {"": 1, "": 2}}]', "[0].x."),
    ],
)
def test_a_key_that_is_there_twice_is_refused_with_its_place(text: str, place: str) -> None:
    with pytest.raises(SaidTwice, match="twice") as caught:
        strict_json(text)
    assert caught.value.place == place


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON: .* line 1 column 2"),
        ('{"a": NaN}', "holds NaN"),
        ("[-Infinity]", "holds -Infinity"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("9" * 5000, "too many digits"),
        ('{"a": 1, "b": 2, "c": 3}', "3 keys, 2 at most"),
    ],
)
def test_what_parsers_disagree_on_is_refused(text: str, words: str) -> None:
    with pytest.raises(NotStrict, match=words):
        strict_json(text, most_keys=2)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"a": [0, {"b": NaN}]}', "a[1].b"),
        ('{"a": 1, "b": {"c.d": ' + "9" * 5000 + "}}", "b.c.d"),
        ("[1, -Infinity, NaN]", "[1]"),
        ("NaN", ""),
    ],
)
def test_what_is_no_value_is_refused_with_its_place(text: str, place: str) -> None:
    with pytest.raises(NotStrict) as caught:
        strict_json(text)
    assert caught.value.place == place


@pytest.mark.parametrize(
    ("text", "levels"),
    [("", 0), ("1", 0), ("[]", 1), ('{"a":[1,{"b":[]}]}', 4), ('"[["', 0), (r'["\"[[",{}]', 2), ("[[[", 3), ("]]", 0)],
)
def test_levels_are_counted_outside_of_strings(text: str, levels: int) -> None:
    assert levels_of_json(text) == levels


def test_depth_has_one_limit_whatever_pythons_own_is() -> None:
    just, deeper = ("[" * levels + "]" * levels for levels in (MOST_LEVELS, MOST_LEVELS + 1))
    assert not is_deeper(strict_json(just))
    with pytest.raises(NotStrict, match="nested too deeply"):
        strict_json(deeper)
    assert is_deeper(json.loads(deeper))
    assert is_deeper({"a": json.loads(just)})
