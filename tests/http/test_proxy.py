"""What EGRESS_PROXY and NO_PROXY mean, word by word."""

import pytest

from worker.basics.address import Address
from worker.http.proxy import EgressProxy, NoProxy, proxy_address

PROXY = Address("http", "proxy.example", port=3128)


@pytest.mark.parametrize(
    ("entries", "host", "port", "covered"),
    [
        ("example.com", "example.com", 443, True),
        ("example.com", "hooks.EXAMPLE.com.", 443, True),
        ("example.com", "notexample.com", 443, False),
        ("example.com", "example.com.evil.test", 443, False),
        (".example.com", "hooks.example.com", 80, True),
        (".example.com", "example.com", 80, True),
        ("*.example.com", "hooks.example.com", 80, True),
        ("*.example.com", "badexample.com", 80, False),
        ("Example.COM.", "example.com", 80, True),
        ("a.test, example.com", "example.com", 80, True),
        ("a.test example.com", "example.com", 80, True),
        ("*", "anything.test", 80, True),
        ("a.test,*", "10.0.0.1", 80, True),
        ("example.com:8443", "example.com", 8443, True),
        ("example.com:8443", "example.com", 443, False),
        ("10.1.2.3", "10.1.2.3", 80, True),
        ("10.1.2.3", "10.1.2.30", 80, False),
        ("10.1.2.3:8080", "10.1.2.3", 8080, True),
        ("10.1.2.3:8080", "10.1.2.3", 80, False),
        ("10.0.0.0/8", "10.200.0.1", 80, True),
        ("10.0.0.1/8", "10.200.0.1", 80, True),
        ("10.0.0.0/8", "11.0.0.1", 80, False),
        ("10.0.0.0/8", "ten.example", 80, False),
        ("fd00::/8", "fd12::1", 80, True),
        ("fd00::1", "fd00:0::1", 80, True),
        ("[fd00::1]", "fd00::1", 80, True),
        ("[fd00::1]:8443", "fd00::1", 8443, True),
        ("[fd00::1]:8443", "fd00::1", 80, False),
        ("fe80::/10", "fe80::1%eth0", 80, True),
        ("", "example.com", 80, False),
        (",, .,*.", "example.com", 80, False),
        ("http://example.com, [x, a:b:c, example.com:port", "example.com", 80, False),
    ],
)
def test_no_proxy_is_read_as_everybody_reads_it(entries: str, host: str, port: int, covered: bool) -> None:
    assert NoProxy.of([entries]).covers(host, port) is covered
    assert NoProxy.of(entries.split(",")).covers(host, port) is covered, "as a list, too"
    assert EgressProxy(PROXY, NoProxy.of([entries])).carries(host, port) is not covered


@pytest.mark.parametrize(
    ("host", "left"),
    [
        ("hooks.example", True),
        ("metadata", True),
        ("0x7f.example", True),
        ("127.0.0.1", False),
        ("127.0.0.1.", False),
        ("0x7f.1", False),
        ("0x7f000001", False),
        ("1.0x7f", False),
        ("fd00::1", False),
        ("inside.test", False),
    ],
)
def test_names_are_left_to_the_proxy_and_what_may_be_an_address_is_not(host: str, left: bool) -> None:
    inside = NoProxy.of(["inside.test"])
    assert EgressProxy(PROXY, inside, resolves=True).resolves_name(host, 443) is left
    assert EgressProxy(PROXY, inside).resolves_name(host, 443) is False


def test_the_address_of_a_proxy_has_a_port_and_shows_no_password() -> None:
    found = proxy_address("http://wor%40ker:hunter2@[fd00::1]:3128/")
    assert (found.host, found.port, found.user, found.password) == ("fd00::1", 3128, "wor@ker", "hunter2")
    assert "hunter2" not in f"{found} {found!r}"


NOT_A_PROXY = """
proxy:3128 https://proxy:3128 socks5://proxy:1080 http://proxy http://:3128 http://proxy:0
http://proxy:3128/x http://proxy:3128?x=1 http://u:hunter#2@proxy:3128
"""


@pytest.mark.parametrize("text", NOT_A_PROXY.split())
def test_another_address_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        proxy_address(text)
    assert "hunter" not in str(caught.value)
