"""The egress guard's decisions: refused addresses and URLs, allow and deny, addresses inside addresses."""

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

import aiohttp
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.http.egress_support import DEFAULT, FakeDNS, guarded_session, policy
from tests.http.egress_vectors import (
    PUBLIC_ADDRESSES,
    REFUSED_IPV4,
    REFUSED_IPV6,
    REFUSED_SPELLINGS,
    REFUSED_URLS,
)
from worker.http.egress import EgressPolicy, EgressRefused, Refusal, Remedy, egress_refusal, refuse_url


@pytest.mark.parametrize(("address", "source"), REFUSED_IPV4 + REFUSED_IPV6 + REFUSED_SPELLINGS)
def test_an_address_that_is_not_globally_routable_is_refused(address: str, source: str) -> None:
    assert DEFAULT.refusal(address) is not None


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_a_public_address_passes(address: str) -> None:
    assert DEFAULT.refusal(address) is None
    assert DEFAULT.refusal(ip_address(address)) is None


@pytest.mark.parametrize(("url", "answer", "source"), REFUSED_URLS)
async def test_a_url_to_an_internal_address_is_refused_when_set_and_gets_no_socket(
    url: str, answer: list[str] | None, source: str
) -> None:
    names = FakeDNS(answer)
    assert await refuse_url(url, DEFAULT, names.addresses) is not None

    async with guarded_session(DEFAULT, names) as client:
        with pytest.raises((aiohttp.ClientConnectorError, aiohttp.InvalidURL)):
            await client.session.post(url)
    assert client.sockets == []


def test_the_reason_names_the_kind_the_address_and_the_setting() -> None:
    assert str(DEFAULT.refusal("10.0.0.1")) == "private address 10.0.0.1; allow it with EGRESS_ALLOW"
    assert str(DEFAULT.refusal("::ffff:127.0.0.1")) == (
        f"loopback address 127.0.0.1 (inside {IPv6Address('::ffff:127.0.0.1')}); allow it with EGRESS_ALLOW"
    )
    assert str(policy(deny=["8.8.8.0/24"]).refusal("8.8.8.8")) == "address 8.8.8.8 is named in EGRESS_DENY"


@pytest.mark.parametrize(
    ("allow", "deny", "address", "passes"),
    [
        ("10.0.0.0/8", [], "10.0.0.1", True),
        ("10.0.0.0/8", [], "::ffff:10.0.0.1", True),
        ("10.0.0.0/8", [], "64:ff9b::10.0.0.1", True),
        ("10.0.0.0/8", [], "192.168.0.1", False),
        ("::ffff:10.0.0.0/104", [], "10.0.0.1", True),
        ("fd00::/8", [], "fd00::1%3", True),
        ("169.254.169.254/32", [], "169.254.169.254", True),
        # An allowed wrapper does not open what it wraps, an allowed inside does not open a refused wrapper.
        ("::/0", [], "::ffff:10.0.0.1", False),
        ("2002::/16", [], "2002:a00:1::", False),
        ("10.0.0.0/8", [], "2002:a00:1::", False),
        ("64:ff9b:1::/48", [], "64:ff9b:1::8.8.8.8", True),
        ("64:ff9b:1::/48", [], "64:ff9b:1::10.0.0.1", False),
        ("10.0.0.0/8", ["10.0.0.1/32"], "10.0.0.1", False),
        ("10.0.0.0/8", ["10.0.0.1/32"], "10.0.0.2", True),
        ("0.0.0.0/0", ["8.8.8.8/32"], "8.8.8.8", False),
        ("0.0.0.0/0", ["8.8.8.8/32"], "::ffff:8.8.8.8", False),
        ("0.0.0.0/0", ["8.8.8.8/32"], "64:ff9b::8.8.8.8", False),
        ("0.0.0.0/0", ["::ffff:8.8.8.8/128"], "8.8.8.8", False),
        ("0.0.0.0/0", ["64:ff9b::/96"], "64:ff9b::8.8.8.8", False),
        ("::/0", ["2606:4700::/32"], "2606:4700::1111", False),
    ],
)
def test_allow_and_deny(allow: str, deny: list[str], address: str, passes: bool) -> None:
    assert (policy(allow, deny=deny).refusal(address) is None) is passes


def _wrapped(inner: IPv4Address) -> dict[str, IPv6Address]:
    number, public = int(inner), int(IPv4Address("8.8.8.8"))
    forms = {
        "mapped": IPv6Address(0xFFFF << 32 | number),
        "NAT64": IPv6Address(0x64FF9B << 96 | number),
        "local NAT64": IPv6Address(0x64FF9B0001 << 80 | number),
        "6to4": IPv6Address(0x2002 << 112 | number << 80 | 1),
        "Teredo client": IPv6Address(0x20010000 << 96 | public << 64 | number ^ 0xFFFFFFFF),
        "Teredo server": IPv6Address(0x20010000 << 96 | number << 64 | public ^ 0xFFFFFFFF),
    }
    if number > 1:  # :: and ::1 are addresses of their own
        forms["compatible"] = IPv6Address(number)
    return forms


