"""JSON text is read as its writer meant it, or refused."""

import pytest

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
