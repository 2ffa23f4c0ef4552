"""Who gets an event, at which URL, under which id."""

import string
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.event import Dialect, Event, parse
from worker.domain.names import KNOWN, WIRE_NAMES, canonical, path_of
from worker.domain.outcome import DeadLettered, DeadReason, Skipped, SkipReason
from worker.domain.past import Past
from worker.domain.routing import Delivery, delivery_id, route
from worker.domain.target import BadUrl, plain_url, target_url
from worker.domain.webhook import GLOBAL_ID, Endpoint, Webhook

EVENT = parse(b'{"event":"messages.upsert","instance":"acme","data":{}}')
HISTORY = Past("e" * 64, 1_700_000_000.0, "evolution_exchange", "messages.upsert", attempts=2)
OWN = Webhook("acme", "https://h/x")


def routed(webhook: Webhook, *neighbours: Webhook, event: Event = EVENT) -> Delivery:
    found = route(event, HISTORY, webhook, neighbours)
    assert isinstance(found, Delivery)
    return found


def everybodys(url: str, by_events: bool = False) -> Webhook:
    return Webhook("", url, id=GLOBAL_ID, by_events=by_events)


def test_a_delivery_knows_its_webhook_and_its_next_attempt() -> None:
    found = routed(Webhook("acme", "https://h/x", id="crm"))
    assert found.endpoint == Endpoint("acme", "crm")
    assert found.attempt == 3
    assert found.past.webhook_id == "crm"
    assert found.id == delivery_id(HISTORY.event_id, "acme", "crm")
    assert routed(everybodys("https://h/g")).endpoint == Endpoint("", GLOBAL_ID)


@pytest.mark.parametrize(
    ("events", "kind", "wanted"),
    [
        ((), "MESSAGES_UPSERT", True),
        ((), "NOBODY_KNOWS_IT_YET", True),
        (("MESSAGES_UPSERT",), "MESSAGES_UPSERT", True),
        (("MESSAGES_UPSERT",), "MESSAGES_UPDATE", False),
        (("MESSAGES_UPSERT",), "NOBODY_KNOWS_IT_YET", False),
    ],
)
def test_the_filter(events: tuple[str, ...], kind: str, wanted: bool) -> None:
    event = Event(kind.lower(), kind, "acme", {})
    found = route(event, HISTORY, Webhook("acme", "https://h/x", events=frozenset(events)), [])
    assert isinstance(found, Delivery) if wanted else found == Skipped(SkipReason.EVENT_NOT_ENABLED)


@given(st.sampled_from(sorted(KNOWN)), st.frozensets(st.sampled_from(sorted(KNOWN))), st.booleans())
def test_an_event_reaches_exactly_who_wants_it(kind: str, events: frozenset[str], enabled: bool) -> None:
    name = WIRE_NAMES[kind]
    webhook = Webhook("acme", "https://h/x", events=events, enabled=enabled)
    found = route(Event(name, canonical(name), "acme", {}), HISTORY, webhook, [webhook])
    assert isinstance(found, Delivery) == (enabled and (not events or kind in events))


@pytest.mark.parametrize(
    ("events", "wanted"),
    [
        (set(), True),
        ({"CALL"}, True),
        ({"CALL_OFFER"}, True),
        ({"ALL"}, True),
        ({"MESSAGE", "GROUP"}, False),
        ({"CALL_ACCEPT"}, False),
    ],
)
def test_an_event_of_evolution_go_is_wanted_by_its_name_or_a_category(events: set[str], wanted: bool) -> None:
    event = Event("CallOffer", "CALL_OFFER", "acme", {}, Dialect.GO, frozenset({"CALL"}))
    found = route(event, HISTORY, Webhook("acme", "https://h/x", events=frozenset(events), by_events=True), [])
    if wanted:
        assert isinstance(found, Delivery)
        assert found.url == "https://h/x/call-offer"
    else:
        assert found == Skipped(SkipReason.EVENT_NOT_ENABLED)


def test_a_disabled_webhook_gets_nothing_whatever_else_is_wrong_with_it() -> None:
    off = Webhook("acme", "not a url", enabled=False, events=frozenset({"CALL"}))
    assert route(EVENT, HISTORY, off, []) == Skipped(SkipReason.DISABLED)
    assert route(EVENT, HISTORY, off, [], dead_when_disabled=True) == Skipped(SkipReason.DISABLED)


def test_a_webhook_that_was_disabled_for_a_reason_can_make_dead_letters() -> None:
    gone = Webhook("acme", "https://h/x", enabled=False, disabled_reason="the receiver answered 410")
    assert route(EVENT, HISTORY, gone, []) == Skipped(SkipReason.DISABLED)
    dead = route(EVENT, HISTORY, gone, [], dead_when_disabled=True)
    assert dead == DeadLettered(DeadReason.DISABLED, "the webhook is disabled: the receiver answered 410")


