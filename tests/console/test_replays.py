"""What can be got back? Replays, counted, then sent; pauses; the body of a delivery."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.console.conftest import FAILED, HOSTILE, NOW, ROW, Console, MakeConsole, Visitor, remember
from worker.api.ports import BodyGone
from worker.console.replays import state_of
from worker.console.shown import moment
from worker.domain.webhook import Endpoint, Webhook
from worker.history.store import HistoryStore
from worker.replay import became
from worker.replay.became import Became
from worker.replay.fates import published_by
from worker.replay.jobs import Asked, CannotReplay, Counts, Job, Kind, State, id_of_sending
from worker.replay.resumed import Resumed
from worker.stores.own.store import SqlStore
from worker.webhooks import pausing

NOW_MS = int(NOW * 1000)


@dataclass
class Kept:
    """Keeps jobs and pauses for real; whoever would carry a job out is the test."""

    store: SqlStore
    kept: list[Job] = field(default_factory=list)
    owners: list[str | None] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    refuses: str | None = None
    lost: str | None = None
    history: Any = None

    async def ask(self, asked: Asked, owner: str | None, counted: str | None = None) -> Job:
        if self.refuses:
            raise CannotReplay(self.refuses)
        self.owners.append(owner)
        job_id = f"replay_{len(self.kept)}" if counted is None else id_of_sending(counted, asked.instance)
        there = await self.job(job_id, owner)
        if there is not None:
            return there
        self.kept.append(Job(job_id, asked, NOW_MS))
        return self.kept[-1]

    async def job(self, job_id: str, owner: str | None) -> Job | None:
        return next((job for job in self.kept if job.id == job_id and owner in (None, job.asked.instance)), None)

    async def jobs(self, owner: str | None, limit: int) -> Sequence[Job]:
        if self.refuses:
            raise CannotReplay(self.refuses)
        return [job for job in reversed(self.kept) if owner in (None, job.asked.instance)][:limit]

    async def stop(self, job_id: str, owner: str | None) -> bool:
        if await self.job(job_id, owner):
            self.stopped.append(job_id)
        return True

    async def became(self, job: Job) -> Became:
        return await became.asked(self.history, job) if self.history else Became()

    async def pause(self, endpoint: Endpoint) -> Any:
        return await pausing.pause(self.store, endpoint, NOW_MS)

    async def resume(self, endpoint: Endpoint, *, accept_gap: bool) -> Resumed:
        if self.refuses and not accept_gap:
            raise CannotReplay(self.refuses)
        await pausing.resume(self.store, endpoint)
        self.refuses = None
        if self.lost:
            return Resumed(None, self.lost)
        return Resumed(await self.ask(Asked(endpoint.instance, endpoint.webhook_id, 0, NOW_MS), None))

    async def enabling(self, webhook: Webhook) -> None: ...


@dataclass
class Scene:
    """A console with replays, and the operator before it."""

    console: Console
    replays: Kept
    visitor: Visitor


@pytest.fixture
async def scene(make_console: MakeConsole, store: SqlStore) -> Scene:
    replays = Kept(store)
    console = await make_console(store, replays=replays)
    return Scene(console, replays, await console.operator())


async def test_a_range_is_counted_first_and_then_sent_as_it_was_counted(scene: Scene) -> None:
    form = {"instance": "acme", "webhook": "", "since": "3h", "event": "messages.upsert", "chat": "", "do": "count"}
    seen = await scene.visitor.post("/replays", form)
    assert (seen.heading, 'http-equiv="refresh"' in seen.text) == ("Waits", True)
    (counted,) = scene.replays.kept
    assert counted.asked == Asked(
        "acme", "default", NOW_MS - 10_800_000, NOW_MS, events=("MESSAGES_UPSERT",), dry_run=True
    )
    scene.replays.kept[0] = Job("replay_0", counted.asked, NOW_MS, State.DONE, Counts(1204, 871, 12, 321))
    seen = await scene.visitor.get("/replay?id=replay_0")
    assert seen.heading == "321 events to send"
    assert "Found 1,204, 871 were delivered, 12 wait for their retry, 321 to send" in seen.words
    assert "Send 321 events" in seen.words
    assert "What waits is sent by itself" in seen.words
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', seen.text))
    scene.console.now += 60
    await scene.visitor.post("/replays", {**hidden, "do": "send"})
    assert scene.replays.kept[1].asked == Asked(
        "acme", "default", counted.asked.since, counted.asked.until, events=("MESSAGES_UPSERT",)
    )


async def test_one_that_waits_says_for_what(scene: Scene) -> None:
    first = Job("replay_0", Asked("acme", "default", 0, NOW_MS), NOW_MS - 1, State.SENDING)
    count = Job("replay_1", Asked("acme", "default", 0, NOW_MS, dry_run=True), NOW_MS)
    second = Job("replay_2", Asked("acme", "default", 0, NOW_MS), NOW_MS)
    others = Job("replay_3", Asked("loja", "default", 0, NOW_MS), NOW_MS - 2)
    scene.replays.kept += [others]
    assert "It begins when a worker is free" in (await scene.visitor.get("/replay?id=replay_3")).words
    scene.replays.kept += [first, count, second]
    said = {
        "replay_1": "Another one is under way: it begins when a worker has room for it",
        "replay_2": "Another replay of this webhook is under way: it begins after that",
        "replay_3": "Another one is under way: it begins when a worker has room for it",
    }
    listed = await scene.visitor.get("/replays")
    for job_id, words in said.items():
        seen = await scene.visitor.get(f"/replay?id={job_id}")
        assert (seen.heading, words in seen.words, words in listed.words) == ("Waits", True, True), job_id


async def test_a_count_is_sent_once(scene: Scene) -> None:
    asked = Asked("acme", "default", 0, NOW_MS, everything=True, dry_run=True)
    scene.replays.kept.append(Job("replay_0", asked, NOW_MS, State.DONE, Counts(19, 0, 0, 19)))
    seen = await scene.visitor.get("/replay?id=replay_0")
    assert "Found 19, 19 to send, delivered before or not" in seen.words
    assert "were delivered" not in seen.words
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', seen.text))
    sent = [await scene.visitor.post("/replays", {**hidden, "do": "send"}) for _ in range(2)]
    assert [job.asked.dry_run for job in scene.replays.kept] == [True, False]
    sending = scene.replays.kept[1].id
    assert all(sending in seen.text for seen in sent)
    back = await scene.visitor.get("/replay?id=replay_0")
    assert (back.heading, f"Sent as {sending}" in back.words, 'value="send"' in back.text) == ("Sent", True, False)
    assert "19 events to send" not in (await scene.visitor.get("/replays")).words
    await scene.visitor.post("/replays", {"instance": "acme", "since": "3h", "all": "on", "do": "send"})
    assert len(scene.replays.kept) == 3, "asked for anew"


SENT = Job("replay_0", Asked("acme", "default", 0, NOW_MS), NOW_MS - 90_000, State.DONE, Counts(3, 0, 0, 3), sent=3)
PUBLISHED = ROW._replace(outcome="Parked", reason="replayed", ms=None, status=None, error=published_by(SENT.id))


async def test_what_was_sent_is_not_said_to_be_delivered(
    make_console: MakeConsole, served: Console, history: HistoryStore
) -> None:
    replays = Kept(served.store, [SENT], history=history)
    visitor = await (await make_console(served.store, history=served.history, replays=replays)).operator()
    assert (await visitor.get("/replay?id=replay_0")).heading == "Sent"
    listed = await visitor.get("/replays")
    assert ('class="state off"' in listed.text, "Done" in listed.words) == (True, False)
    published = [PUBLISHED._replace(id=f"msg_{number}") for number in (1, 2, 3)]
    before = PUBLISHED._replace(id="msg_1", at=ROW.at - 60_000, outcome="Delivered", reason="ok", error=None)
    others = PUBLISHED._replace(id="msg_4", error=published_by("replay_1"))
    dead = FAILED._replace(outcome="DeadLettered", reason="rejected", at=ROW.at + 1)
    await remember(history, before, *published, others, dead._replace(id="msg_1"), dead._replace(id="msg_4"))
    seen = await visitor.get("/replay?id=replay_0")
    assert (seen.heading, "3 sent: 0 delivered, 1 given up, 2 waiting" in seen.words) == ("1 given up", True)
    given_up = "/deliveries?instance=acme&webhook=default&since=2026-11-28T11%3A58%3A30.000%2B00%3A00&outcome=DeadLett"
    assert given_up in seen.text.replace("&amp;", "&")
    await remember(history, *(ROW._replace(id=f"msg_{each}", at=ROW.at + 9) for each in (1, 2, 3)), producer="later")
    seen = await visitor.get("/replay?id=replay_0")
    assert (seen.heading, "3 sent: 3 delivered, 0 given up" in seen.words) == ("Done", True)


@pytest.mark.parametrize(
    ("ends", "tone", "word", "why"),
    [
        (Became(3), "ok", "Done", "3 sent: 3 delivered, 0 given up"),
        (Became(1, 2), "warn", "2 given up", "3 sent: 1 delivered, 2 given up"),
        (Became(0, 0, 3), "warn", "3 skipped", "3 sent: 0 delivered, 0 given up, 3 skipped"),
        (Became(1, 0, 0, 1), "off", "Sent, not all delivered yet", "3 sent, 2 of them looked at: 1 delivered"),
        (Became(), "off", "Sent", "3 to send, 3 sent"),
    ],
)
def test_how_all_that_was_sent_stands_is_in_its_heading(ends: Became, tone: str, word: str, why: str) -> None:
    found = state_of(SENT, None, ends)
    assert (found.tone, found.word, why in found.why) == (tone, word, True)


async def test_a_count_warns_before_sending_to_a_webhook_that_fails(
    make_console: MakeConsole, served: Console, history: HistoryStore
) -> None:
    asked = Asked("acme", "default", 0, NOW_MS, dry_run=True)
    replays = Kept(served.store, [Job("replay_0", asked, NOW_MS, State.DONE, Counts(2, 0, 0, 2))])
    visitor = await (await make_console(served.store, history=served.history, replays=replays)).operator()
    assert "newest attempt" not in (await visitor.get("/replay?id=replay_0")).words
    await remember(history, ROW._replace(at=ROW.at - 1), FAILED._replace(at=ROW.at))
    seen = await visitor.get("/replay?id=replay_0")
    assert "The newest attempt at its webhook failed; 1 of 2 attempts failed within the hour" in seen.words
    assert '<button type="submit" name="do" value="send">' in seen.text
    await remember(history, ROW._replace(at=ROW.at + 1), producer="later")
    assert "newest attempt" not in (await visitor.get("/replay?id=replay_0")).words


async def test_a_resume_says_until_when_it_goes_on(scene: Scene) -> None:
    scene.replays.kept.append(Job("replay_0", Asked("acme", "default", 0, NOW_MS, Kind.RESUME), NOW_MS, State.SENDING))
    until = moment(NOW_MS, 0).exact
    assert f"It goes on until {until} for what comes late" in (await scene.visitor.get("/replay?id=replay_0")).words


async def test_a_running_one_shows_how_far_it_is_and_can_be_stopped(scene: Scene) -> None:
    asked = Asked(HOSTILE, "default", 0, NOW_MS)
    scene.replays.kept.append(
        Job("replay_0", asked, NOW_MS, State.SENDING, Counts(50, 10, 0, 40), sent=12, error=HOSTILE)
    )
    seen = await scene.visitor.get("/replay?id=replay_0")
    assert ('value="12" max="40"' in seen.text, "<script>alert" in seen.text) == (True, False)
    assert (await scene.visitor.get("/replays")).heading == "1 under way"
    await scene.visitor.post("/replay/stop", {"id": "replay_0"})
    assert scene.replays.stopped == ["replay_0"]
    assert (await scene.visitor.get("/replay?id=nothing")).status == 404


async def test_what_is_wrong_stands_beside_its_field(scene: Scene) -> None:
    seen = await scene.visitor.post("/replays", {"since": "soon", "event": "a b", "do": "send"})
    assert (seen.status, seen.heading) == (400, "Not counted")
    assert [name for name in ("instance", "since", "event") if f'id="{name}-error"' in seen.text] == [
        *("instance", "since", "event")
    ]
    assert scene.replays.kept == []


async def test_what_cannot_be_replayed_says_why_above_what_was_typed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(*_: object) -> Job:
        raise CannotReplay("'acme' has no webhook 'mine'")

    monkeypatch.setattr(scene.replays, "ask", ask)
    seen = await scene.visitor.post("/replays", {"instance": "acme", "webhook": "mine", "since": "1h"})
    assert (seen.status, seen.heading, "'acme' has no webhook 'mine'" in seen.words) == (409, "Not counted", True)
    assert 'name="webhook" value="mine"' in seen.text


async def test_without_an_archive_it_says_why(scene: Scene) -> None:
    scene.replays.refuses = "ARCHIVE is false"
    seen = await scene.visitor.get("/replays")
    assert (seen.heading, "ARCHIVE is false" in seen.words) == ("Nothing", True)
    assert (await scene.visitor.post("/replays", {"instance": "acme", "since": "1h"})).status == 409


async def test_what_the_archive_has_not_is_said_once_of_all(scene: Scene) -> None:
    gone = "the archive was made at 2026-11-28T08:00:00Z: it has no older events"
    asked = Asked("acme", "default", 0, NOW_MS)
    scene.replays.kept += [Job(f"replay_{each}", asked, NOW_MS, State.DONE, Counts(), gone=gone) for each in range(3)]
    assert (await scene.visitor.get("/replays")).words.count(gone) == 1
    assert "The archive was made at 2026-11-28T08:00:00Z" in (await scene.visitor.get("/replay?id=replay_0")).words


async def test_an_owner_gets_back_its_own_alone(scene: Scene) -> None:
    scene.replays.kept.append(Job("replay_0", Asked("loja", "default", 0, NOW_MS), NOW_MS, State.SENDING))
    owner = await scene.console.owner()
    assert "loja" not in (await owner.get("/replays")).words
    seen = await owner.get("/replay?id=replay_0")
    assert (seen.status, "There is no such replay." in seen.words) == (404, True)
    await owner.post("/replay/stop", {"id": "replay_0"})
    assert scene.replays.stopped == []
    await owner.post("/replays", {"instance": "loja", "since": "1h", "do": "send"})
    assert (scene.replays.kept[-1].asked.instance, scene.replays.owners) == ("acme", ["acme"])
    for path in ("/webhook/pause", "/webhook/resume"):
        seen = await owner.post(f"{path}?instance=loja&id=default")
        assert (seen.status, "There is no such webhook." in seen.words) == (404, True)


async def test_a_webhook_is_paused_and_resumed_and_a_gap_is_told_first(scene: Scene, store: SqlStore) -> None:
    await store.put(Webhook("acme", "https://h.example/"))
    here = "?instance=acme&id=default"
    seen = await scene.visitor.post(f"/webhook/pause{here}")
    assert ("It is paused: nothing is sent to it" in seen.words, seen.heading) == (True, "Paused")
    assert (await scene.visitor.post(f"/webhook/pause{here}")).status == 409
    scene.replays.refuses = "the archive begins later"
    seen = await scene.visitor.post(f"/webhook/resume{here}")
    assert (seen.status, seen.heading, "the archive begins later" in seen.words.lower()) == (
        409,
        "It stays paused",
        True,
    )
    seen = await scene.visitor.post(f"/webhook/resume{here}", {"accept_gap": "on"})
    assert seen.url.path == "/console/replay"
    (webhook,) = await store.load("acme")
    assert webhook.paused_at is None
    assert (await scene.visitor.post("/webhook/pause?instance=nobody&id=default")).status == 404


async def test_a_resume_from_which_nothing_comes_says_so(scene: Scene, store: SqlStore) -> None:
    await store.put(Webhook("acme", "https://h.example/", paused_at=NOW_MS))
    scene.replays.lost = "ARCHIVE is false"
    seen = await scene.visitor.post("/webhook/resume?instance=acme&id=default", {"accept_gap": "on"})
    assert (seen.url.path, "was not kept and is not sent" in seen.words) == ("/console/webhook", True)


async def test_a_body_is_shown_on_request_or_said_to_be_gone(
    make_console: MakeConsole, served: Console, history: HistoryStore
) -> None:
    asked: list[tuple[str, str | None]] = []

    async def body(delivery_id: str, owner: str | None) -> object:
        asked.append((delivery_id, owner))
        if delivery_id == "msg_1":
            return {"data": HOSTILE, "apikey": "***"}
        raise BodyGone("the archive keeps 24 hours")

    await remember(history, ROW)
    console = await make_console(served.store, history=served.history, body=body)
    owner = await console.owner()
    assert "Show its body" in (await owner.get("/delivery?id=msg_1")).words
    seen = await owner.get("/delivery/body?id=msg_1")
    assert ('"apikey": "***"' in seen.words, "<script>alert" in seen.text) == (True, False)
    seen = await owner.get("/delivery/body?id=msg_2")
    assert (
        seen.status,
        seen.heading,
        "The archive keeps 24 hours" in seen.words or "the archive keeps" in seen.words,
    ) == (
        *(404, "It is gone"),
        True,
    )
    assert asked == [("msg_1", "acme"), ("msg_2", "acme")]
