"""What is said of receivers that cannot be connected to."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from tests.support.tls import Authority
from worker.basics.address import Address
from worker.doctor.asking.reach import Failure, Place, Probe, Reach
from worker.doctor.endpoints import TOLD, by_place, certificates, dns, endpoints, outage, proxy, unsendable
from worker.doctor.notices import receivers
from worker.domain.webhook import Webhook
from worker.http.proxy import EgressProxy
from worker.process.sources import KINDS
from worker.settings.settings import load

ACME = Webhook("acme", "https://h.example/x?key=secret")
CRLF = Webhook("crlf", ACME.url, headers=(("X-Tenant", "a\r\nsecret: b"),))
PLACE = Place("h.example", 443, True)


def failed(failure: Failure, count: int = 1) -> Reach:
    return Reach({Place(f"h{number}.example", 443, True): Probe(failure, "why") for number in range(count)}, 0)


def test_a_proxy_that_fails_is_one_finding_and_no_receivers() -> None:
    there = EgressProxy(Address("http", "proxy.example", port=3128, user="u", password="hunter2"))
    broken = failed("proxy", 3)
    found = proxy(broken, there)
    assert found is not None
    assert (found.level, found.items) == ("problem", ("h0.example:443", "h1.example:443", "h2.example:443"))
    assert found.what.startswith("why: 3 receivers not reached: ")
    assert "EGRESS_PROXY" in found.fix
    assert "hunter2" not in found.what + found.fix
    assert endpoints(broken, {}) == []
    assert outage(broken) is None
    well = proxy(Reach({PLACE: Probe()}, 0), there)
    assert well is not None
    assert (well.level, well.what) == ("ok", "receivers are reached through proxy.example:3128")
    assert proxy(broken, None) is None


NOW = time.time()
AUTHORITY = Authority()


@pytest.mark.parametrize(("days", "level"), [(-1, "problem"), (13.9, "warning"), (14.1, "ok")])
def test_a_client_certificate_is_told_of_two_weeks_before_its_end(days: float, level: str) -> None:
    ending = replace(ACME, client_certificate=AUTHORITY.client_certificate(days=days))
    off = Webhook("off", ACME.url, enabled=False, client_certificate=AUTHORITY.client_certificate(days=-1))
    (found,) = certificates([ending, Webhook("plain", ACME.url), off], NOW)
    assert (found.level, "acme/default" in found.what) == (level, level != "ok")
    assert ("--client-certificate-file" in found.fix) is (level != "ok")


def test_without_client_certificates_nothing_is_said_of_them() -> None:
    assert certificates([ACME], NOW) == []


def test_webhooks_are_grouped_by_host_and_port_and_disabled_ones_left_out() -> None:
    more = [Webhook("b", "worker+https://h.example:443/y"), Webhook("c", "http://h.example/"), Webhook("d", "ftp://h/")]
    off = Webhook("off", "https://off.example/", enabled=False)
    places = by_place([ACME, *more, off])
    assert {str(place): [one.instance for one in webhooks] for place, webhooks in places.items()} == {
        "h.example:443": ["acme", "b"],
        "h.example:80": ["c"],
    }
    bad = unsendable([ACME, *more, off])
    assert bad is not None
    assert (bad.level, bad.items) == ("problem", ("d/default",))
    assert unsendable([ACME]) is None


def test_webhooks_that_no_request_can_be_made_of_are_named_with_the_reason_and_no_value() -> None:
    odd = Webhook("odd", ACME.url, headers=(("X-A", "hunter2\n"),))
    off = Webhook("off", "https://a b/", enabled=False)
    found = unsendable([ACME, odd, off, Webhook("", "https://h.example/ x")])
    assert found is not None
    assert found.items == ("odd/default", "WEBHOOK_GLOBAL_URL")
    assert "odd/default (the value of header 'X-A' holds a control character" in found.what
    assert "hunter2" not in found.what


@pytest.mark.parametrize(
    ("failure", "level", "fix"),
    [
        ("egress", "problem", "EGRESS_ALLOW"),
        ("dns", "warning", "webhook set --id=default --url=URL acme"),
        ("tls", "warning", "openssl s_client -connect h.example:443"),
        ("connect", "warning", "h.example:443"),
        ("timeout", "warning", "h.example:443"),
    ],
)
def test_each_failure_has_its_fix_and_no_url_is_repeated(failure: Failure, level: str, fix: str) -> None:
    (found,) = endpoints(Reach({PLACE: Probe(failure, "why")}, 0), by_place([ACME]))
    assert (found.level, found.items) == (level, ("acme/default",))
    assert fix in found.fix
    assert "secret" not in found.what + found.fix


def test_a_fix_is_what_the_source_allows() -> None:
    for source, words in (
        ("evolution", "Evolution's own POST /webhook/set/acme, its url as worker+https://"),
        ("file", "edit /etc/hooks.toml (acme/default)"),
    ):
        given = {"WEBHOOK_SOURCE": source, "WEBHOOK_FILE": "/etc/hooks.toml", "RABBITMQ_URI": "amqp://localhost/"}
        settings, _ = load({**given, "DATABASE_CONNECTION_URI": "postgresql://u@h/evolution"}, None)
        elsewhere = KINDS[source].elsewhere
        assert elsewhere is not None
        reach = Reach({PLACE: Probe("dns", "why")}, 0)
        (found,) = endpoints(reach, by_place([ACME]), elsewhere(settings))
        assert words in found.fix
        bad = [unsendable([Webhook("d", "ftp://h/")], elsewhere(settings)), unsendable([CRLF], elsewhere(settings))]
        assert "webhook set" not in found.fix + "".join(one.fix for one in bad if one is not None)
    assert KINDS["own"].elsewhere is None


def test_headers_that_cannot_be_sent_are_named_without_their_values() -> None:
    wrong = [
        CRLF,
        Webhook("space", ACME.url, headers=(("X Tenant", "secret"),)),
        Webhook("token", ACME.url, headers=(("jwt_key", ""),)),
    ]
    off = Webhook("off", ACME.url, headers=(("a\n", "b"),), enabled=False)
    found = unsendable([ACME, *wrong, off])
    assert found is not None
    assert (found.level, found.items) == ("problem", ("crlf/default", "space/default", "token/default"))
    assert "'X Tenant'" in found.what
    assert "secret" not in found.what + found.fix
    assert unsendable([ACME, off]) is None


def test_the_global_webhook_is_named_by_its_setting() -> None:
    (found,) = endpoints(Reach({PLACE: Probe("dns", "why")}, 0), by_place([Webhook("", ACME.url)]))
    assert found.items == ("WEBHOOK_GLOBAL_URL",)
    assert found.fix.endswith("WEBHOOK_GLOBAL_URL")


def test_of_many_the_rest_is_one_finding() -> None:
    reach = failed("connect", TOLD + 3)
    found = endpoints(reach, {place: [ACME] for place in reach.probes})
    assert len(found) == TOLD + 1
    assert len(found[-1].items) == 3
    late = endpoints(Reach({PLACE: Probe()}, 4), by_place([ACME]))
    assert [one.level for one in late] == ["advice", "ok"]
    assert [one.what for one in endpoints(Reach({}, 0), {})] == ["no enabled webhook"]


def test_when_nobody_can_be_reached_the_fault_is_here() -> None:
    assert outage(failed("connect", 2)) is None
    found = outage(failed("timeout", 3))
    assert found is not None
    assert found.level == "problem"
    mixed = failed("connect", 3)
    mixed.probes[PLACE] = Probe()
    assert outage(mixed) is None
    assert outage(failed("egress", 5)) is None
    assert outage(failed("tls", 5)) is None


def test_dns_that_resolves_nothing_or_slowly_is_told() -> None:
    assert dns(Reach({PLACE: Probe()}, 0)) is None
    assert dns(failed("dns")) is None
    none, slow, fast = (
        dns(failed("dns", 2)),
        dns(Reach({PLACE: Probe(lookup=2.5)}, 0)),
        dns(Reach({PLACE: Probe(lookup=0.1), Place("x.example", 80, False): Probe("dns", "why")}, 0)),
    )
    assert none is not None
    assert slow is not None
    assert fast is not None
    assert (none.level, slow.level, fast.level) == ("problem", "warning", "ok")
    assert "2.50 s" in slow.what


def test_addresses_of_notices_are_tried_too_and_named_by_what_sets_them() -> None:
    """Also that of a webhook which is disabled: then its owner hears most."""
    off = Webhook("acme", "https://h.example/", enabled=False, alert_url="https://alerts.example/x")
    (settings, _) = load({"OPS_WEBHOOK_URL": "https://ops.example/y"}, None)
    places = by_place([off, *receivers(settings, [off, ACME])])
    assert sorted(place.host for place in places) == ["alerts.example", "ops.example"]
    reached = Reach({place: Probe("connect", "refused") for place in places}, 0)
    owners, operators = endpoints(reached, places)
    assert "(alert_url of acme/default)" in owners.what
    assert "webhook-worker webhook set --id=default --alert-url=URL acme" in owners.fix
    assert "(OPS_WEBHOOK_URL)" in operators.what
    assert operators.fix.endswith("or OPS_WEBHOOK_URL")