@pytest.mark.parametrize(
    ("url", "joined"),
    [
        ("http://h", "http://h/messages-upsert"),
        ("http://h/", "http://h/messages-upsert"),
        ("http://h//", "http://h/messages-upsert"),
        ("https://h/x", "https://h/x/messages-upsert"),
        ("https://h/x/", "https://h/x/messages-upsert"),
        ("https://h/x///", "https://h/x/messages-upsert"),
        ("https://h//x", "https://h//x/messages-upsert"),
        ("https://h/q?t=1", "https://h/q/messages-upsert?t=1"),
        ("https://h/q/?t=1&u=a%2Fb+c", "https://h/q/messages-upsert?t=1&u=a%2Fb+c"),
        ("https://h?t=/a/", "https://h/messages-upsert?t=/a/"),
        ("https://h/q?t=1#part", "https://h/q/messages-upsert?t=1#part"),
        ("https://h/q#/part", "https://h/q/messages-upsert#/part"),
        ("https://h/a;p=1", "https://h/a;p=1/messages-upsert"),
        ("https://h/a%2Fb/ç", "https://h/a%2Fb/ç/messages-upsert"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x/messages-upsert"),
        ("http://[fe80::1%25eth0]/x", "http://[fe80::1%25eth0]/x/messages-upsert"),
        ("http://h:8080", "http://h:8080/messages-upsert"),
        ("http://h:65535/x", "http://h:65535/x/messages-upsert"),
        ("http://user:pa%40ss@h/x", "http://user:pa%40ss@h/x/messages-upsert"),
        ("https://bücher.example/x", "https://bücher.example/x/messages-upsert"),
        ("https://例え.テスト", "https://例え.テスト/messages-upsert"),
        ("HTTPS://H/X", "https://H/X/messages-upsert"),
        ("worker+https://h/x?t=1", "https://h/x/messages-upsert?t=1"),
        ("worker+http://h", "http://h/messages-upsert"),
    ],
)
def test_the_path_of_the_event_joins_the_path_of_the_url(url: str, joined: str) -> None:
    assert target_url(url, "MESSAGES_UPSERT") == joined
    assert routed(Webhook("acme", url, by_events=True)).url == joined
    assert routed(Webhook("acme", url)).url == url.removeprefix("worker+")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "must begin with http"),
        ("h/x", "must begin with http"),
        ("ftp://h/x", "must begin with http"),
        ("file:///etc/passwd", "must begin with http"),
        ("javascript:alert(1)", "must begin with http"),
        ("worker+ftp://h", "must begin with http"),
        ("worker+worker+http://h", "must begin with http"),
        ("http:h", "no host"),
        ("http://", "no host"),
        ("http:///x", "no host"),
        ("http://:80/x", "no host"),
        ("http://user:secret@/x", "no host"),
        ("http://h:port/x", "malformed"),
        ("http://h:99999/x", "malformed"),
        ("http://h:-1/x", "malformed"),
        ("http://h:0/x", "is 0"),
        ("http://loca%6chost/x", "has a %"),
        ("http://127.0.0.1%2e/x", "has a %"),
        ("http://user:secret/x", "malformed"),
        ("http://user:secret@[::1/x", "malformed"),
        ("http://user:secret@h\u2100/x", "malformed"),  # its NFKC form has a slash
        ("http://h/a b", "space"),
        (" http://h/x", "space"),
        ("http://h/x\r\nhost: evil", "control character"),
        ("http://h/\x7f", "control character"),
        ("http://h/\ud83d", "control character"),
        ("http://evil\\@h/x", "backslash"),
        ("http://[::1%25lo]/x", "only link-local addresses"),
        ("http://[fc00::1%eth0]/x", "only link-local addresses"),
        ("http://[v1.a:b]/x", "no IPv6 address"),
    ],
)
@pytest.mark.parametrize("by_events", [False, True])
def test_a_bad_url_is_a_dead_letter_that_quotes_nothing(url: str, problem: str, by_events: bool) -> None:
    found = route(EVENT, HISTORY, Webhook("acme", url, by_events=by_events), [])
    assert isinstance(found, DeadLettered)
    assert found.reason is DeadReason.BAD_URL
    assert problem in found.error
    assert "secret" not in found.error


SEGMENT = st.text(string.ascii_letters + string.digits + "-._~%;=@:é", max_size=8)
URLS = st.builds(
    "{}://{}{}/{}{}{}".format,
    st.sampled_from(["http", "https", "worker+https"]),
    st.sampled_from(["h", "127.0.0.1", "[::1]", "u:p@h.example"]),
    st.sampled_from(["", ":1", ":8443"]),
    st.lists(SEGMENT, max_size=4).map("/".join),
    st.sampled_from(["", "?t=1", "?t=1&t=2", "?u=https://h/x?y", "?x=%2F"]),
    st.sampled_from(["", "#f", "#/f?x"]),
)


