"""An address with credentials: parsed strictly or refused, and never shown with its password."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.basics.address import Address

PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=24)
AMQP = ("amqp",)


def test_its_parts_are_decoded() -> None:
    found = Address.parse("AMQP://me:p%40%2Fss@[::1]:5672/chat%2Fa?heartbeat=5", AMQP)
    assert (found.scheme, found.user, found.password, found.host, found.port) == ("amqp", "me", "p@/ss", "::1", 5672)
    assert (found.decoded_path, found.options) == ("chat/a", {"heartbeat": "5"})
    assert str(found) == "amqp://me:***@[::1]:5672/chat%2Fa"


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("amqp://evo:2024#Geheim@127.0.0.1:1/", "'#': in user and password, write it as %23"),
        ("amqp://evo:2024/Geheim@127.0.0.1:1/", "write / as %2F, @ as %40"),
        ("amqp://evo:2024?Geheim@127.0.0.1:1/", "write ? as %3F"),
        ("amqp://evo:Geh@eim@h/", "a raw '@': in user and password, write it as %40"),
        ("amqp://evo:Geh[eim@h/", "%5B"),
        ("amqp://evo:Geh\\eim@h/", "a backslash: write it as %5C"),
        ("amqp://evo:Geh eim@h/", "a space: write it as %20"),
        ("amqp://evo:Geheim%@h/", "write % itself as %25"),
        ("amqp://evo:Geheim%FF@h/", "UTF-8"),
        ("amqp://evo:Geheim%00@h/", "control"),
        ("amqp://evo:Geheim@a,evo:Geheim@b/", "raw '@'"),
        ("amqp://evo:Geheim@a:5672,b:5672/", "one host"),
        ("amqp://evo:Geheim", "port is a number"),
        ("amqp://evo:Geheim@h:70000", "port is a number"),
        ("amqp://evo:Geheim@-h/", "host is a name"),
        ("amqp://evo:Geheim@h/?a=1&a=2", "'a' only once"),
        ("http://evo:Geheim@h/", "begins with amqp://"),
    ],
)
def test_what_two_parsers_may_read_differently_is_refused_with_what_to_write(uri: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"^a URI") as caught:
        Address.parse(uri, AMQP)
    assert told in str(caught.value)
    assert not any(part in str(caught.value) for part in ("Geh", "eim", "2024"))


@given(PRINTABLE)
def test_an_encoded_password_comes_back_whole_and_is_in_no_text(password: str) -> None:
    found = Address.parse(f"amqp://evo:{quote(password, safe='')}@127.0.0.1:1/", AMQP)
    assert found.password == password
    plain = str(Address.parse("amqp://evo:x@127.0.0.1:1/", AMQP))
    assert str(found) == f"{found}" == plain
    assert repr(found) == f"<{plain}>"
    assert found.clean(f"driver: {password}, {quote(password, safe='')}.").count(password) == 0


@given(PRINTABLE)
def test_a_raw_password_is_taken_as_it_is_or_refused(password: str) -> None:
    told = told_of(f"amqp://evo:Zq{password}7J@127.0.0.1:1/")
    assert told == "amqp://evo:***@127.0.0.1:1/" or told.startswith("a URI")
    assert "Zq" not in told
    assert "7J" not in told


def told_of(uri: str) -> str:
    try:
        return str(Address.parse(uri, AMQP))
    except ValueError as error:
        return str(error)
