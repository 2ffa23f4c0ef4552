"""What the doctor says of Evolution Go's queues."""

import re
import shlex
from collections.abc import Collection
from pathlib import Path

import pytest

from tests.doctor.builders import COMMANDS, QUORUM, queue, theirs, view
from worker.broker.consuming.plan import go_queues
from worker.doctor.evolution_go import ARGUMENTS, INSTANCES_NAME, NAME, judged, queues_of_go
from worker.doctor.finding import Finding
from worker.doctor.view import BrokerView

UUID = "8f0a3c52-6c0e-4f7e-9a55-0d9f4f0f7c11"


def found(seen: BrokerView, *, reads: bool, instances: Collection[str] = ()) -> list[Finding]:
    return judged(queues_of_go(seen), seen.version, "webhooks.dead", COMMANDS, reads=reads, instances=instances)


def test_another_applications_queue_of_that_name_is_left_alone() -> None:
    seen = view(queue("message", 5, arguments=QUORUM), queue("messages", arguments=ARGUMENTS), queue("x.message"))
    assert found(seen, reads=True) == found(seen, reads=False) == []
    assert theirs(view(queue("message", arguments=ARGUMENTS), bindings=None)) == []


def test_unread_ones_are_told_with_the_setting_that_reads_them() -> None:
    (finding,) = found(
        view(queue("message", 3, arguments=ARGUMENTS), queue("qrcode", arguments=ARGUMENTS)), reads=False
    )
    assert (finding.level, finding.name, finding.items) == ("warning", NAME, ("message", "qrcode"))
    assert "2 queues with 3 messages" in finding.what
    assert "RABBITMQ_SOURCE=queues" in finding.fix


def test_what_is_read_and_kept_is_fine() -> None:
    (finding,) = found(view(queue("message", consumers=1, arguments=ARGUMENTS)), reads=True)
    assert (finding.level, finding.what) == ("ok", "1 read by a worker")
    (unseen,) = found(view(queue("message", consumers=1, arguments={}, policy=None), bindings=None), reads=True)
    assert unseen.level == "ok"


def test_rabbitmq_4_drops_what_no_policy_keeps() -> None:
    seen = view(queue("message", consumers=1, arguments=ARGUMENTS), version="4.0.5")
    (finding,) = found(seen, reads=True)
    assert finding.level == "warning"
    *_, name, pattern, _ = shlex.split(finding.fix)
    assert name == "evolution-go-read"
    assert all(re.search(pattern, one) for one in go_queues())
    assert all(re.search(pattern, one) for one in go_queues(UUID))
    assert not re.search(pattern, "messages.upsert")
    assert not re.search(pattern, "acme.message")
    assert not re.search(pattern, "webhooks.message")


@pytest.mark.parametrize("reads", [True, False])
def test_those_of_instances_are_not_read_before_their_ids_are_given(reads: bool) -> None:
    (finding,) = found(view(queue(f"{UUID}.message", 7, arguments=ARGUMENTS)), reads=reads)
    assert (finding.level, finding.name) == ("problem", INSTANCES_NAME)
    assert f"RABBITMQ_SOURCE=queues and RABBITMQ_INSTANCE_QUEUES={UUID}; or AMQP_GLOBAL_ENABLED=true" in finding.fix


def test_the_fix_keeps_the_instances_that_are_read_already() -> None:
    other = UUID.replace("8f0a", "9f0a")
    seen = view(
        queue(f"{UUID}.message", consumers=1, arguments=ARGUMENTS),
        queue(f"{other}.receipt", 7, arguments=ARGUMENTS),
    )
    read, left = found(seen, reads=True, instances={UUID})
    assert (read.level, read.name, read.what) == ("ok", INSTANCES_NAME, "1 read by a worker")
    assert (left.level, left.items) == ("problem", (f"{other}.receipt",))
    assert f"RABBITMQ_INSTANCE_QUEUES={UUID},{other};" in left.fix
    many = [queue(f"{n:08x}{UUID[8:]}.message", arguments=ARGUMENTS) for n in range(33)]
    (too_many,) = found(view(*many), reads=True)
    assert too_many.fix.startswith("AMQP_GLOBAL_ENABLED=true")


def test_the_policy_is_that_of_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "evolution.md").read_text()
    _, _, after = page.partition("rabbitmqctl set_policy --apply-to queues evolution-go-read")
    pattern, definition = re.findall(r"'([^']+)'", after)[:2]
    assert COMMANDS.keep_read_of_go("webhooks.dead").endswith(f"evolution-go-read '{pattern}' '{definition}'")
