"""What happened to it? The search and the time line, over a real history."""

import re
from typing import Any

import pytest

from tests.console.conftest import FAILED, HOSTILE, NOW, ROW, Console, MakeConsole, remember
from worker.api.ports import CannotResend
from worker.console.deliveries import PAGE, ending
from worker.domain.history import Row
from worker.history.asking import Asking
from worker.history.store import HistoryStore, Kept
from worker.stores.history.reading import pages


async def test_a_search_shows_rows_newest_first_and_counts_them(served: Console, history: HistoryStore) -> None:
    dead = FAILED._replace(id="msg_3", outcome="DeadLettered", reason="rejected", status=404, at=ROW.at - 5)
    await remember(history, ROW, FAILED._replace(at=ROW.at - 1), dead, ROW._replace(instance="loja", id="msg_9"))
    visitor = await served.operator()
    seen = await visitor.get("/deliveries?instance=acme&outcome=&chat=")
    assert seen.heading == "1 delivered, 1 failed, 1 given up"
    assert "All 3 rows that match" in seen.words
    assert [at for at in ("msg_1", "msg_2", "msg_3", "msg_9") if f"/console/delivery?id={at}" in seen.text] == [
        *("msg_1", "msg_2", "msg_3")
    ]
    assert (await visitor.get("/deliveries?outcome=DeadLettered&since=1h&status=404")).heading == "1 given up"
    assert (await visitor.get("/deliveries?chat=5511999999999&instance=loja")).heading == "1 delivered"
    assert (await visitor.get("/deliveries?instance=nobody")).heading == "Nothing is there"


async def test_a_webhook_id_alone_leads_to_its_delivery(served: Console, history: HistoryStore) -> None:
    await remember(history, ROW, FAILED)
    visitor = await served.operator()
    seen = await visitor.get("/deliveries?id=msg_1&chat=&instance=")
    assert (seen.url.path, seen.heading) == ("/console/delivery", "Delivered")
    seen = await visitor.get("/deliveries?id=3EB0F2")
    assert (seen.url.path, seen.heading) == ("/console/deliveries", "Nothing is there")
    assert "This is no webhook-id (msg_...)" in seen.words
    assert "the event never came" in (await visitor.get("/deliveries?id=msg_3")).words


async def test_pages_go_on_with_the_search(served: Console, history: HistoryStore) -> None:
    await remember(history, *(ROW._replace(id=f"msg_{number}", at=ROW.at - number) for number in range(PAGE + 2)))
    visitor = await served.operator()
    seen = await visitor.get("/deliveries?instance=acme")
    assert f"The newest {PAGE} rows that match" in seen.words
    older = seen.text.partition('">Older</a>')[0].rpartition('href="/console')[2].replace("&amp;", "&")
    assert older.startswith("/deliveries?instance=acme&after=")
    seen = await visitor.get(older)
    assert (seen.heading, "msg_51" in seen.text, "Newest" in seen.words) == ("2 delivered", True, True)


async def test_a_search_that_stops_says_where_and_goes_on(
    served: Console, history: HistoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_ROWS", 3)
    far = ROW._replace(id="msg_far", at=ROW.at - 60_000, chat="120363@g.us")
    others = [[ROW._replace(at=ROW.at - number), far._replace(at=ROW.at - number, event="CALL")] for number in range(4)]
    await remember(history, far, *(row for pair in others for row in pair))
    visitor = await served.operator()
    seen = await visitor.get("/deliveries?chat=120363%40g.us&event=messages.upsert")
    assert (seen.heading, "Searched back to 2026-11-28" in seen.words) == ("Nothing found yet", True)
    further = seen.text.partition('">Look further back</a>')[0].rpartition('href="/console')[2].replace("&amp;", "&")
    assert "msg_far" in (await visitor.get(further)).text


async def test_a_wrong_filter_is_told_beside_its_field(served: Console) -> None:
    visitor = await served.operator()
    seen = await visitor.get("/deliveries?outcome=x")
    assert re.search(r"Outcome must be one of Delivered, Skipped, Failed, Waiting, Given up\b", seen.words), seen.words
    seen = await visitor.get("/deliveries?status=many&since=yesterday&after=x")
    assert (seen.status, seen.heading) == (400, "Not searched")
    assert "Status must be a status code of three digits" in seen.words
    assert seen.text.count('aria-invalid="true"') == 2
    assert 'value="yesterday"' in seen.text


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ("after=x", 400, "The link to this page was cut short"),
        ("event=zzz", 200, "No event of that name is known here"),
        ("event=presence.update", 200, "the event never came"),
        ("id=evt_1", 200, "An event's id cannot be searched"),
        ("id=5", 200, "This is no webhook-id"),
        ("id=msg_none", 200, "the event never came"),
    ],
)
async def test_a_search_without_a_row_says_why(served: Console, query: str, status: int, says: str) -> None:
    seen = await (await served.operator()).get(f"/deliveries?{query}")
    assert (seen.status, says in seen.words) == (status, True), seen.words


