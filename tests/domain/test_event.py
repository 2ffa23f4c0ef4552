"""Splitting a message into an event: what passes unchanged, what is refused and why."""

import json
import sys
import tracemalloc
from hashlib import sha256

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.domain.json_documents import ANY_TEXT, WHOLE_TEXT, members, objects
from tests.support.stack import from_deeper
from worker.domain import event as splitting
from worker.domain.event import LONGEST_NAME, MOST_KEYS, InvalidEvent, identity, parse

ENVELOPE = '{"event":"messages.upsert","instance":"acme","data":%s}'
MANY_ESCAPES = json.dumps("\n" * 10_001)
"""More than are visited one by one."""


def envelope(data: str) -> bytes:
    return (ENVELOPE % data).encode()


def fields_of(body: bytes) -> dict[str, bytes]:
    return {key: bytes(value) for key, value in parse(body).fields.items()}


def test_an_event() -> None:
    event = parse(b'{"event":"messages.upsert","instance":"Loja 1 / S\xc3\xa3o","data":{"a":[1, 2]},"apikey":null}')
    assert (event.name, event.kind, event.instance) == ("messages.upsert", "MESSAGES_UPSERT", "Loja 1 / São")
    assert list(event.fields) == ["event", "instance", "data", "apikey"]
    assert bytes(event.fields["data"]) == b'{"a":[1, 2]}'


def test_keys_keep_their_order_and_unknown_ones_survive() -> None:
    fields = fields_of(b'{"isLatest":false,"progress":37,"event":"messages.set","instance":"i","data":[],"new":{}}')
    assert list(fields) == ["isLatest", "progress", "event", "instance", "data", "new"]


@pytest.mark.parametrize(
    "data",
    [
        "null",
        "[]",
        '"text"',
        "-0",
        "1e400",
        "1E-400",
        "9" * 5000,
        "1.0",
        r'"\ud83d\ude00"',
        r'"\ud83d"',
        r'"\uD83D"',
        r'"\udc00"',
        r'"\ude00\ud83d"',
        r'"\ud83dx\ud83d"',
        r'"\\ud83d"',
        r'"\\\ud83d"',
        r'"\\\\ud83d"',
        r'"\\\\\ud83d"',
        r'"\"\ud83d\""',
        r'["\ud83d",{"\ud83d":{"\udc00":"\ud83d"}}]',
        r'{"a":"\ud83d" , "b" : [ 1,2 ]}',
        '{\r\n\t"a" :\t"\\ud83d"\r\n}',
        '{"same":1,"same":2}',
        r'{"same":"\ud83d","same":2}',
        '"\u2028\u007f"',
        f'[{MANY_ESCAPES},"\\ud83d\\\\ud83d\\\\\\ud83d\\uD83D"]',
        r'["\ud83d",' + "[" * 400 + "]" * 400 + "]",
    ],
)
@pytest.mark.parametrize("pattern", ["%s", " \t%s", "%s\r\n", " %s "])
def test_data_keeps_its_bytes(data: str, pattern: str) -> None:
    body = (ENVELOPE % (pattern % data)).encode()
    assert fields_of(body)["data"] == data.encode()


@pytest.mark.parametrize("data", [b'"\xff"', b'"\xed\xa0\xbd"', b'"\xff\\ud83d"'])
def test_bytes_in_data_that_are_not_utf_8_pass_as_they_came(data: bytes) -> None:
    assert fields_of(b'{"event":"e","instance":"i","data":%b}' % data)["data"] == data


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (rb'{"\ud83d":1,"event":"e","instance":"i"}', "\ud83d"),
        (rb'{"\ud83d\ude00":1,"event":"e","instance":"i","data":"\ud83d"}', "😀"),
        (rb'{"a\"b\\":1,"event":"e","instance":"i","data":"\ud83d"}', 'a"b\\'),
        (rb'{ "\"" : 1 ,"event":"e","instance":"i","data":"\ud83d"}', '"'),
        (rb'{"\u0061":1,"event":"e","instance":"i","data":"\ud83d"}', "a"),
        ('{"ключ":1,"event":"e","instance":"i","data":"\\ud83d"}'.encode(), "ключ"),
        (rb'{"":1,"event":"e","instance":"i","data":"\ud83d"}', ""),
    ],
)
def test_keys_of_any_spelling_beside_an_unpaired_surrogate(body: bytes, key: str) -> None:
    fields = fields_of(body)
    assert fields[key] == b"1"
    assert (fields["event"], fields["instance"]) == (b'"e"', b'"i"')


def test_names_may_be_escaped_and_hold_any_character() -> None:
    event = parse(rb'{"\u0065vent":"mess\u0061ges.upsert","instance":"a.b/c d?\u0000\ud83d\ude00","data":"\ud83d"}')
    assert (event.name, event.kind) == ("messages.upsert", "MESSAGES_UPSERT")
    assert event.instance == "a.b/c d?\0😀"


def test_the_last_of_two_equal_keys_counts_as_in_javascript() -> None:
    assert parse(b'{"event":"a","event":"b","instance":"i"}').name == "b"


