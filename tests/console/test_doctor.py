"""Is the installation healthy? The doctor's findings, for the operator alone."""

import json
from collections.abc import Sequence

from tests.console.conftest import HOSTILE, Console, Visitor
from tests.support.waiting import eventually
from worker.console.ports import Ended, OnLine

FINDINGS = [
    {"level": "ok", "name": "settings", "what": "right", "fix": "", "items": []},
    {
        "level": "problem",
        "name": HOSTILE,
        "what": "1,204 queues that nobody reads",
        "fix": "rabbitmqctl set_policy <x>",
    },
    {"level": "warning", "name": "clock", "what": "ahead", "fix": "set it"},
]


async def examined(served: Console, out: bytes, err: str = "") -> Visitor:
    async def run(arguments: Sequence[str], _: OnLine | None) -> Ended:
        return Ended(1, out, err)

    served.run = run
    visitor = await served.operator()
    assert (await visitor.get("/doctor")).heading == "Not examined yet"
    await visitor.post("/doctor")

    async def heading() -> str:
        return (await visitor.get("/doctor")).heading

    await eventually(heading, lambda got: got != "Examining", 5, "the examination")
    return visitor


async def test_findings_come_worst_first_each_with_its_fix(served: Console) -> None:
    seen = await (await examined(served, json.dumps(FINDINGS).encode())).get("/doctor")
    assert seen.heading == "1 problem and 1 warning"
    assert seen.words.index("1,204 queues") < seen.words.index("ahead") < seen.words.index("settings right")
    assert "Fix rabbitmqctl set_policy <x>" in seen.words
    assert "<script>alert" not in seen.text
    assert served.commands == [("doctor", "--json")]


async def test_all_in_order_is_healthy_and_what_cannot_examine_says_why(served: Console) -> None:
    assert (await (await examined(served, json.dumps(FINDINGS[:1]).encode())).get("/doctor")).heading == "Healthy"


async def test_a_doctor_that_fails_says_why(served: Console) -> None:
    seen = await (await examined(served, b"", "webhook-worker: --config: no such file")).get("/doctor")
    assert (seen.heading, "no such file" in seen.words) == ("Not examined", True)


async def test_it_is_the_operators_alone(served: Console) -> None:
    owner = await served.owner()
    assert [(await owner.get("/doctor")).status, (await owner.post("/doctor")).status] == [404, 404]
    assert served.commands == []
