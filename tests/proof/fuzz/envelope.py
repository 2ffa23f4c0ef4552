"""The parser of envelopes under mutated captures: whatever comes is an event or refused, soon; `data` keeps its bytes.

A case is decided by (seed, number) alone. Three of four are hostile: bytes changed anywhere. The others are honest:
the members of a captured envelope reordered, respelt, spaced out, exchanged for others: events by any reader of JSON.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.proof.fuzz.mutations import any_text, any_value, changed_bytes, json_text
from tests.support.captures import EVOLUTION_1, EVOLUTION_2, load
from worker.domain.event import LONGEST_NAME, Event, InvalidEvent, identity, parse
from worker.domain.glance import glance
from worker.domain.names import path_of
from worker.domain.request.body import body as body_to_send

CPU_SECONDS = 0.5
"""For one message of a MiB at most, on any machine; it takes milliseconds."""

LONGEST_REFUSAL = 400
HONEST = 0.25
DESTINATION = "https://receiver.example/acme"
SAMPLES = tuple(message.body for name in (EVOLUTION_1, EVOLUTION_2) for message in load(name))
SPACES = ("", "", "", " ", "\n", "\t \r\n")


@dataclass(frozen=True, slots=True)
class Honest:
    """What an honest case must come out as."""

    event: str
    instance: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Case:
    body: bytes
    honest: Honest | None = None


class Broken(Exception):
    """An invariant does not hold; the text says which, and how."""


def case(seed: int, number: int) -> Case:
    chance = random.Random(f"{seed}/{number}")
    sample = chance.choice(SAMPLES)
    if chance.random() < HONEST:
        return _honest(chance, members(sample))
    return Case(changed_bytes(chance, sample, SAMPLES))


def check(one: Case) -> bool:
    """Whether it was an event. Raises Broken."""
    began = time.process_time()
    try:
        event = parse(one.body)
    except InvalidEvent as error:
        _demand(one.honest is None, f"an event was refused: {error}")
        _demand(len(str(error).encode()) < LONGEST_REFUSAL, "a refusal that quotes at length")
        _demand(glance(one.body) is None, "a glance at it saw an event")
        return False
    except Exception as error:
        raise Broken(f"parse raised {error!r:.300}") from error
    finally:
        _demand(time.process_time() - began < CPU_SECONDS, f"parse took {time.process_time() - began:.1f} s of CPU")
    _check_event(one, event)
    return True


def members(body: bytes) -> list[tuple[str, str]]:
    """Key and JSON text of each member of an object, by the standard library's scanner: not by what is tested."""
    return list(_members(body.decode()))


def _members(text: str) -> Iterator[tuple[str, str]]:
    decoder, at = json.JSONDecoder(), 1
    while text[at - 1] != "}":
        key, at = decoder.raw_decode(text, at)
        begin = at + 1
        _, at = decoder.raw_decode(text, begin)
        yield key, text[begin:at]
        at += 1


def _check_event(one: Case, event: Event) -> None:
    for name, text in (("event", event.name), ("instance", event.instance)):
        _demand(0 < len(text) <= LONGEST_NAME, f"`{name}` has {len(text)} characters")
    data = bytes(event.fields.get("data", b""))
    _demand(data in one.body, "`data` is not among the bytes that came")
    sent = body_to_send(event, DESTINATION)
    _demand(data in sent, "`data` is not among the bytes that would be sent")
    _demand(path_of(event.kind).isascii(), f"the path of {event.kind!r} is not ASCII")
    _demand(len(identity(one.body, None)) == 64, "no identity")
    if one.honest is not None:
        _demand(Honest(event.name, event.instance, data) == one.honest, f"not what was written: {one.honest!r:.300}")
        _check_sent(one.body, sent)
    seen = glance(one.body)
    _demand(seen in (None, (event.kind, event.instance)), f"a glance at it saw {seen!r:.300}")


def _check_sent(came: bytes, sent: bytes) -> None:
    """The same members with the same values, and the destination."""
    found = json.loads(sent.decode(errors="surrogateescape"))
    wanted = json.loads(came.decode(errors="surrogateescape"))
    _demand(found == {**wanted, "destination": DESTINATION}, "what would be sent says something else")


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Broken(otherwise)


def _honest(chance: random.Random, found: list[tuple[str, str]]) -> Case:
    values = {key: text.encode() for key, text in found}
    event, instance = _name(chance), _name(chance)
    if chance.random() < 0.7:
        values["data"] = _data(chance)
    values["event"], values["instance"] = json_text(chance, event), json_text(chance, instance)
    for _ in range(chance.randint(0, 3)):
        key = any_text(chance)
        values.setdefault(key, json_text(chance, any_value(chance)))
    if chance.random() < 0.3:
        values.pop(chance.choice([key for key in values if key not in ("event", "instance", "data")]), None)
    values.pop("destination", None)
    order = list(values)
    chance.shuffle(order)
    parts = (_space(chance) + _key(chance, key) + _space(chance) + b":" + _spaced(chance, values[key]) for key in order)
    body = _space(chance) + b"{" + b",".join(parts) + b"}" + _space(chance)
    return Case(body, Honest(event, instance, values["data"]))


def _name(chance: random.Random) -> str:
    text = any_text(chance)[:LONGEST_NAME]
    whole = "".join(char for char in text if not "\ud800" <= char <= "\udfff")
    return whole or "messages.upsert"


def _data(chance: random.Random) -> bytes:
    """Now and then with bytes within a text that are not UTF-8, which pass, too."""
    text = json_text(chance, any_value(chance))
    return b'["\xff\xfe",' + text + b"]" if chance.random() < 0.1 else text


def _key(chance: random.Random, key: str) -> bytes:
    """Spelt as it is, or its first character escaped."""
    if key and ord(key[0]) < 0x10000 and chance.random() < 0.2:
        return b'"\\u%04x' % ord(key[0]) + json.dumps(key[1:]).encode()[1:]
    return json_text(chance, key)


def _spaced(chance: random.Random, value: bytes) -> bytes:
    return _space(chance) + value + _space(chance)


def _space(chance: random.Random) -> bytes:
    return chance.choice(SPACES).encode()
