"""The chart's network policy: the second line behind the worker's own egress guard, and in step with it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from tests.deploy.chart import HISTORY_APART, PRODUCTION, SCALED, of, render
from worker.http.egress import _KINDS_IPV4


def test_the_network_policy_leaves_out_what_the_worker_refuses() -> None:
    rules = of(render({}), "NetworkPolicy")["spec"]["egress"]
    (public,) = [rule for rule in rules if rule["to"][0].get("ipBlock", {}).get("cidr") == "0.0.0.0/0"]
    closed = [IPv4Network(cidr) for cidr in public["to"][0]["ipBlock"]["except"]]
    refused = [IPv4Network(cidr) for cidr, _ in _KINDS_IPV4]
    assert all(any(network.subnet_of(block) for block in closed) for network in refused)
    assert all(any(block.subnet_of(network) for network in refused) for block in closed)


def test_a_translator_reaches_the_same_ipv4_internet() -> None:
    """RFC 6052 2.1: the address stands in the last 32 bits of 64:ff9b::/96."""
    rules = of(render({}), "NetworkPolicy")["spec"]["egress"]
    (public,) = [rule for rule in rules if rule["to"][0].get("ipBlock", {}).get("cidr") == "0.0.0.0/0"]
    plain, _, translated = [peer["ipBlock"] for peer in public["to"]]
    assert translated["cidr"] == "64:ff9b::/96"
    inside = [IPv6Network(text) for text in translated["except"]]
    assert [str(network) for network in inside] == translated["except"]
    embedded = [IPv4Network((IPv4Address(int(n.network_address) & 0xFFFFFFFF), n.prefixlen - 96)) for n in inside]
    assert [str(network) for network in embedded] == plain["except"]
    assert all(network.network_address in IPv6Network(translated["cidr"]) for network in inside)


@pytest.mark.parametrize("name", ["broker", "database", "dns"])
def test_no_peers_are_no_rule(name: str) -> None:
    """Left open they would be everything: an empty `to` is any destination in Kubernetes."""
    policy = {"dns": []} if name == "dns" else {name: {"to": []}}
    rules = of(render(SCALED | {"networkPolicy": policy}), "NetworkPolicy")["spec"]["egress"]
    assert len(rules) == len(of(render(SCALED), "NetworkPolicy")["spec"]["egress"]) - 1
    assert all(rule["to"] for rule in rules)


def test_dns_is_reached_where_its_pods_listen() -> None:
    rules = of(render({"networkPolicy": {"dnsPorts": [5353]}}), "NetworkPolicy")["spec"]["egress"]
    assert [(port["protocol"], port["port"]) for port in rules[0]["ports"]] == [("UDP", 5353), ("TCP", 5353)]


def test_an_address_of_either_family_is_opened_alone() -> None:
    rules = of(render({"egressAllow": ["fd00:1::7", "10.0.0.7"]}), "NetworkPolicy")["spec"]["egress"]
    opened = [peer["ipBlock"]["cidr"] for peer in rules[-1]["to"]]
    assert opened == [f"{IPv6Address('fd00:1::7')}/128", "10.0.0.7/32"]


def test_the_network_policy_opens_dns_broker_database_and_what_is_allowed() -> None:
    rules = of(render(PRODUCTION), "NetworkPolicy")["spec"]["egress"]
    ports = [[port.get("port") for port in rule["ports"]] for rule in rules]
    assert ports == [[53, 53], [5671, 5672], [5432], [None], [None]]
    allowed = [peer["ipBlock"]["cidr"] for peer in rules[-1]["to"]]
    assert allowed == ["10.96.0.0/12", "192.168.7.9/32", "fd00:1::7/128"]
    assert len(of(render({}), "NetworkPolicy")["spec"]["egress"]) == 3


def test_the_network_policy_opens_a_collector_of_traces() -> None:
    collector = {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}
    rules = of(render({"networkPolicy": {"collector": {"to": [collector]}}}), "NetworkPolicy")["spec"]["egress"]
    assert {"to": [collector], "ports": [{"protocol": "TCP", "port": 4318}]} in rules


def test_the_network_policy_opens_the_databases_of_history_and_of_tokens_if_they_are_named() -> None:
    peers = {"to": [{"ipBlock": {"cidr": "10.9.9.9/32"}}], "ports": [6432]}
    opened = {"to": peers["to"], "ports": [{"protocol": "TCP", "port": 6432}]}
    for values, there in ((HISTORY_APART, True), (SCALED, False)):
        for database in ("historyDatabase", "instanceTokensDatabase"):
            policy = {"networkPolicy": {database: peers}}
            assert (opened in of(render(values | policy), "NetworkPolicy")["spec"]["egress"]) is there
