"""The worker's own queues, RabbitMQ's version and what depends on it."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.doctor.builders import COMMANDS, EXCHANGE, TOPOLOGY, bound, own_queues, queue, view
from worker.broker.consuming.plan import evolution_queues, go_queues
from worker.doctor.commands import Needs
from worker.doctor.own import binding, dead_letters, leftovers, limits, policies, readers, rights
from worker.doctor.version import message_size, parsed, version

MIB = 1024**2
BOUND = bound("webhooks.events", "#")


def test_the_binding_is_missed_only_where_the_queue_exists_and_bindings_can_be_seen() -> None:
    assert binding(view(bindings=[]), TOPOLOGY, bound=True) is None
    assert binding(view(*own_queues(), bindings=None), TOPOLOGY, bound=True) is None
    missing = binding(view(*own_queues(), bindings=[]), TOPOLOGY, bound=True)
    assert missing is not None
    assert missing.level == "problem"
    assert f"source={EXCHANGE} destination=webhooks.events routing_key='#'" in missing.fix


@pytest.mark.parametrize(
    ("key", "bound_", "level"),
    [("#", True, "ok"), ("messages.*", True, "advice"), ("#", False, "problem")],
)
def test_the_binding_is_judged_by_its_key_and_by_the_source(key: str, bound_: bool, level: str) -> None:
    found = binding(view(*own_queues(), bindings=[bound("webhooks.events", key)]), TOPOLOGY, bound=bound_)
    assert found is not None
    assert found.level == level


def test_no_binding_is_right_with_evolutions_own_queues() -> None:
    found = binding(view(*own_queues(), bindings=[]), TOPOLOGY, bound=False)
    assert found is not None
    assert found.level == "ok"


@pytest.mark.parametrize("key", ["max-length", "message-ttl", "expires", "overflow"])
def test_a_policy_that_cuts_our_queues_is_a_problem(key: str) -> None:
    seen = view(*own_queues(events={key: 5, "delivery-limit": 500}))
    (found,) = policies(seen, TOPOLOGY, COMMANDS)
    assert (found.level, found.items) == ("problem", ("webhooks.events",))
    assert key in found.what
    assert policies(view(*own_queues(events={"queue-leader-locator": "balanced"})), TOPOLOGY, COMMANDS) == []


def test_the_delivery_limit_is_the_least_of_argument_and_policy() -> None:
    fine = limits(view(*own_queues(dead={"delivery-limit": 5_000_000})), TOPOLOGY)
    assert fine is not None
    assert fine.level == "ok"
    for name, limit in (("events", 20), ("dead", 100)):
        low = limits(view(*own_queues(**{name: {"delivery-limit": limit}})), TOPOLOGY)
        assert low is not None
        assert low.level == "warning"
        assert f"webhooks.{name} {limit} " in low.what


def test_queues_of_the_operators_own_get_the_default_of_rabbitmq_4() -> None:
    without = queue("webhooks.events", arguments={"x-queue-type": "quorum"})
    old, new = (limits(view(without, version=number), TOPOLOGY) for number in ("3.13.7", "4.0.5"))
    assert old is not None
    assert new is not None
    assert (old.level, new.level) == ("ok", "warning")
    assert "webhooks.events 20 " in new.what
    assert limits(view(without, bindings=None), TOPOLOGY) is None
    assert limits(view(), TOPOLOGY) is None


def test_replicas_are_counted_by_their_consumers_of_retries() -> None:
    assert readers(view(), TOPOLOGY) is None
    seen = {count: readers(view(queue("webhooks.retries", consumers=count)), TOPOLOGY) for count in (0, 3)}
    assert seen[0] is not None
    assert seen[3] is not None
    assert (seen[0].level, seen[3].level) == ("advice", "ok")
    waiting = readers(view(queue("webhooks.retries"), queue("webhooks.events", 1)), TOPOLOGY)
    assert waiting is not None
    assert waiting.level == "warning"
    assert waiting.fix == "webhook-worker run"


def test_dead_letters_are_told_of() -> None:
    assert dead_letters(view(queue("webhooks.dead")), TOPOLOGY) is None
    found = dead_letters(view(queue("webhooks.dead", 1)), TOPOLOGY)
    assert found is not None
    assert found.what == "1 delivery given up"


def test_empty_delay_queues_of_another_schedule_are_offered_for_deletion() -> None:
    assert leftovers(view(*own_queues(), queue("webhooks.events2")), TOPOLOGY, COMMANDS) is None
    found = leftovers(
        view(*own_queues(), queue("webhooks.retry.7s"), queue("webhooks.retry.8s", 2)), TOPOLOGY, COMMANDS
    )
    assert found is not None
    assert (found.level, found.items) == ("advice", ("webhooks.retry.7s",))
    draining = leftovers(view(queue("webhooks.retry.8s", 2)), TOPOLOGY, COMMANDS)
    assert draining is not None
    assert draining.level == "ok"


@pytest.mark.parametrize(
    ("found", "level"),
    [("3.9.13", "problem"), ("3.10.0", "ok"), ("4.1.0-rc.1", "ok"), ("10.0", "ok"), ("", "advice"), ("x", "advice")],
)
def test_versions_are_compared_as_numbers(found: str, level: str) -> None:
    assert version(found).level == level
    assert parsed("3.10.8") > parsed("3.9.13")


@pytest.mark.parametrize(
    ("number", "messages", "total", "level"),
    [
        ("3.13.7", 10, 100 * MIB, "ok"),
        ("3.13.7", 2, 70 * MIB, "warning"),
        ("4.0.1", 1000, 5 * MIB, "ok"),
        ("4.0.1", 1000, 17 * MIB, "advice"),
        ("4.0.1", 4, 17 * MIB, "warning"),
        ("4.0.1", 0, 0, "advice"),
        ("3.13.7", 0, 0, "ok"),
        ("", 10, 100 * MIB, "ok"),
    ],
)
def test_the_largest_event_lies_between_a_queues_average_and_all_its_bytes(
    number: str, messages: int, total: int, level: str
) -> None:
    found = message_size(number, [queue("messages.upsert", messages, bytes=total), queue("call", 5, bytes=50)])
    if not messages:
        found = message_size(number, [queue("messages.upsert", bytes=None)])
    assert found.level == level
    assert bool(found.fix) == (level != "ok")


@pytest.mark.parametrize("number", ["3.10.8", "4.1.0"])
def test_what_becomes_of_events_above_the_limit_of_rabbitmq_4_is_said_beforehand(number: str) -> None:
    found = message_size(number, [queue("messages.upsert", 40, bytes=40 * MIB)])
    assert "too_large_for_broker" in found.what
    small = message_size("3.10.8", [queue("messages.upsert", 4, bytes=4 * MIB)])
    assert "too_large_for_broker" not in small.what


UUID = "8f0a3c52-6c0e-4f7e-9a55-0d9f4f0f7c11"
README_RIGHTS = (r"^(webhooks\..*|evolution_exchange)$", r"^(webhooks\..*|evolution_exchange|amq\.default)$")
"""deploy/README.md: to configure and to read, to write."""


@pytest.mark.parametrize(
    ("needs", "may_read", "may_not_read", "may_configure"),
    [
        (Needs(EXCHANGE), ["webhooks.events", EXCHANGE], ["messages.upsert", "acme"], ["webhooks.events", EXCHANGE]),
        (Needs(EXCHANGE, ""), ["messages.upsert", "group-update", "webhooks.dead"], ["acme.call"], [EXCHANGE]),
        (Needs(EXCHANGE, "a.b"), ["a.b.messages.upsert", EXCHANGE], ["messages.upsert", "a-b.call"], [EXCHANGE]),
        (Needs(EXCHANGE, instance_exchanges=True), ["acme", EXCHANGE], [], ["acme", "webhooks.dead"]),
        (Needs(EXCHANGE, "", instance_exchanges=True, declares=False), ["acme", "call"], [], ["webhooks.config"]),
    ],
)
def test_rights_fit_the_mode(
    needs: Needs, may_read: list[str], may_not_read: list[str], may_configure: list[str]
) -> None:
    finding = rights("access refused", "evolution", needs, COMMANDS)
    assert "must be the worker's alone" in finding.what
    *_, user, configure, write, read = shlex.split(finding.fix)
    assert (user, write) == ("evolution", README_RIGHTS[1])
    if needs == Needs(EXCHANGE):
        assert (configure, read) == (README_RIGHTS[0], README_RIGHTS[0])
    assert all(re.search(read, name) for name in may_read)
    assert not any(re.search(read, name) for name in may_not_read)
    assert all(re.search(configure, name) for name in may_configure)
    assert bool(re.search(configure, "acme")) == (needs.instance_exchanges and needs.declares)
    assert not re.search(write, "acme")


@pytest.mark.parametrize("prefix", ["", "undefined", "loja 1"])
def test_rights_for_evolutions_queues_cover_every_spelling(prefix: str) -> None:
    read = re.compile(shlex.split(COMMANDS.permit("u", Needs(EXCHANGE, prefix)))[-1])
    assert [name for name in evolution_queues(prefix) if not read.search(name)] == []
    assert all(bool(read.search(name)) == (not prefix) for name in go_queues())
    assert not any(map(read.search, go_queues(UUID)))
    instances = re.compile(shlex.split(COMMANDS.permit("u", Needs(EXCHANGE, prefix, instance_queues=True)))[-1])
    assert all(map(instances.search, go_queues(UUID)))
    assert not instances.search("acme.message")