async def test_an_owner_reaches_its_own_rows_alone_whatever_it_asks(served: Console, history: HistoryStore) -> None:
    theirs = ROW._replace(instance="loja", id="msg_9", chat="551188888888@s.whatsapp.net")
    await remember(history, ROW, theirs)
    owner = await served.owner()
    for asked in ("", "?instance=acme", "?instance=loja", "?id=msg_9", "?chat=551188888888"):
        seen = await owner.get(f"/deliveries{asked}")
        assert "loja" not in seen.words.replace("instance=loja", "")
        assert "msg_9" not in seen.text.replace('value="msg_9"', "")
    assert (await owner.get("/delivery?id=msg_9")).status == 404
    assert (await owner.get("/delivery?id=msg_1")).heading == "Delivered"


async def test_a_time_line_tells_each_attempt_and_what_was_answered(served: Console, history: HistoryStore) -> None:
    tries = [FAILED._replace(id="msg_1", at=ROW.at - 3_600_000), ROW._replace(attempt=2)]
    await remember(history, *tries)
    seen = await (await served.operator()).get("/delivery?id=msg_1")
    assert seen.heading == "Delivered"
    assert "The receiver took it at the 2nd attempt, 1 h after the first" in seen.words
    assert "Attempt 1 to h.example:443 was answered 503 after 12 ms (5xx), by replica-1" in seen.words
    assert "(5xx), by replica-1 What the receiver answered no room" in seen.words, "said once"
    assert "Resend" not in seen.words  # nothing to resend with


async def test_what_a_status_does_not_say_is_said_beside_it(served: Console, history: HistoryStore) -> None:
    moved = "the receiver answered 302, a redirect to https://h/: redirects are not followed"
    dead = FAILED._replace(id="msg_1", outcome="DeadLettered", reason="rejected", status=404)
    rows = [dead._replace(error="the receiver answered 404"), dead._replace(at=ROW.at + 1, reason="3xx", error=moved)]
    await remember(
        history, *rows, dead._replace(at=ROW.at + 2, status=None, reason="timeout", error="no answer in 5 s")
    )
    seen = await (await served.operator()).get("/delivery?id=msg_1")
    line = seen.words.partition("Time line")[2]
    assert ("The receiver refused it for good" in line, "the receiver answered 404" in line) == (True, False)
    assert (moved in line, "The receiver redirects, which" in line) == (True, False)
    assert "The receiver did not answer in time no answer in 5 s" in line


async def test_hostile_rows_are_only_text(served: Console, history: HistoryStore) -> None:
    hostile = HOSTILE[:60]
    row = FAILED._replace(
        **dict.fromkeys(("id", "instance", "webhook", "event", "chat", "outcome", "reason"), hostile),
        **dict.fromkeys(("error", "host"), HOSTILE),
        answer=f"<img src=x onerror=alert(1)>\n{HOSTILE}",
    )
    await remember(history, row)
    visitor = await served.operator()
    listed = await visitor.get("/deliveries")
    from urllib.parse import quote

    one = await visitor.get(f"/delivery?id={quote(hostile)}")
    for seen in (listed, one, await visitor.get(f"/delivery?id={quote(HOSTILE)}")):
        assert not [bad for bad in ("<script>alert", "<img src=x", "\u202e", "\u200b") if bad in seen.text]
    assert "<img src=x onerror=alert(1)>" in one.words
    assert one.status == listed.status == 200


async def test_a_dead_letter_is_sent_again_once(
    make_console: MakeConsole, served: Console, history: HistoryStore
) -> None:
    asked: list[tuple[str, str | None]] = []
    answers: list[Row | Exception | None] = [ROW, FAILED, None, CannotResend("its webhook is gone", away=False)]

    async def resend(delivery_id: str, owner: str | None) -> Row | None:
        asked.append((delivery_id, owner))
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    await remember(history, FAILED._replace(id="msg_1", outcome="DeadLettered"))
    console = await make_console(served.store, history=served.history, resend=resend)
    owner = await console.owner()
    assert "Resend" in (await owner.get("/delivery?id=msg_1")).words
    said = [(await owner.post("/delivery/resend", {"id": "msg_1"})).words for _ in range(3)]
    page = (await owner.post("/delivery/resend", {"id": "msg_1"}, follow=False)).headers["Location"]
    said += [(await owner.get(page.removeprefix("/console"))).words for _ in range(2)]
    assert "The receiver took it: 200 after 12 ms" in said[0]
    assert "did not take it: answered 503 after 12 ms" in said[1]
    assert "neither the dead letters nor the archive have it" in said[2]
    assert "It was not sent: its webhook is gone" in said[3]
    assert "It was not sent" not in said[4]
    assert asked == [("msg_1", "acme")] * 4


