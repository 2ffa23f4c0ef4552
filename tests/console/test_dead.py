"""What is dead, and what do I do? The screen, with what its commands answer; the commands are tested elsewhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.console.conftest import HOSTILE, Console, MakeConsole, Visitor
from tests.support.waiting import eventually
from worker.console import dead
from worker.console.ports import Ended, OnLine
from worker.stores.own.store import SqlStore

GROUPS: list[dict[str, Any]] = [
    {
        "instance": "acme",
        "webhook": "default",
        "reason": "rejected",
        "count": 1240,
        "newest": "2026-11-28T11:59:00.000Z",
    },
    {"instance": "loja", "webhook": None, "reason": "expired", "count": 2, "newest": None},
]
MARK = "0f" * 16
UNTIL = "--until=2026-11-28T12:00:00.000Z"
DO = {"until": "2026-11-28T12:00:00.000Z", "mark": MARK}
LETTER: dict[str, Any] = {
    "id": "msg_1",
    "reason": "rejected",
    "instance": "acme",
    "event": "messages.upsert",
    "webhook": "default",
    "attempts": 2,
    "last_status": 404,
    "last_error": None,
    "error": "the receiver answered 404",
    "first_seen": None,
    "dead_since": "2026-11-28T11:59:00.000Z",
    "exchange": None,
    "routing_key": None,
    "log": ["one"],
}


def listing(groups: Any = GROUPS, letters: Any = (LETTER,)) -> Ended:
    return Ended(0, json.dumps({"groups": groups, "letters": list(letters), "mark": MARK}).encode(), "")


class Program:
    """Answers as the commands would. `held`: they wait for it."""

    def __init__(self, *answers: Ended | Exception) -> None:
        self.answers = list(answers)
        self.held: asyncio.Event | None = None
        self.lines: list[str] = []

    async def __call__(self, arguments: Sequence[str], on_line: OnLine | None) -> Ended:
        for line in self.lines:
            assert on_line is not None
            assert on_line(line) is ("moved" in line)
        if self.held is not None:
            await self.held.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def visited(served: Console, *answers: Ended | Exception) -> tuple[Program, Visitor]:
    served.run = Program(*answers)
    return served.run, await served.operator()


async def test_it_counts_by_webhook_and_reason_and_lists_the_newest(served: Console) -> None:
    _, visitor = await visited(served, listing())
    seen = await visitor.get("/dead")
    assert (seen.heading, "Of 2 webhooks. Mend the receiver" in seen.words) == ("1,242 letters", True)
    assert (
        "acme / default rejected The receiver refused it for good: trying again would not help 1,240 1 min ago"
        in seen.words
    )
    assert "loja expired It was tried for as long as deliveries are 2 unknown" in seen.words
    assert "the receiver answered 404" in seen.words
    assert "And 1,241 more that died before: choose a webhook" in seen.words
    assert served.commands == [("dead", "list", "--groups", "--json", "--limit=50")]
    await visitor.get("/dead")
    assert len(served.commands) == 1
    served.now += dead.KNOWN_SECONDS + 1
    await visitor.get("/dead?instance=--all&reason=rejected&since=2h")
    assert served.commands[1][5:] == ("--instance=--all", "--reason=rejected", "--since=2h")


async def test_nothing_dead_says_so_and_a_wrong_filter_is_told_beside_it(served: Console) -> None:
    _, visitor = await visited(served, listing((), ()))
    assert (await visitor.get("/dead")).heading == "None"
    seen = await visitor.get("/dead?reason=boredom&since=later&webhook=a%00b")
    assert (seen.status, seen.heading) == (400, "Not counted")
    assert [name for name in ("reason", "since", "webhook") if f'id="{name}-error"' in seen.text] == [
        *("reason", "since", "webhook")
    ]
    assert len(served.commands) == 1


async def test_a_long_count_says_so_and_goes_on(served: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead, "WAIT_SECONDS", 0.01)
    program, visitor = await visited(served, listing())
    program.held = asyncio.Event()
    for path in ("/dead", "/dead/purge"):
        seen = await visitor.get(path)
        assert (seen.heading, 'http-equiv="refresh"' in seen.text) == ("Counting", True)
    program.held.set()
    await eventually(lambda: _heading(visitor, "/dead"), lambda got: got == "1,242 letters", 5, "the count")
    assert len(served.commands) == 2  # one of them of those until now


async def _heading(visitor: Visitor, path: str) -> str:
    return (await visitor.get(path)).heading


async def test_sending_again_asks_once_with_the_count_and_reports_how_far_it_is(served: Console) -> None:
    program, visitor = await visited(served, listing(GROUPS[:1]), Ended(0, b'{"count":1240}', ""))
    seen = await visitor.get("/dead/redrive?instance=acme")
    assert (seen.heading, 'name="count" value="1240"' in seen.text) == ("Send 1,240 letters again?", True)
    program.held, program.lines = asyncio.Event(), ['{"moved": 620}', "a warning"]
    seen = await visitor.post("/dead/redrive", {"instance": "acme", "count": "1240", **DO})
    job = str(seen.url.relative())
    assert (seen.heading, "620 of 1,240, for 0 s" in seen.words) == ("Under way", True)
    assert 'value="620" max="1240"' in seen.text
    assert "Send 1,240 letters again is under way" in (await visitor.get("/doctor")).words
    program.held.set()
    here = job.removeprefix("/console")
    await eventually(lambda: _heading(visitor, here), lambda got: got == "Done", 5, "the end")
    ended = await visitor.get(here)
    assert "1,240 letters were sent back to work. Sent is not delivered" in ended.words
    assert 'class="state off"' in ended.text
    assert "/deliveries?instance=acme&amp;since=2026-11-28T12%3A00%3A00.000Z" in ended.text
    command = ("dead", "redrive", "--json", "--progress", "--limit=1240", "--instance=acme", UNTIL)
    assert served.commands[-1] == command


async def test_work_that_waits_for_other_work_says_so(served: Console) -> None:
    program, visitor = await visited(served, Ended(0, b'{"count":1}', ""))
    program.held = asyncio.Event()
    first, second = [
        str((await visitor.post("/dead/redrive", {"count": "1", **DO})).url.relative()).removeprefix("/console")
        for _ in range(2)
    ]
    assert await _heading(visitor, first) == "Under way"
    seen = await visitor.get(second)
    assert (seen.heading, "Other work on the dead letters is under way" in seen.words) == ("Waits", True)
    program.held.set()
    await eventually(lambda: _heading(visitor, second), lambda got: got == "Done", 5, "the end")


async def test_deleting_deletes_exactly_what_was_counted(served: Console) -> None:
    _, visitor = await visited(served, listing(), Ended(1, b'{"count":1}', "no letter with the id x"))
    asked = await visitor.get("/dead/purge")
    assert (asked.heading, asked.url.query["until"]) == ("Delete 1,242 letters for good?", DO["until"])
    assert "Given up until 2026-11-28 12:00:00 UTC" in asked.words
    assert [f'name="{name}" value="{text}"' in asked.text for name, text in DO.items()] == [True, True]
    assert served.commands[-1] == ("dead", "list", "--groups", "--json", "--limit=50", UNTIL)
    form = {"count": "1242", **DO}
    here = str((await visitor.post("/dead/purge", form)).url.relative()).removeprefix("/console")
    await eventually(lambda: _heading(visitor, here), lambda got: got == "Ended with trouble", 5, "the end")
    assert "1 letter was deleted. no letter with the id x" in (await visitor.get(here)).words
    assert served.commands[-1] == ("dead", "purge", "--json", "--yes", f"--mark={MARK}", UNTIL)
    wrong = [{"count": count} for count in ("", "0", "-1", "all", "1e3", "9" * 30)]
    for change in (*wrong, {"mark": ""}, {"mark": "--all"}, {"until": ""}, {"until": "--all"}):
        assert (await visitor.post("/dead/purge", {**form, **change})).status == 400


@pytest.mark.parametrize("until", ["9999-99-99", "later", "--all"])
async def test_an_end_that_is_no_time_is_not_taken_for_now(served: Console, until: str) -> None:
    _, visitor = await visited(served, listing())
    seen = await visitor.get(f"/dead/purge?until={until}")
    assert (seen.status, f"not '{until}'." in seen.words, served.commands) == (400, True, [])


@pytest.mark.parametrize(("reason", "primary"), [("rejected", 0), ("gone", 0), ("expired", 1)])
async def test_sending_again_is_not_urged_where_it_would_not_help(served: Console, reason: str, primary: int) -> None:
    groups = [{**GROUPS[0], "reason": reason}, {**GROUPS[1], "reason": "attempts_exhausted"}]
    program, visitor = await visited(served, listing(groups))
    assert (await visitor.get("/dead")).text.count("button primary") == primary
    assert (await visitor.get("/dead/redrive")).text.count('class="primary"') == primary
    letter = {"letter": {**LETTER, "reason": reason}, "headers": {}, "body": {}}
    program.answers = [Ended(0, json.dumps(letter).encode(), "")]
    assert (await visitor.get("/dead/letter?id=msg_1")).text.count('class="primary"') == primary


async def test_an_owner_reaches_its_own_letters_alone(served: Console) -> None:
    served.run = Program(listing(GROUPS[:1]))
    owner = await served.owner()
    for path in ("/dead", "/dead?instance=loja", "/dead/redrive?instance=loja", "/dead/purge"):
        assert (await owner.get(path)).status == 200
    await owner.post("/dead/purge", {"count": "5", "instance": "loja", **DO})
    await owner.post("/dead/redrive", {"count": "5", **DO})
    assert len(served.commands) == 4
    assert all("--instance=acme" in command for command in served.commands)
    for instance, status in (("acme", 200), ("loja", 404), (None, 404)):
        shown = {"letter": {**LETTER, "instance": instance}, "headers": {}, "body": {}}
        served.run = Program(Ended(0, json.dumps(shown).encode(), ""))
        assert (await owner.get("/dead/letter?id=msg_1")).status == status
    operators = await served.operator()
    job = str((await operators.post("/dead/purge", {"count": "5", **DO})).url.relative()).removeprefix("/console")
    assert ((await operators.get(job)).status, (await owner.get(job)).status) == (200, 404)


async def test_a_letter_is_shown_as_text(served: Console) -> None:
    picture = [{"base64": "QUFB" * 1200}]
    body = {"<img src=x>": HOSTILE, "data": picture}
    shown = {"letter": {**LETTER, "error": HOSTILE}, "headers": {"x": HOSTILE}, "body": body}
    _, visitor = await visited(served, Ended(0, json.dumps(shown).encode(), ""))
    seen = await visitor.get("/dead/letter?id=-x")
    assert seen.heading == "rejected"
    assert f'"base64": "{"QUFB" * 50}... (4,800 characters)"' in seen.words
    assert not [bad for bad in ("<script>alert", "<img src=x", "\u202e") if bad in seen.text]
    assert served.commands == [("dead", "show", "--json", "--", "-x")]
    _, visitor = await visited(served, Ended(1, b"", "no letter with the id x"))
    seen = await visitor.get("/dead/letter?id=x")
    assert (seen.status, "no letter with the id x" in seen.words) == (404, True)


@pytest.mark.parametrize("answer", [Ended(1, b"", "no connection to RabbitMQ"), OSError(12, "Cannot allocate memory")])
async def test_what_cannot_be_counted_says_why(served: Console, answer: Any) -> None:
    _, visitor = await visited(served, answer)
    seen = await visitor.get("/dead")
    assert (seen.status, seen.heading) == (503, "The dead letters cannot be counted")
    assert "RabbitMQ" in seen.words or "Cannot allocate memory" in seen.words
    assert (await visitor.get("/dead/purge")).status == 503


async def test_a_count_that_failed_is_told_once_and_then_tried_again(served: Console) -> None:
    program, visitor = await visited(served, Ended(1, b"", "RabbitMQ closed the connection\n(busy)"), listing())
    seen = await visitor.get("/dead/purge")
    assert (seen.status, "RabbitMQ closed the connection (busy)" in seen.words) == (503, True)
    assert seen.url.raw_path_qs.replace("&", "&amp;") + '">Try again' in seen.text
    assert (await visitor.get("/dead")).heading == "1,242 letters"
    assert len(served.commands) == 2
    assert program.answers == [listing()]


async def test_what_one_command_has_in_its_hands_no_other_one_counts(
    served: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(dead, "LETTER_SECONDS", 0.01)
    program, visitor = await visited(served, listing())
    program.held = asyncio.Event()
    assert (await visitor.get("/dead")).heading == "Counting"
    assert (await visitor.get("/dead?reason=rejected")).heading == "Counting"
    letter = await visitor.get("/dead/letter?id=msg_1")
    assert (letter.status, "are being worked on" in letter.words) == (503, True)
    assert len(served.commands) == 1
    program.held.set()
    await eventually(lambda: _heading(visitor, "/dead?reason=rejected"), "1,242 letters".__eq__, 5, "the second count")


async def _heading(visitor: Visitor, path: str) -> str:
    return (await visitor.get(path)).heading


async def test_a_script_cannot_make_looks_pile_up(served: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead, "WAIT_SECONDS", 0.0)
    program, visitor = await visited(served, listing())
    program.held = asyncio.Event()
    status = [(await visitor.get(f"/dead?instance={number}")).status for number in range(dead.MOST_WAITING + 2)]
    assert status == [200] * dead.MOST_WAITING + [503] * 2


async def test_few_things_run_at_once_and_all_end_with_the_worker(make_console: MakeConsole, store: SqlStore) -> None:
    console = await make_console(store)
    program, visitor = await visited(console, listing())
    program.held = asyncio.Event()
    status = [(await visitor.post("/dead/purge", {"count": "1", **DO})).status for _ in range(5)]
    assert status == [200, 200, 200, 200, 503]
    await asyncio.wait_for(console.server.close(), 5)
