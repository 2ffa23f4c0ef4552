"""Evolution's own queues: which are its own, which grow, which nothing feeds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.doctor.builders import COMMANDS, EXCHANGE, bound, queue, theirs, view
from worker.broker.intake import evolution_queues as known_names
from worker.broker.management import QueueFacts
from worker.doctor.commands import Commands
from worker.doctor.evolution import consumed, modes, orphans, undefined, unread
from worker.doctor.view import prefix_of

FED = (bound("messages.upsert", "messages.upsert"),)
CAP = {"max-length": 1000}


def test_the_policy_is_the_readmes() -> None:
    readme = (Path(__file__).parent.parent.parent / "README.md").read_text()
    _, _, after = readme.partition("rabbitmqctl set_policy --apply-to queues evolution-unread")
    pattern, definition = re.findall(r"'([^']+)'", after)[:2]
    assert COMMANDS.cap_unread().endswith(f"evolution-unread '{pattern}' '{definition}'")


@pytest.mark.parametrize("prefix", ["", "undefined", "evolution", "loja 1", "a.b"])
def test_the_policy_matches_every_queue_of_evolution_and_none_of_ours(prefix: str) -> None:
    pattern = re.compile(COMMANDS.unread_pattern)
    for name in known_names(prefix):
        assert pattern.match(name), name
        assert prefix_of(name) == prefix, name
    assert not pattern.match("webhooks.call")
    assert re.match(Commands("/", "my-hooks").unread_pattern, "webhooks.call")
    assert not re.match(Commands("/", "my-hooks").unread_pattern, "my-hooks.call")


def test_another_virtual_host_is_named_in_every_command() -> None:
    commands = Commands("chat prod", "webhooks")
    for command in (commands.cap_unread(), commands.delete_queues(["a", "b"]), commands.permit("u", "e")):
        assert "--vhost 'chat prod'" in command


def test_names_are_quoted_for_the_shell() -> None:
    assert COMMANDS.delete_queues(["$(reboot).call"]) == "rabbitmqctl delete_queue '$(reboot).call'"
    assert COMMANDS.delete_queues(["a b.call", "c"]).startswith("for queue in 'a b.call' c; do ")
    assert COMMANDS.delete_queues([f"q{number}" for number in range(43)]).endswith("; then again, for the other 3")


def test_a_queue_of_another_application_is_left_alone() -> None:
    foreign = queue("telephone.call", 50_000)
    bound_elsewhere = bound("telephone.call", "ring", "telephony")
    assert theirs(view(foreign, bindings=[bound_elsewhere])) == []
    assert theirs(view(queue("webhooks.call"))) == []
    for known in (
        theirs(view(foreign), "telephone"),
        theirs(view(foreign, bindings=[bound("telephone.call", "call")])),
    ):
        assert [one.name for one in known] == ["telephone.call"]
    own_exchange = bound("telephone.call", "call", "telephone")
    assert [one.sources for one in theirs(view(foreign, bindings=[own_exchange]))] == [frozenset({"telephone"})]


@pytest.mark.parametrize(
    ("messages", "bytes_", "level"),
    [(0, 0, "warning"), (9_999, 5, "warning"), (10_000, 5, "problem"), (3, 200 * 1024**2, "problem")],
)
def test_unread_and_uncapped_is_worse_the_more_there_is(messages: int, bytes_: int, level: str) -> None:
    seen = view(queue("messages.upsert", messages, bytes=bytes_), bindings=FED)
    finding = unread(theirs(seen), COMMANDS)
    assert (finding.level, finding.items) == (level, ("messages.upsert",))
    assert finding.fix == COMMANDS.cap_unread()


@pytest.mark.parametrize(
    "facts",
    [
        {"policy": CAP},
        {"policy": {"max-length-bytes": 5}},
        {"policy": {"message-ttl": 5}},
        {"arguments": {"x-queue-type": "quorum", "x-max-length": 5}},
        {"consumers": 1},
    ],
)
def test_capped_or_read_by_somebody_is_well(facts: dict[str, object]) -> None:
    seen = view(queue("messages.upsert", 50_000, **facts), bindings=FED)
    assert unread(theirs(seen), COMMANDS).level == "ok"


def test_a_policy_that_caps_nothing_is_named_because_only_one_applies() -> None:
    seen = view(queue("messages.upsert", 5, policy={"ha-mode": "all"}, policy_name="ha"), bindings=FED)
    finding = unread(theirs(seen), COMMANDS)
    assert finding.level == "warning"
    assert "add max-length to ha" in finding.fix


def test_without_the_management_api_only_more_than_the_cap_proves_that_there_is_none() -> None:
    few, lots = (QueueFacts("messages.upsert", count, consumers=0) for count in (1000, 1001))
    assert unread(theirs(view(few, bindings=None)), COMMANDS).level == "advice"
    assert unread(theirs(view(lots, bindings=None)), COMMANDS).level == "warning"
    assert unread(theirs(view(bindings=None)), COMMANDS).level == "ok"


def test_undefined_queues_are_offered_for_deletion() -> None:
    names = ("undefined.call", "undefined.messages.upsert")
    empty = view(*map(queue, names), bindings=[bound(names[1], "MESSAGES_UPSERT")])
    finding = undefined(theirs(empty), COMMANDS)
    assert finding is not None
    assert (finding.level, finding.items) == ("advice", names)
    assert unread(theirs(empty), COMMANDS).level == "ok"
    full = undefined(theirs(view(queue(names[0], 7))), COMMANDS)
    assert full is not None
    assert full.level == "warning"


def test_an_instance_called_undefined_keeps_its_queues() -> None:
    seen = view(queue("undefined.call"), bindings=[bound("undefined.call", "call", "undefined")])
    assert undefined(theirs(seen), COMMANDS) is None
    assert orphans(theirs(seen), None, EXCHANGE, COMMANDS) is None


def test_what_is_bound_with_keys_that_evolution_never_publishes_is_an_orphan() -> None:
    queues = ("group.participants.update", "messages.upsert", "messages-update", "group-participants.update", "call")
    bindings = [
        bound("group.participants.update", "GROUP_PARTICIPANTS_UPDATE"),
        bound("messages.upsert", "messages.upsert"),
        bound("messages-update", "messages-update"),
        bound("group-participants.update", "group-participants.update"),
        bound("call", "#"),
    ]
    finding = orphans(theirs(view(*map(queue, queues), bindings=bindings)), None, EXCHANGE, COMMANDS)
    assert finding is not None
    assert (finding.level, finding.items) == ("advice", ("group.participants.update",))
    assert finding.fix == "rabbitmqctl delete_queue group.participants.update"


def test_what_others_made_or_read_is_no_orphan() -> None:
    for facts in (
        queue("call", arguments={}),
        queue("call", arguments={"x-max-priority": 3}),
        queue("call", consumers=1),
    ):
        assert orphans(theirs(view(facts)), None, EXCHANGE, COMMANDS) is None
    assert orphans(theirs(view(queue("call"), bindings=None)), None, EXCHANGE, COMMANDS) is None


def test_the_queues_of_an_instance_that_is_gone_are_orphans_where_all_instances_are_known() -> None:
    seen = view(
        queue("gone.call", 3),
        queue("acme.call"),
        bindings=[bound("gone.call", "call", "gone"), bound("acme.call", "call", "acme")],
    )
    assert orphans(theirs(seen), None, EXCHANGE, COMMANDS) is None
    finding = orphans(theirs(seen), {"acme"}, EXCHANGE, COMMANDS)
    assert finding is not None
    assert (finding.level, finding.items) == ("warning", ("gone.call",))


def test_the_queues_that_the_worker_reads_must_not_be_capped() -> None:
    seen = view(queue("messages.upsert", consumers=1, policy=CAP, policy_name="evolution-unread"), bindings=FED)
    (finding,) = consumed(theirs(seen), "3.13.7", "webhooks.dead", COMMANDS)
    assert finding.level == "problem"
    assert finding.fix == "rabbitmqctl clear_policy evolution-unread"


def test_the_queues_that_the_worker_reads_must_exist_and_be_read() -> None:
    (none,) = consumed([], "3.13.7", "webhooks.dead", COMMANDS)
    assert none.level == "problem"
    (idle,) = consumed(theirs(view(queue("messages.upsert"), bindings=FED)), "3.13.7", "webhooks.dead", COMMANDS)
    assert (idle.level, idle.items) == ("warning", ("messages.upsert",))


def test_rabbitmq_4_drops_from_the_queues_that_the_worker_reads_unless_a_policy_says_where_to() -> None:
    plain = theirs(view(queue("messages.upsert", consumers=1), bindings=FED))
    (finding,) = consumed(plain, "4.1.0", "webhooks.dead", COMMANDS)
    assert finding.level == "warning"
    assert '"dead-letter-routing-key":"webhooks.dead"' in finding.fix
    assert [one.level for one in consumed(plain, "3.13.7", "webhooks.dead", COMMANDS)] == ["ok"]
    kept = queue("messages.upsert", consumers=1, policy={"dead-letter-exchange": "", "delivery-limit": 100})
    assert [one.level for one in consumed(theirs(view(kept, bindings=FED)), "4.1.0", "d", COMMANDS)] == ["ok"]


def test_events_that_only_the_instances_exchanges_get_are_missed() -> None:
    local = [bound("acme.call", "call", "acme")]
    seen = theirs(view(queue("acme.call"), bindings=local))
    finding = modes(seen, EXCHANGE, instance_exchanges=False)
    assert finding is not None
    assert finding.level == "problem"
    assert modes(seen, EXCHANGE, instance_exchanges=True) is None
    both = theirs(view(queue("acme.call"), queue("call"), bindings=[*local, bound("call", "call")]))
    twice = modes(both, EXCHANGE, instance_exchanges=True)
    assert twice is not None
    assert twice.level == "warning"
    assert modes(both, EXCHANGE, instance_exchanges=False) is None