@pytest.mark.parametrize(
    "members",
    [
        r'"x":1,"x":2,"data":"\ud83d"',
        r'"x":1,"x":1,"data":"\ud83d"',
        r'"data":"\ud83d","x":12,"x":1',
        r'"data":"\ud83d","x":1,"x":12',
        r'"x":"\ud83d","x":"\ud83d"',
        r'"x":{"p":1,"q":2},"x":{"p":1},"data":"\ud83d"',
        r'"data":"\ud83d","instance":"i"',
    ],
)
def test_equal_keys_beside_an_unpaired_surrogate_are_refused(members: str) -> None:
    with pytest.raises(InvalidEvent, match="appears twice"):
        parse(f'{{"event":"e","instance":"i",{members}}}'.encode())


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not JSON"),
        (b"  ", "not JSON"),
        (b"\0", "not JSON"),
        (b"hello", "not JSON"),
        (b"{'event':1}", "not JSON"),
        (b"\xef\xbb\xbf" + envelope("1"), "not JSON"),
        (ENVELOPE.encode("utf-16"), "not JSON"),
        (envelope("NaN"), "not JSON"),
        (envelope("-Infinity"), "not JSON"),
        (envelope("01"), "not JSON"),
        (envelope("1") + b"x", "not JSON"),
        (envelope("1")[:-1], "not JSON"),
        (envelope("1,"), "not JSON"),
        (envelope('"\x01"'), "not JSON"),
        (envelope(r'"\x"'), "not JSON"),
        (envelope(r'"\ud83"'), "not JSON"),
        (envelope(r'"\ud83x"'), "not JSON"),
        (envelope(r'"\ud83d'), "not JSON"),
        (envelope(r'"\ud83d" x'), "not JSON"),
        (envelope(f'[{MANY_ESCAPES},"\\ud83d",x]'), "not JSON"),
        (b'{"\xff":1}', "not JSON"),
        (b"null", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (rb'["\ud83d"]', "not a JSON object"),
        (b'"messages.upsert"', "not a JSON object"),
        (b"{}", "no `event`"),
        (b'{"event":"e"}', "no `instance`"),
        (b'{"instance":"i"}', "no `event`"),
        (b'{"event":1,"instance":"i"}', "`event` must be a non-empty string, not a number$"),
        (b'{"event":null,"instance":"i"}', "`event` must be a non-empty string, not null"),
        (b'{"event":"","instance":"i"}', "`event` must be a non-empty string"),
        (b'{"event":"e","instance":{"a":1}}', "`instance` must be a non-empty string, not an object$"),
        (b'{"event":"e","instance":["\xff"]}', "`instance` must be a non-empty string, not an array$"),
        (b'{"event":"e","instance":"\xff"}', "`instance` is not valid UTF-8"),
        (rb'{"event":"e","instance":"\ud83d"}', "`instance` holds an unpaired surrogate"),
        (rb'{"event":"\udc00e","instance":"i"}', "`event` holds an unpaired surrogate"),
        (b'{"event":"e","instance":"%b"}' % (b"x" * 256), "`instance` has 256 characters, 255 at most"),
    ],
)
def test_what_is_not_an_event_is_refused_with_what_is_wrong(body: bytes, problem: str) -> None:
    with pytest.raises(InvalidEvent, match=problem) as refused:
        parse(body)
    assert len(str(refused.value).encode()) < 300


@pytest.mark.parametrize("data", ["1", r'"\ud83d"'])
def test_an_object_of_a_thousand_keys_is_no_event(data: str) -> None:
    def message(keys: int) -> bytes:
        return envelope(data + "".join(f',"k{number}":1' for number in range(keys)))

    assert len(parse(message(MOST_KEYS - 3)).fields) == MOST_KEYS
    with pytest.raises(InvalidEvent, match="the message has 1001 keys, 1000 at most"):
        parse(message(MOST_KEYS - 2))


def test_the_longest_names_pass() -> None:
    name = "é" * LONGEST_NAME
    assert parse(json.dumps({"event": name, "instance": name}).encode()).instance == name


