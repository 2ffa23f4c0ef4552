"""The console in a real Chromium: tasks as a person does them, by keyboard, without scripts; and axe's rules."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from tests.api.conftest import KEY
from tests.console.conftest import FAILED, HOSTILE, ROW, Console, MakeConsole, remember
from tests.console.test_dead import GROUPS, LETTER, Program, listing
from tests.console.test_replays import Kept
from tests.support.accessibility import axe
from tests.support.browser import ENTER, SPACE, TAB, Driver, Window
from worker.console.ports import Ended
from worker.domain.webhook import Webhook
from worker.history.store import HistoryStore
from worker.replay.jobs import Asked, Counts, Job, State, id_of_sending
from worker.stores.own.store import SqlStore


@pytest.fixture(scope="session")
def driver() -> Iterator[Driver]:
    with Driver() as found:
        yield found


@pytest.fixture(scope="session")
def opened(driver: Driver) -> dict[bool, Window]:
    """Windows by whether scripts run in them: opening one takes a second."""
    return {}


async def _clean(driver: Driver, opened: dict[bool, Window], *, scripts: bool) -> AsyncIterator[Window]:
    window = opened.setdefault(scripts, opened.get(scripts) or driver.window(scripts=scripts))
    await window.look(1440)
    yield window
    await window.forget()


@pytest.fixture
async def window(driver: Driver, opened: dict[bool, Window]) -> AsyncIterator[Window]:
    async for one in _clean(driver, opened, scripts=True):
        yield one


@pytest.fixture
async def plain(driver: Driver, opened: dict[bool, Window]) -> AsyncIterator[Window]:
    """Without JavaScript."""
    async for one in _clean(driver, opened, scripts=False):
        yield one


async def log_in(window: Window, served: Console) -> None:
    await window.open(f"{served.base}/console/login")
    await window.fill("Key", KEY)
    await window.follow("Log in")
    await window.until("nav", "Overview")


@pytest.fixture
async def filled(served: Console, store: SqlStore, history: HistoryStore) -> Console:
    """Two webhooks, one of which fails; rows, and what was given up."""
    await store.put(Webhook("acme", "https://h.example/in", headers=(("X-Tenant", "hush"),), filter='{"data.a":1}'))
    await store.put(Webhook(HOSTILE, f"https://h.example/?{'x' * 300}", enabled=False, disabled_reason="410"))
    rows = [ROW, FAILED._replace(at=ROW.at + 1, answer=f"<b>{HOSTILE}</b>\nline two")]
    await remember(history, *rows, ROW._replace(instance=HOSTILE, id="msg_9", chat=HOSTILE[:80]))
    hostile = {**LETTER, "id": "msg_2", "error": HOSTILE}
    served.run = Program(listing(GROUPS, (LETTER, hostile)))
    return served


async def test_why_did_this_shop_get_nothing(window: Window, filled: Console) -> None:
    await log_in(window, filled)
    await window.until("h1", "Delivering, but 1 webhook fails")
    await window.follow("5xx")
    await window.until("h1", "1 failed")
    await window.click("tbody th a")
    await window.until("h1", "Not yet delivered")
    await window.follow("What the receiver answered")
    await window.until("pre", "line two")
    assert await window.all("pre b") == []


async def test_a_search_by_chat_and_time(window: Window, filled: Console) -> None:
    await log_in(window, filled)
    await window.follow("Deliveries")
    await window.fill("Chat", "5511999999999")
    await window.fill("Since", "2h")
    await window.follow("Search")
    await window.until("h1", "1 delivered, 1 failed")
    await window.fill("Since", "noon")
    await window.follow("Search")
    await window.until("#since-error", "Since must be an age")


async def test_a_webhook_is_changed_with_an_error_mended_on_the_way(
    window: Window, filled: Console, store: SqlStore
) -> None:
    await log_in(window, filled)
    await window.follow("Webhooks")
    await window.until("h1", "1 unsteady")
    await window.follow("acme/default")
    await window.fill("URL", "ftp://h.example/")
    await window.follow("Save")
    await window.until("#url-error", "http")
    await window.fill("URL", "https://new.example/")
    await window.follow("Save")
    await window.until("[role=status]", "It is saved")
    (webhook,) = await store.load("acme")
    assert (webhook.url, webhook.headers) == ("https://new.example/", (("X-Tenant", "hush"),))


async def test_a_filter_is_tried_before_it_is_saved(window: Window, filled: Console) -> None:
    await log_in(window, filled)
    await window.open(f"{filled.base}/console/webhook?instance=acme&id=default")
    await window.fill("Event, as Evolution publishes it (JSON)", '{"event":"call","instance":"acme","data":{"a":2}}')
    await window.follow("Try")
    await window.until("#tried", "filter.data.a: 2 is not 1")
    await window.fill("Event, as Evolution publishes it (JSON)", '{"event":"call","instance":"acme","data":{"a":1}}')
    await window.follow("Try")
    await window.until("#tried", "It would be sent")
    await window.follow("Try on its last events")
    await window.until("#tried", "1 of the last 2 would be sent.")


async def test_settings_that_cannot_be_tried_are_told_beside_the_field_and_not_by_what_was_tried_before(
    window: Window, filled: Console
) -> None:
    await log_in(window, filled)
    await window.open(f"{filled.base}/console/webhook?instance=acme&id=default")
    await window.follow("Try on its last events")
    await window.until("#tried", "1 of the last 2 would be sent.")
    await window.click("details:has(#filter) summary")
    await window.fill("Filter", '{"a":')
    await window.follow("Try on its last events")
    await window.until("[role=alert]", "It was not tried: see what is wrong below.")
    await window.until("#filter-error", "JSON")
    assert "would be sent" not in await window.text("#tried")


async def test_a_webhook_rests_and_gets_what_it_missed(
    window: Window, make_console: MakeConsole, store: SqlStore
) -> None:
    await store.put(Webhook("acme", "https://h.example/in"))
    replays = Kept(store)
    await log_in(window, await make_console(store, replays=replays))
    await window.follow("Webhooks")
    await window.follow("acme/default")
    await window.follow("Pause")
    await window.until("h1", "Paused")
    await window.follow("Resume")
    await window.until("h1", "Waits")
    await window.follow("acme/default")
    await window.fill("Since when", "3h")
    await window.follow("Count")
    await window.until("[aria-label='Where you are']", "replay_1")
    replays.kept[1] = replace(replays.kept[1], state=State.DONE, counts=Counts(1204, 871, 12, 321))
    await window.until("h1", "321 events to send")  # the page asks again by itself
    await window.follow("Send 321 events")
    await window.until("[aria-label='Where you are']", id_of_sending("replay_1", "acme"))
    assert [job.asked.dry_run for job in replays.kept] == [False, True, False]
    replays.kept[2] = replace(replays.kept[2], state=State.SENDING, sent=12)
    await window.until("main", "12 sent")
    await window.follow("Replays")
    await window.until("h1", "2 under way")


async def test_dead_letters_are_sent_again_by_keyboard_alone(window: Window, filled: Console) -> None:
    await window.open(f"{filled.base}/console/dead")
    assert await window.focused() == "Key"
    await window.press(*KEY, ENTER)
    await window.until("h1", "1,242 letters")
    await window.press(TAB)
    assert await window.focused() == "Skip to the page"
    await window.tab_to("Send them again...")
    await window.press(ENTER)
    await window.until("h1", "Send 1,242 letters again?")
    await window.tab_to("Send 1,242 letters again")
    filled.run = Program(Ended(0, b'{"count":1242}', ""))
    await window.press(SPACE)
    await window.until("h1", "Done")
    assert filled.commands[-1][:2] == ("dead", "redrive")


async def test_all_of_it_without_scripts(plain: Window, filled: Console) -> None:
    await log_in(plain, filled)
    await plain.until("h1", "Delivering, but 1 webhook fails")
    await plain.follow("Webhooks")
    await plain.follow("acme/default")
    await plain.fill("Event, as Evolution publishes it (JSON)", '{"event":"call","instance":"acme","data":{"a":2}}')
    await plain.follow("Try")
    await plain.until("#tried", "2 is not 1")
    await plain.follow("Send a test event")
    await plain.until("[role=status]", "The test was answered 200")
    await plain.follow("Make a secret")
    await plain.until("code.secret", "whsec_")
    await plain.follow("Doctor")
    filled.run = Program(Ended(0, b'[{"level":"ok","name":"settings","what":"right"}]', ""))
    await plain.follow("Examine now")
    await plain.until("h1", "Healthy")
    await plain.follow("Log out")
    await plain.until("h1", "Log in")


PAGES = {
    "login": "/login",
    "overview": "",
    "webhooks": "/webhooks",
    "webhook": "/webhook?instance=acme&id=default",
    "new": "/webhooks/new",
    "delete": "/webhook/delete?instance=acme&id=default",
    "deliveries": "/deliveries?status=x",
    "delivery": "/delivery?id=msg_2",
    "dead": "/dead",
    "redrive": "/dead/redrive",
    "replays": "/replays",
    "doctor": "/doctor",
    "nothing": "/nothing",
}


async def test_axe_has_nothing_to_say_and_no_page_is_wider_than_its_screen(window: Window, filled: Console) -> None:
    problems: list[str] = []
    async with axe(window) as findings:
        for name, path in PAGES.items():
            if name != "login":
                await log_in_once(window, filled)
            await window.open(f"{filled.base}/console{path}")
            for width, dark in ((390, True), (820, False), (1440, False)):
                await window.look(width, dark=dark)
                wide = await window.run("arguments[0](document.documentElement.scrollWidth)")
                problems += [f"{name} is {wide} wide at {width}"] if wide > width else []
                problems += [f"{name} at {width}: {found}" for found in await findings()] if width != 820 else []
    assert not problems, "\n".join(problems)


LONG = "W" * 200
OF_LONG = {
    "overview": "",
    "webhooks": "/webhooks",
    "webhook": f"/webhook?instance={LONG}&id=default",
    "delete": f"/webhook/delete?instance={LONG}&id=default",
    "replays": "/replays",
    "replay": "/replay?id=replay_0",
    "deliveries": "/deliveries",
    "delivery": "/delivery?id=msg_2",
    "dead": "/dead",
    "redrive": "/dead/redrive",
    "letter": "/dead/letter?id=msg_2",
}


async def test_the_longest_name_makes_no_page_wider_than_a_phone(
    window: Window, make_console: MakeConsole, served: Console, store: SqlStore, history: HistoryStore
) -> None:
    await store.put(Webhook(LONG, f"https://h.example/{LONG}"))
    await remember(history, FAILED._replace(instance=LONG, chat=f"{LONG[:80]}@g.us", error=LONG, host=LONG))
    replays = Kept(store, [Job("replay_0", Asked(LONG, "default", 0, 1), 1, State.DONE, Counts(1, 0, 0, 1), sent=1)])
    letter = {**LETTER, "id": "msg_2", "instance": LONG, "error": LONG}
    listed = listing([{**GROUPS[0], "instance": LONG}], [letter])
    shown = Ended(0, json.dumps({"letter": letter, "headers": {}, "body": LONG}).encode(), "")
    console = await make_console(store, history=served.history, replays=replays)
    await log_in(window, console)
    await window.look(390)
    for name, path in OF_LONG.items():
        console.run = Program(shown if name == "letter" else listed)
        await window.open(f"{console.base}/console{path}")
        assert "WWW" in await window.text("main"), name
        assert await window.run("arguments[0](document.documentElement.scrollWidth)") <= 390, name


async def test_a_reason_stays_on_its_line_on_a_phone(
    window: Window, served: Console, store: SqlStore, history: HistoryStore
) -> None:
    await store.put(Webhook("acme", "https://h.example/"))
    waits = FAILED._replace(outcome="Parked", reason="config_unavailable", ms=None, instance="a-name-of-some-length")
    await remember(history, waits)
    await log_in(window, served)
    await window.look(390)
    await window.open(f"{served.base}/console/deliveries")
    lines = "arguments[0](document.querySelector('.reason').getClientRects().length)"
    assert await window.run(lines) == 1


CONTRAST = """
const of = color => color.match(/[\\d.]+/g).slice(0, 3).map(each => each / 255)
    .map(each => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
    .reduce((sum, each, index) => sum + each * [0.2126, 0.7152, 0.0722][index], 0.05);
const field = document.querySelector("#chat");
const both = [getComputedStyle(field, "::placeholder").color, getComputedStyle(field).backgroundColor].map(of);
arguments[0](Math.max(...both) / Math.min(...both));
"""
"""WCAG 2.2's contrast ratio of a placeholder's text."""


async def test_what_an_empty_field_says_can_be_read_in_both_schemes(window: Window, served: Console) -> None:
    await log_in(window, served)
    await window.open(f"{served.base}/console/deliveries")
    for dark in (False, True):
        await window.look(1440, dark=dark)
        assert await window.run(CONTRAST) >= 4.5, dark


async def test_the_event_of_a_test_is_as_wide_as_its_name(
    window: Window, make_console: MakeConsole, filled: Console, store: SqlStore
) -> None:
    console = await make_console(store, history=filled.history, replays=Kept(store))
    await log_in(window, console)
    await window.open(f"{console.base}/console/webhook?instance=acme&id=default")
    cut = "const it = document.querySelector('#test-event'); const free = it.cloneNode(true);"
    cut += "free.className = 'short'; document.body.append(free); arguments[0](free.offsetWidth - it.offsetWidth)"
    assert await window.run(cut) <= 0


async def log_in_once(window: Window, served: Console) -> None:
    if not await window.all("nav"):
        await log_in(window, served)


async def test_nothing_runs_and_nothing_is_loaded_that_the_policy_forbids(window: Window, filled: Console) -> None:
    await log_in(window, filled)
    for path in PAGES.values():
        await window.open(f"{filled.base}/console{path}")
        names: Any = await window.run("arguments[0](performance.getEntriesByType('resource').map(each => each.name))")
        assert [name for name in names if not name.startswith(filled.base)] == []
        assert not re.search(r"<script[^>]*>[^<]", await source(window))
        assert " style=" not in await source(window)
    await window.run("document.body.setAttribute('style', 'color: red'); arguments[0]()")
    complaints = [each for each in await window.complaints() if "Content Security Policy" in each]
    assert len(complaints) == 1, complaints  # that of this test: a complaint would have been seen


async def source(window: Window) -> str:
    return str(await window.call("GET", "/source"))