_IPV4 = st.one_of(st.ip_addresses(v=4), st.sampled_from(REFUSED_IPV4).map(lambda row: IPv4Address(row[0])))
_POLICIES = st.sampled_from(
    [
        DEFAULT,
        policy("10.0.0.0/8", "192.168.0.0/16"),
        policy("::/0"),
        policy("0.0.0.0/0", "::/0", deny=["169.254.0.0/16", "8.0.0.0/8", "::ffff:1.0.0.0/104"]),
    ]
)


@given(_IPV4, _POLICIES)
@example(IPv4Address("8.8.8.8"), policy("::/0", deny=["8.0.0.0/8"]))
def test_a_refused_ipv4_address_stays_refused_in_every_ipv6_form(inner: IPv4Address, rules: EgressPolicy) -> None:
    if rules.refusal(inner) is not None:
        passed = [form for form, outer in _wrapped(inner).items() if rules.refusal(outer) is None]
        assert passed == []


@given(_IPV4, _POLICIES)
def test_mapped_and_translated_addresses_are_judged_as_the_ipv4_address(
    inner: IPv4Address, rules: EgressPolicy
) -> None:
    forms = _wrapped(inner)
    expected = rules.refusal(inner) is None
    assert (rules.refusal(forms["mapped"]) is None, rules.refusal(forms["NAT64"]) is None) == (
        expected,
        expected,
    )


@given(st.one_of(st.ip_addresses(), st.sampled_from(REFUSED_IPV4 + REFUSED_IPV6).map(lambda row: ip_address(row[0]))))
def test_what_the_standard_library_calls_not_global_is_refused(address: IPv4Address | IPv6Address) -> None:
    mapped = isinstance(address, IPv6Address) and address.ipv4_mapped is not None
    if not mapped and not address.is_global:
        assert DEFAULT.refusal(address) is not None


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        (["8.8.8.8"], False),
        (["8.8.8.8", "10.0.0.1"], False),  # as at the connect: the good address is used
        (["10.0.0.1", "fd00::1"], True),
        ([], False),
    ],
)
async def test_a_name_is_refused_when_all_its_addresses_are(answer: list[str], refused: bool) -> None:
    reason = await refuse_url("https://receiver.example/hook", DEFAULT, FakeDNS(answer).addresses)
    assert (reason is not None) is refused


async def test_a_name_that_does_not_resolve_now_is_not_refused() -> None:
    async def unknown(host: str) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    assert await refuse_url("https://soon.example/", DEFAULT, unknown) is None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://[::1/hunter2", "not a valid URL"),
        ("http://u:hunter2@h\\x/", "not a valid URL"),
        ("http:///hunter2", "the URL has no host"),
        ("hunter2", "the URL has no host"),
        (f"http://{'a' * 64}.example/hunter2", "the URL's host is not a valid name"),
    ],
)
async def test_a_url_without_a_usable_host_is_refused_without_repeating_it(url: str, reason: str) -> None:
    assert str(await refuse_url(url, DEFAULT)) == reason


async def test_the_resolver_is_asked_for_the_name_that_the_connect_would_ask_for() -> None:
    asked = []

    async def record(host: str) -> Sequence[str]:
        asked.append(host)
        return ["8.8.8.8"]

    for url in ("http://Bücher.example./", "http://receiver.example../"):
        assert await refuse_url(url, DEFAULT, record) is None
    assert asked == ["xn--bcher-kva.example.", "receiver.example."]


def test_a_refusal_is_found_through_causes_and_groups_and_only_there() -> None:
    refused, failed = EgressRefused(Refusal("private address 10.0.0.1", Remedy.ALLOW)), ConnectionRefusedError("no")
    wrapped = RuntimeError("retries used up")
    wrapped.__cause__ = refused
    assert egress_refusal(wrapped) is refused
    assert egress_refusal(ExceptionGroup("all", [wrapped, refused])) is refused
    assert egress_refusal(ExceptionGroup("mixed", [refused, failed])) is None
    assert egress_refusal(failed) is None


def test_a_reader_who_is_told_of_the_setting_anyway_reads_the_reason_alone() -> None:
    private, metadata = DEFAULT.refusal("10.0.0.1"), DEFAULT.refusal("169.254.169.254")
    assert private == Refusal("private address 10.0.0.1", Remedy.ALLOW)
    assert private.without(Remedy.ALLOW) == "private address 10.0.0.1"
    assert metadata == Refusal("cloud metadata address 169.254.169.254", Remedy.CHANGE_WEBHOOK)
    assert metadata.without(Remedy.ALLOW) == "cloud metadata address 169.254.169.254; change the webhook"