@pytest.mark.parametrize(
    "start", [b'{"a":', b'{"event":"e","instance":"i","data":[', rb'{"\ud83d":', b'{"event":'], ids=repr
)
def test_a_hundred_megabytes_of_nesting_are_refused_cheaply(start: bytes) -> None:
    body = start + b"[" * 100_000_000
    tracemalloc.start()
    try:
        with pytest.raises(InvalidEvent, match="nested too deeply"):
            parse(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2.1 * len(body)


def test_nesting_is_refused_however_deep_the_caller_stands() -> None:
    # Python 3.11 counts C's recursion and its own frames together, up to 1000; later ones count C's apart.
    depth = 900 if sys.version_info < (3, 12) else 1_000_000

    def refused() -> None:
        for data in ("[" * depth + "]" * depth, r'["\ud83d",' + "[" * depth + "]" * (depth + 1)):
            with pytest.raises(InvalidEvent, match="nested too deeply"):
                parse(envelope(data))

    from_deeper(300, refused)


@pytest.mark.parametrize(
    "body",
    [
        envelope(r'"\ud83d' + r"\n" * 2_000_000 + '"'),
        envelope('"' + r"\ud83d" * 500_000 + '"'),
        b" " * 4_000_000 + envelope(r'"\ud83d"'),
        rb'{"' + rb"\"" * 2_000_000 + b'":1,' + envelope(r'"\ud83d"')[1:],
        rb'{"' + rb"\\" * 2_000_000 + b'":1,' + envelope(r'"\ud83d"')[1:],
    ],
    ids=["escapes", "surrogates", "spaces", "quotes in a key", "backslashes in a key"],
)
def test_large_and_dense_messages_keep_their_data(body: bytes) -> None:
    data = fields_of(body)["data"]
    assert body.endswith(b'"data":' + data + b"}")


@given(members(least=1).flatmap(lambda found: st.tuples(st.just(found), objects(found))))
def test_both_ways_of_splitting_agree(document: tuple[dict[str, str], bytes]) -> None:
    """With msgspec alone, and by way of the copy without surrogates, wherever both apply."""
    found, body = document
    expected = {key: value.encode() for key, value in found.items()}
    tame = splitting._without_surrogates(body)
    assert {key: bytes(value) for key, value in splitting._cut(body, tame).items()} == expected
    try:
        strict = splitting._split(body)
    except msgspec.DecodeError:
        assert "\\ud" in body.decode().lower()
    else:
        assert {key: bytes(value) for key, value in strict.items()} == expected


@given(st.text('\\u"dD0a', max_size=30))
def test_both_ways_of_removing_surrogates_agree(escapes: str) -> None:
    """One by one, and by replacing: the same but for escaped backslashes, which replacing hides."""
    few = splitting._without_surrogates(escapes.encode())
    padding = rb"\n" * 10_000
    many = splitting._without_surrogates(padding + escapes.encode())[len(padding) :]
    assert few.replace(rb"\\", b"__") == many.replace(rb"\\", b"__")
    assert len(few) == len(many) == len(escapes.encode())


@given(st.binary() | st.text('{}[]":,\\ud83d0 eventinstance', max_size=60).map(str.encode))
@example(rb'{"event":"e","instance":"i","\ud83d"}')
def test_any_bytes_are_an_event_or_refused(body: bytes) -> None:
    try:
        event = parse(body)
    except InvalidEvent as error:
        str(error).encode()
    else:
        assert event.name
        assert event.instance


@given(ANY_TEXT, ANY_TEXT, members(WHOLE_TEXT))
def test_names_are_read_as_javascript_wrote_them(name: str, instance: str, extra: dict[str, str]) -> None:
    assume("event" not in extra and "instance" not in extra)
    found = extra | {"event": json.dumps(name), "instance": json.dumps(instance)}
    body = ("{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in found.items()) + "}").encode()
    try:
        event = parse(body)
    except InvalidEvent:
        assert not name or not instance or not (name + instance).isascii()
    else:
        assert (event.name, event.instance) == (json.loads(json.dumps(name)), json.loads(json.dumps(instance)))


def test_identity() -> None:
    body = envelope("1")
    assert identity(body, None) == sha256(body).hexdigest()
    assert identity(body, "") == identity(body, None)  # an empty id would make one event of them all
    assert identity(body, "m1") == identity(b"other", "m1")
    assert len({identity(body, None), identity(body, "m1"), identity(body, "m2"), identity(body + b" ", None)}) == 4


def test_a_repr_shows_neither_payload_nor_key() -> None:
    assert "hidden" not in repr(parse(b'{"event":"e","instance":"i","data":"hidden","apikey":"hidden"}'))


UUID = "8f0a3c52-6c0e-4f7e-9a55-0d9f4f0f7c11"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f'{{"event":"e","instance":"a","data":{{"n":1,"instanceId":"{UUID}","source":"ios"}}}}', UUID),
        (f'{{"event":"e","instance":"a","data":{{"m":"{"x" * 9999}","instanceId":"{UUID}"}}}}', UUID),
        ('{"event":"e","instance":"a","data":{"m":"\\"instanceId\\":\\"01234567890\\""}}', None),
        ('{"event":"e","instance":"a","data":{"instanceId":"a\\r\\nb: 1234"}}', None),
        ('{"event":"e","instance":"a","data":{"instanceId":7}}', None),
        ('{"event":"e","instance":"a","data":null}', None),
        ('{"event":"e","instance":"a"}', None),
        (f'{{"event":"E","instanceName":"a","instanceId":"{UUID}"}}', UUID),
        ('{"event":"E","instanceName":"a","instanceId":null}', None),
        ('{"event":"E","instanceName":"a"}', None),
    ],
)
def test_the_instances_own_id_is_found_where_evolution_writes_it(text: str, found: str | None) -> None:
    assert parse(text.encode()).instance_id == found
