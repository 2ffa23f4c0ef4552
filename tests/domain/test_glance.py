"""A glance at a message never says anything else than parsing it does."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.json_documents import ANY_TEXT, members, objects
from tests.proof.fuzz.mutations import changed_bytes
from tests.support.captures import EVOLUTION_1, EVOLUTION_2, EVOLUTION_24, EVOLUTION_GO, load
from worker.domain.event import LONGEST_NAME, MOST_KEYS, InvalidEvent, parse
from worker.domain.glance import Glance, glance

CAPTURED = [one.body for name in (EVOLUTION_1, EVOLUTION_2, EVOLUTION_24, EVOLUTION_GO) for one in load(name)]


def parsed(body: bytes) -> Glance | None:
    try:
        event = parse(body)
    except InvalidEvent:
        return None
    return Glance(event.kind, event.instance)


@pytest.mark.parametrize("name", [EVOLUTION_1, EVOLUTION_2, EVOLUTION_24])
def test_whatever_evolution_api_published_is_seen(name: str) -> None:
    for one in load(name):
        assert glance(one.body) == parsed(one.body) is not None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"instanceName":"go","event":"Message","data":{}}', id="Evolution Go"),
        pytest.param(b'{"event":"call","instance":"a","data":"\\ud83d"}', id="a torn emoji"),
        pytest.param(b'{"event":"call","instance":"a","\xff":1}', id="a key that is not UTF-8"),
        pytest.param(b'{"event":"call","instance":"a"', id="cut off"),
        pytest.param(b'{"event":"call","instance":"a"}}', id="more behind it"),
        pytest.param(b'{"event":"call","instance":""}', id="an empty name"),
        pytest.param(b'{"event":"","instance":"a"}', id="an empty event"),
        pytest.param(b'{"event":7,"instance":"a"}', id="a number"),
        pytest.param(b'{"event":null,"instance":"a"}', id="null"),
        pytest.param(b'{"event":"call"}', id="no instance"),
        pytest.param(b'{"event":"call","instance":"%b"}' % (b"a" * (LONGEST_NAME + 1)), id="a long name"),
        pytest.param(b'{"event":"call","instance":"a","d":%b%b}' % (b"[" * 500, b"]" * 500), id="nested deeply"),
        pytest.param(b'{"event":"call","instance":"a","d":"%b"}' % (b"x:" * 2001), id="it may have too many keys"),
        pytest.param(b'["event","instance"]', id="an array"),
        pytest.param(b'{"order_marker":{}}', id="a marker"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_the_rest_is_for_parsing_to_tell(body: bytes) -> None:
    assert glance(body) is None


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        (b'{"event":"call","instance":"a","instance":"b","event":"messages.upsert"}', ("MESSAGES_UPSERT", "b")),
        (b' {"inst\\u0061nce" : "S\\u00e3o" , "event":"group.update"}\n', ("GROUPS_UPDATE", "São")),
        ('{"event":"call","instance":"São","é":"😀"}'.encode(), ("CALL", "São")),
        (b'{"event":"call","instance":"a","data":"\xff"}'.replace(b"\xff", b"\\u00ff"), ("CALL", "a")),
        (b'{"event":"call","instance":"a","instanceName":"b"}', ("CALL", "a")),
    ],
)
def test_what_is_unusual_and_certain_is_seen(body: bytes, seen: tuple[str, str]) -> None:
    assert glance(body) == parsed(body) == seen


@pytest.mark.parametrize("colon", [b":", b" :\n"])
@pytest.mark.parametrize("keys", [MOST_KEYS - 2, MOST_KEYS - 1])
def test_an_envelope_with_too_many_keys_is_none_at_a_glance_too(colon: bytes, keys: int) -> None:
    """The shortest that there can be, so that its length does not tell it."""
    names = b",".join(b'"%b"%b1' % (name, colon) for name in _short_names(keys))
    body = b'{"event"%b"call","instance"%b"a",%b}' % (colon, colon, names)
    assert glance(body) == parsed(body)
    assert (parsed(body) is None) == (keys + 2 > MOST_KEYS)


def _short_names(count: int) -> list[bytes]:
    letters = [bytes([letter]) for letter in b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    return [b"", *letters, *(one + other for one in letters for other in letters)][:count]


@pytest.mark.parametrize("depth", [1, 498, *range(960, 1000)])
def test_what_is_nested_so_deeply_that_parsing_may_refuse_it_is_not_seen(depth: int) -> None:
    body = b'{"event":"call","instance":"a","d":%b%b}' % (b"[" * depth, b"]" * depth)
    assert glance(body) == (("CALL", "a") if depth < 499 else None)


@given(st.data())
def test_of_any_object_it_says_what_parsing_says_or_nothing(data: st.DataObject) -> None:
    found = data.draw(members(ANY_TEXT))
    found["event"] = json.dumps(data.draw(ANY_TEXT))
    found["instance"] = json.dumps(data.draw(ANY_TEXT))
    body = data.draw(objects(found))
    assert glance(body) in (None, parsed(body))


@given(st.integers(0))
def test_of_mutated_captures_it_says_what_parsing_says_or_nothing(seed: int) -> None:
    chance = random.Random(seed)
    body = changed_bytes(chance, chance.choice(CAPTURED), CAPTURED)
    assert glance(body) in (None, parsed(body))
