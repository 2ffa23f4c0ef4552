"""A webhook's URL as a delivery goes to it: parsed once, with nothing secret to be shown."""

import pytest

from tests.domain.test_routing import EVENT, HISTORY
from worker.domain.request.build import build
from worker.domain.routing import Delivery, route
from worker.domain.target import BadUrl, is_literal, parsed, target_of
from worker.domain.webhook import Webhook

SECRET = "https://user:pa%40ss@Hooks.example/x/?token=t0p#part"


@pytest.mark.parametrize("by_events", [False, True])
def test_a_url_is_parsed_once_for_all_its_deliveries(by_events: bool) -> None:
    webhook = Webhook("acme", "https://h/x", by_events=by_events)
    first, second = (route(EVENT, HISTORY, webhook, []) for _ in range(2))
    assert isinstance(first, Delivery)
    assert isinstance(second, Delivery)
    assert first.target is second.target
    assert build(first, 0).target is first.target


def test_credentials_leave_the_url_for_a_header() -> None:
    target = target_of(SECRET)
    assert target.authorization == "Basic dXNlcjpwYUBzcw=="
    assert str(target.sent) == "https://Hooks.example/x/?token=t0p"
    assert target.origin == "https://Hooks.example"
    assert target.bare == "https://Hooks.example/x/"
    assert not any(secret in repr(target) for secret in ("user", "pa%40ss", "pa@ss", "t0p", "dXNl"))


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://Hooks.example/x", ("hooks.example", 443)),
        ("HTTPS://h", ("h", 443)),
        ("http://h", ("h", 80)),
        ("http://[::1]:8080/x", ("::1", 8080)),
    ],
)
def test_the_place_is_the_host_in_lower_case_and_the_port(url: str, place: tuple[str, int]) -> None:
    assert target_of(url).place == place


def test_a_raw_sign_in_a_password_is_refused_before_its_beginning_is_taken_for_a_port() -> None:
    with pytest.raises(BadUrl, match="write it as %23") as caught:
        target_of("http://evo:2024#Geheim@h.example/x")
    assert "Geheim" not in str(caught.value)
    assert "2024" not in str(caught.value)
    assert target_of("https://app.example/#/@me").host == "app.example"
    assert target_of("https://u:p@app.example#@me").host == "app.example"


@pytest.mark.parametrize("url", ["", "h/x", "ftp://h/x", "http://[::1/x", "http://h:99999/x"])
def test_what_cannot_be_sent_is_parsed_all_the_same(url: str) -> None:
    assert (parsed(url).sent, parsed(url).authorization, parsed(url).origin) == (None, None, "")


@pytest.mark.parametrize(("host", "literal"), [("::1", True), ("10.0.0.1", True), ("1.2", True), ("h1.example", False)])
def test_a_literal_needs_no_name_server(host: str, literal: bool) -> None:
    assert is_literal(host) == literal
