"""Evolution's own queues: which are its own, which grow, which nothing feeds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.doctor.builders import COMMANDS, EXCHANGE, QUORUM, bound, queue, theirs, view
from worker.broker.consuming.plan import evolution_queues as known_names
from worker.doctor.asking.management import QueueFacts
from worker.doctor.commands import Commands, Needs
from worker.doctor.evolution import Origins, consumed, modes, orphans, strangers, undefined, unread
from worker.doctor.view import prefix_of

FED = (bound("messages.upsert", "messages.upsert"),)
CAP = {"max-length": 1000}
UNKNOWN = Origins(EXCHANGE, None)
ACME = Origins(EXCHANGE, {"acme"})


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
    for command in (commands.cap_unread(), commands.delete_queues(["a", "b"]), commands.permit("u", Needs("e"))):
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
    finding = undefined(theirs(empty), COMMANDS, reads=False)
    assert finding is not None
    assert (finding.level, finding.items) == ("advice", names)
    assert unread(theirs(empty), COMMANDS).level == "ok"
    full = undefined(theirs(view(queue(names[0], 7))), COMMANDS, reads=False)
    assert full is not None
    assert full.level == "warning"


def test_an_instance_called_undefined_keeps_its_queues() -> None:
    seen = view(queue("undefined.call"), bindings=[bound("undefined.call", "call", "undefined")])
    assert undefined(theirs(seen), COMMANDS, reads=False) is None
    assert orphans(theirs(seen), UNKNOWN, COMMANDS) is None


def test_what_is_bound_with_keys_that_evolution_never_publishes_is_an_orphan() -> None:
    queues = ("group.participants.update", "messages.upsert", "messages-update", "group-participants.update", "call")
    bindings = [
        bound("group.participants.update", "GROUP_PARTICIPANTS_UPDATE"),
        bound("messages.upsert", "messages.upsert"),
        bound("messages-update", "messages-update"),
        bound("group-participants.update", "group-participants.update"),
        bound("call", "#"),
    ]
    finding = orphans(theirs(view(*map(queue, queues), bindings=bindings)), UNKNOWN, COMMANDS)
    assert finding is not None
    assert (finding.level, finding.items) == ("advice", ("group.participants.update",))
    assert finding.fix == "rabbitmqctl delete_queue group.participants.update"


def test_what_others_made_or_read_is_no_orphan() -> None:
    for facts in (
        queue("call", arguments={}),
        queue("call", arguments={"x-max-priority": 3}),
        queue("call", consumers=1),
    ):
        assert orphans(theirs(view(facts)), UNKNOWN, COMMANDS) is None
    assert orphans(theirs(view(queue("call"), bindings=None)), UNKNOWN, COMMANDS) is None


def test_the_queues_of_an_instance_that_is_gone_are_orphans_where_all_instances_are_known() -> None:
    seen = view(
        queue("gone.call", 3),
        queue("acme.call"),
        bindings=[bound("gone.call", "call", "gone"), bound("acme.call", "call", "acme")],
    )
    assert orphans(theirs(seen), UNKNOWN, COMMANDS) is None
    finding = orphans(theirs(seen), ACME, COMMANDS)
    assert finding is not None
    assert (finding.level, finding.items) == ("warning", ("gone.call",))


@pytest.mark.parametrize("reads", [False, True])
def test_queues_that_another_exchange_feeds_are_no_orphans_whatever_the_setting_says(reads: bool) -> None:
    names = ("connection.update", "messages.upsert")
    seen = view(*(queue(name, 1200) for name in names), bindings=[bound(name, name) for name in names])
    wrong = Origins("evolution", {"acme"}, reads=reads)
    assert orphans(theirs(seen), wrong, COMMANDS) is None
    finding = strangers(theirs(seen), wrong)
    assert finding is not None
    assert (finding.level, finding.items) == ("advice" if reads else "warning", names)
    assert f"fed by {EXCHANGE}, while RABBITMQ_EXCHANGE_NAME says evolution" in finding.what
    assert "delete" not in finding.fix
    assert strangers(theirs(seen), Origins(EXCHANGE, {"acme"}, reads=reads)) is None


def test_an_exchange_with_the_name_of_the_queues_prefix_is_no_instance_that_is_gone() -> None:
    """RABBITMQ_EXCHANGE_NAME=evolution and RABBITMQ_PREFIX_KEY=evolution there, and neither of them set here."""
    whole = queue("evolution.call", 5)
    binding = bound("evolution.call", "call", "evolution")
    acme = (queue("acme.call"), bound("acme.call", "call", "acme"))
    alone = theirs(view(whole, bindings=[binding]))
    beside = theirs(view(whole, acme[0], bindings=[binding, acme[1]]))
    assert orphans(alone, ACME, COMMANDS) is None, "no queue is fed by anything that is named here"
    assert strangers(alone, ACME) is not None
    assert orphans(beside, Origins(EXCHANGE, {"acme"}, "evolution"), COMMANDS) is None, "its prefix is set here"
    assert orphans(beside, Origins("evolution", {"acme"}), COMMANDS) is None, "its exchange is set here"
    both = theirs(view(queue("gone.call"), bindings=[bound("gone.call", "call", one) for one in ("gone", "other")]))
    assert orphans(both, ACME, COMMANDS) is None, "another one feeds it too"


def test_a_queue_of_an_instance_is_strange_only_where_all_instances_are_known() -> None:
    seen = theirs(view(queue("acme.call"), bindings=[bound("acme.call", "call", "acme")]))
    assert strangers(seen, UNKNOWN) is None
    assert strangers(seen, ACME) is None
    assert strangers(seen, Origins(EXCHANGE, {"other"})) is not None


def test_what_holds_messages_is_never_offered_for_deletion_where_the_worker_reads_evolutions_queues() -> None:
    full, empty, unseen = queue("call", 3), queue("logout.instance"), QueueFacts("new.jwt", None, 0, 0, QUORUM, {})
    for one in (full, unseen):
        finding = orphans(theirs(view(one, empty)), Origins(EXCHANGE, None, reads=True), COMMANDS)
        assert finding is not None
        delete, _, keep = finding.fix.partition("; ")
        assert delete == "rabbitmqctl delete_queue logout.instance"
        assert keep == f"look first at what these hold, it may not be delivered yet: {one.name}"
    held = undefined(theirs(view(queue("undefined.call", 7))), COMMANDS, reads=True)
    assert held is not None
    assert "rabbitmqctl" not in held.fix


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