async def test_of_a_long_answer_to_a_resend_the_beginning_is_shown(
    make_console: MakeConsole, served: Console, history: HistoryStore
) -> None:
    async def resend(*_: object) -> Row:
        return FAILED._replace(answer="no room " + "é" * 2000)

    await remember(history, FAILED)
    visitor = await (await make_console(served.store, history=served.history, resend=resend)).operator()
    seen = await visitor.post("/delivery/resend", {"id": "msg_2"}, follow=False)
    assert len(str(seen.headers)) < 4096, "what a proxy takes"
    page = seen.headers["Location"].removeprefix("/console")
    assert "no room ééé" in (await visitor.get(page)).words


@pytest.mark.parametrize(("reason", "primary"), [("rejected", 0), ("expired", 1)])
async def test_a_resend_is_not_urged_where_it_would_not_help(
    make_console: MakeConsole, served: Console, history: HistoryStore, reason: str, primary: int
) -> None:
    await remember(history, FAILED._replace(outcome="DeadLettered", reason=reason))
    visitor = await (await make_console(served.store, history=served.history, resend=object())).operator()
    seen = await visitor.get("/delivery?id=msg_2")
    assert (seen.text.count('class="primary"'), "Resend" in seen.words) == (primary, True)


async def test_a_resend_tells_what_came_of_it_where_no_history_is_kept(make_console: MakeConsole, store: Any) -> None:
    async def resend(*_: object) -> Row:
        return ROW

    visitor = await (await make_console(store, resend=resend)).operator()
    seen = await visitor.post("/delivery/resend", {"id": "msg_1"})
    assert (seen.status, "The receiver took it: 200" in seen.words) == (200, True)


async def test_without_a_history_it_says_so(make_console: MakeConsole, store: Any) -> None:
    visitor = await (await make_console(store)).operator()
    seen = await visitor.get("/deliveries")
    assert (seen.status, seen.heading, "HISTORY is off" in seen.words) == (503, "The history cannot be asked", True)
    assert (await visitor.get("/delivery?id=x")).status == 404


@pytest.mark.parametrize(
    ("last", "word", "why"),
    [
        ({}, "Delivered", "at the 11th attempt"),
        ({"outcome": "Retried", "reason": "timeout"}, "Not yet delivered", "The 11th attempt failed (timeout)"),
        ({"outcome": "Parked", "reason": "circuit_open"}, "Waiting", "circuit_open"),
        ({"outcome": "DeadLettered", "reason": "expired", "error": "too old"}, "Given up", "too old."),
        ({"outcome": "Skipped", "reason": "disabled"}, "Skipped", "disabled"),
    ],
)
def test_the_last_row_says_what_happened(last: dict[str, Any], word: str, why: str) -> None:
    row = ROW._replace(attempt=11, **last)
    state = ending([Kept(1, "replica-1", FAILED), Kept(2, "replica-1", row)])
    assert (state.word, why in state.why) == (word, True)


@pytest.mark.parametrize(
    ("outcome", "what"),
    [
        ("DeadLettered", "it was given up"),
        ("Retried", "it was not taken yet"),
        ("Parked", "it waits"),
        ("Skipped", "it was skipped"),
    ],
)
def test_what_was_delivered_stays_so_whatever_becomes_of_it_later(outcome: str, what: str) -> None:
    later = FAILED._replace(outcome=outcome, error="the receiver answered 404")
    state = ending([Kept(1, "replica-1", ROW), Kept(2, "replica-1", later)])
    assert (state.tone, state.word) == ("warn", "Delivered before")
    assert state.why == f"Sent again later, {what}: the receiver answered 404"


async def test_a_history_that_cannot_be_asked_is_told_to_who_looks_and_in_the_log(
    make_console: MakeConsole, store: Any, history: HistoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    away = Asking(history, lambda: "history.db: nobody has made it yet", lambda: NOW)
    visitor = await (await make_console(store, history=away)).operator()
    for path, said in (("/deliveries", "was not searched"), ("/delivery?id=msg_1", "was not answered")):
        seen = await visitor.get(path)
        assert (seen.status, "nobody has made it yet" in seen.words) == (503, True)
        assert (seen.headers["Retry-After"], f'href="/console{path}">Try again' in seen.text) == ("5", True)
        assert [text for text in caplog.messages if said in text and "nobody has made it yet" in text]