@given(URLS, st.sampled_from(sorted(KNOWN)) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_joining_changes_nothing_but_the_path(url: str, kind: str) -> None:
    before, after = urlsplit(plain_url(url)), urlsplit(target_url(url, kind))
    assert after.path == f"{before.path.rstrip('/')}/{path_of(kind)}"
    assert (after.scheme, after.netloc) == (before.scheme, before.netloc)
    assert (after.query, after.fragment) == (before.query, before.fragment)
    assert parse_qsl(after.query) == parse_qsl(before.query)


@given(st.text() | URLS)
def test_any_text_is_a_url_or_refused(url: str) -> None:
    try:
        joined = target_url(url, "CALL")
    except BadUrl:
        return
    assert joined.encode().startswith((b"http://", b"https://"))
    assert plain_url(joined) == joined


@pytest.mark.parametrize(
    ("webhook", "neighbours", "destination"),
    [
        (Webhook("acme", "https://h/x", by_events=True), [], "https://h/x"),
        (Webhook("acme", "https://h/q/?t=1", by_events=True), [], "https://h/q/?t=1"),
        (Webhook("acme", "worker+https://h/x"), [], "https://h/x"),
        (everybodys("https://g/all", by_events=True), [OWN], "https://h/x"),
        (everybodys("https://g/all"), [OWN], "https://h/x"),
        (everybodys("https://g/all"), [Webhook("acme", "worker+https://h/x")], "https://h/x"),
        (everybodys("https://g/all"), [Webhook("acme", "https://h/x", enabled=False)], "https://h/x"),
        (everybodys("https://g/all"), [Webhook("acme", "https://crm", id="crm"), OWN], "https://h/x"),
        (everybodys("https://g/all"), [Webhook("acme", "https://crm", id="crm")], "https://g/all/messages-upsert"),
        (everybodys("https://g/all"), [Webhook("acme", "")], "https://g/all/messages-upsert"),
        (everybodys("https://g/all"), [], "https://g/all/messages-upsert"),
        (everybodys("https://g/all", by_events=True), [], "https://g/all/messages-upsert"),
        (everybodys("https://g/all/?t=1"), [], "https://g/all/messages-upsert?t=1"),
        (everybodys("worker+https://g/all"), [], "https://g/all/messages-upsert"),
    ],
)
def test_what_the_body_names_as_destination(webhook: Webhook, neighbours: list[Webhook], destination: str) -> None:
    assert routed(webhook, *neighbours).destination == destination


def test_the_id_depends_on_event_instance_and_webhook_alone() -> None:
    first = delivery_id("e1", "acme", "default")
    assert first == delivery_id("e1", "acme", "default")
    assert len({first, delivery_id("e2", "acme", "default"), delivery_id("e1", "b", "default")}) == 3
    assert first != delivery_id("e1", "acme", "crm")
    assert first.startswith("msg_")
    assert len(first) == 36


DELIVERIES = st.tuples(
    st.sampled_from([HISTORY.event_id, "f" * 64]),
    st.text("ab\0/. ", min_size=1, max_size=4),  # an instance may hold any character
    st.text("ab.-", min_size=1, max_size=4),  # an id may not
)


@given(DELIVERIES, DELIVERIES)
def test_two_deliveries_share_an_id_only_if_they_are_the_same(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert (delivery_id(*one) == delivery_id(*other)) == (one == other)


WEBHOOKS = st.lists(
    st.builds(
        Webhook,
        st.just("acme"),
        st.sampled_from(["https://h/x", "https://h/y?t=1", "worker+https://h/z", "not a url"]),
        id=st.sampled_from(["default", "audit", "crm"]),
        enabled=st.booleans(),
        events=st.frozensets(st.sampled_from(["MESSAGES_UPSERT", "CALL"])),
        by_events=st.booleans(),
    ),
    max_size=3,
    unique_by=lambda webhook: webhook.id,
)


@given(WEBHOOKS)
def test_each_webhook_of_an_event_has_an_end_of_its_own_that_the_others_do_not_change(webhooks: list[Webhook]) -> None:
    found = [route(EVENT, HISTORY, webhook, webhooks) for webhook in webhooks]
    assert found == [route(EVENT, HISTORY, webhook, [webhook]) for webhook in webhooks]
    deliveries = [one for one in found if isinstance(one, Delivery)]
    assert len({one.id for one in deliveries}) == len({one.endpoint for one in deliveries}) == len(deliveries)
    wanted = [one for one in webhooks if one.enabled and one.wants("MESSAGES_UPSERT") and one.url != "not a url"]
    assert [one.webhook for one in deliveries] == wanted


def test_every_attempt_of_a_delivery_has_the_same_id() -> None:
    later = HISTORY.failed(500, "the receiver answered 500", "entry").parked()
    found = route(EVENT, later, OWN, [OWN])
    assert isinstance(found, Delivery)
    assert found.id == routed(OWN).id
    assert found.attempt == 4


def test_a_repr_shows_no_url_for_it_may_hold_credentials() -> None:
    webhook = Webhook(
        "acme", "https://u:hidden@h/x?k=hidden", headers=(("X-Key", "hidden"),), secrets=("whsec_hidden",)
    )
    assert "hidden" not in repr(webhook)
    assert "hidden" not in repr(routed(webhook))
    assert "hidden" not in repr(routed(everybodys("https://g/all"), webhook))
