"""The chart's network policy: the second line behind the worker's own egress guard, and in step with it."""

from __future__ import annotations

from ipaddress import IPv4Network

from tests.deploy.chart import PRODUCTION, of, render
from worker.http.egress import _KINDS_IPV4


def test_the_network_policy_leaves_out_what_the_worker_refuses() -> None:
    rules = of(render({}), "NetworkPolicy")["spec"]["egress"]
    (public,) = [rule for rule in rules if rule["to"][0].get("ipBlock", {}).get("cidr") == "0.0.0.0/0"]
    closed = [IPv4Network(cidr) for cidr in public["to"][0]["ipBlock"]["except"]]
    refused = [IPv4Network(cidr) for cidr, _ in _KINDS_IPV4]
    assert all(any(network.subnet_of(block) for block in closed) for network in refused)
    assert all(any(block.subnet_of(network) for network in refused) for block in closed)


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
