"""Who gets in, for how long, and what a page of others can make of it."""

from typing import Any

import pytest

from tests.api.conftest import KEY
from tests.console.conftest import Console, MakeConsole, Visitor
from worker.console.frame.login import COOKIE
from worker.console.frame.sessions import SESSION_SECONDS
from worker.stores.own.store import SqlStore


async def test_without_a_session_every_page_leads_to_the_log_in_and_back(served: Console) -> None:
    visitor = served.visitor()
    seen = await visitor.get("/deliveries?instance=a%20b", follow=False)
    assert (seen.status, seen.text) == (303, "")
    target = seen.headers["Location"]
    assert target == "/console/login?next=%2Fconsole%2Fdeliveries%3Finstance%3Da%2520b"
    seen = await visitor.post("/login", {"key": KEY, "next": "/console/deliveries?instance=a%20b"}, follow=False)
    assert (seen.status, seen.headers["Location"]) == (303, "/console/deliveries?instance=a%20b")
    for path in ("/webhooks", "/nothing-here", "/..%2f..", "/%2e%2e/webhook"):
        assert (await served.visitor().get(path, follow=False)).status in (303, 404)


async def test_the_address_alone_leads_to_it(served: Console) -> None:
    async with served.visitor().session.get(served.base, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "/console")


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example/", "//evil.example", "/webhook", "/consolex", "/console\\evil", "/console/\nx", ""],
)
async def test_a_log_in_leads_nowhere_else(served: Console, elsewhere: str) -> None:
    seen = await served.visitor().post("/login", {"key": KEY, "next": elsewhere}, follow=False)
    assert (seen.status, seen.headers["Location"]) == (303, "/console")


@pytest.mark.parametrize(
    ("form_on", "back"),
    [
        ("{base}/console/webhook?instance=acme", "?next=%2Fconsole%2Fwebhook%3Finstance%3Dacme"),
        ("http://elsewhere.example/console/webhook", ""),
        ("", ""),
    ],
)
async def test_a_form_whose_session_has_ended_leads_back_to_its_page(served: Console, form_on: str, back: str) -> None:
    headers = {"Referer": form_on.format(base=served.base)} if form_on else {}
    seen = await served.visitor().post("/webhook/try?instance=acme", {"event": "{}"}, follow=False, **headers)
    assert (seen.status, seen.headers["Location"]) == (303, f"/console/login{back}")


@pytest.mark.parametrize("path", ["/deliveries?chat=%ff", "/webhook?instance=%ff&id=default", "/%ff"])
async def test_an_address_that_is_not_utf8_gets_a_page(served: Console, path: str) -> None:
    for visitor in (await served.operator(), served.visitor()):
        seen = await visitor.get(path)
        assert (seen.status, seen.heading) == (400, "Bad Request")
        assert "The address of this page is not UTF-8" in seen.words


async def test_a_form_that_is_not_utf8_is_refused(served: Console, store: SqlStore) -> None:
    visitor = await served.operator()
    typed = f"form_token={visitor.token}&instance=acm%ff&id=default&url=https%3A%2F%2Fh.example%2F&enabled=on"
    seen = await visitor.post_raw("/webhooks/new", typed)
    assert (seen.status, "What was typed is not UTF-8" in seen.words) == (400, True)
    assert (await store.list(None, 5)).items == ()
    assert (await visitor.post_raw("/webhooks/new", typed.replace("%ff", "%C3%A9"))).status == 200


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(served: Console) -> None:
    seen = await served.visitor().post("/login", {"key": KEY}, follow=False)
    cookie = seen.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/console", f"Max-Age={SESSION_SECONDS}"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert KEY not in cookie
    behind = await served.visitor().post("/login", {"key": KEY}, follow=False, **{"X-Forwarded-Proto": "https"})
    assert "Secure" in behind.headers["Set-Cookie"].split("; ")


async def test_headers_forbid_frames_scripts_and_copies(served: Console) -> None:
    visitor = await served.operator()
    for path in ("", "/login", "/nothing", "/webhooks"):
        headers = (await visitor.get(path)).headers
        policy = headers["Content-Security-Policy"].split("; ")
        assert {"default-src 'self'", "frame-ancestors 'none'"} <= set(policy)
        assert not any("unsafe" in part or "http" in part for part in policy)
        assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")


async def test_a_wrong_key_is_told_so_and_answered_later_and_later(served: Console) -> None:
    visitor = served.visitor()
    for _ in range(8):
        seen = await visitor.post("/login", {"key": "wrong<b>"})
        assert (seen.status, "This key is not known here." in seen.words, "wrong" in seen.words) == (401, True, False)
    assert served.slept == [0.1, 0.2, 0.4]
    assert (await visitor.post("/login", {"key": KEY})).heading != "Log in"
    assert len(served.slept) == 3


async def test_a_session_ends_by_itself_and_by_logging_out(served: Console) -> None:
    assert SESSION_SECONDS == 8 * 3600  # as the page about it says
    visitor = await served.operator()
    served.now += SESSION_SECONDS - 1
    assert (await visitor.get(follow=False)).status == 200
    served.now += 2
    assert (await visitor.get(follow=False)).status == 303
    again = await served.operator()
    cookie = cookie_of(again)
    assert (await again.post("/logout")).heading == "Log in"
    assert (await visitor_with(served, cookie).get(follow=False)).status == 303


async def test_a_token_that_is_taken_back_ends_its_session(served: Console) -> None:
    owner = await served.owner()
    assert (await owner.get(follow=False)).status == 200
    served.tokens.clear()
    assert (await owner.get(follow=False)).status == 303


async def test_a_cookie_that_was_touched_is_none(served: Console) -> None:
    cookie = cookie_of(await served.operator())
    for touched in (cookie[:-1], cookie + "A", "x", "é", cookie.swapcase()):
        assert (await visitor_with(served, touched).get(follow=False)).status == 303


async def test_another_key_of_the_api_opens_no_old_session(
    served: Console, make_console: MakeConsole, store: Any
) -> None:
    from worker.console.frame import sessions

    other = sessions.Sessions("another key", None, lambda: served.now)  # type: ignore[arg-type]
    assert await other.find(cookie_of(await served.operator())) is None


async def test_a_form_of_another_site_changes_nothing(served: Console) -> None:
    visitor = await served.operator()
    for form in ({"form_token": ""}, {"form_token": "0" * 64}, {"form_token": (await served.operator()).token}):
        assert (await visitor.post("/logout", form)).status == 403
    assert (await visitor.post("/logout", Origin="https://evil.example")).status == 403
    assert (await visitor.post("/logout", **{"Sec-Fetch-Site": "cross-site"}, Origin=served.base)).status == 403
    assert (await visitor.get(follow=False)).status == 200
    forwarded = {"X-Forwarded-Host": "hooks.example", "Origin": "https://hooks.example"}
    assert (await visitor.post("/logout", **forwarded)).heading == "Log in"
    again = await served.operator()
    assert (await again.post("/logout", Origin=served.base)).heading == "Log in"
    assert (await served.visitor().post("/login", {"key": KEY}, Origin="null")).status == 403


async def test_the_api_is_no_more_open_than_before(served: Console) -> None:
    visitor = await served.operator()
    async with visitor.session.get(f"{served.base}/webhook") as answer:
        assert answer.status == 401
    async with visitor.session.get(f"{served.base}/console/../webhook") as answer:
        assert answer.status in (401, 404)


async def test_assets_are_for_everybody_and_for_ever(served: Console) -> None:
    visitor = served.visitor()
    page = (await visitor.get("/login")).text
    import re

    found = re.findall(r'"/console(/static/[^"]+)"', page)
    assert {name.rsplit(".", 1)[1] for name in found} == {"css", "js", "svg"}
    for path in found:
        seen = await visitor.get(path, follow=False)
        assert (seen.status, "immutable" in seen.headers["Cache-Control"]) == (200, True)
    assert (await visitor.get("/static/style.000000000000.css")).status == 404
    assert (await visitor.get("/static/..%2fapp.py")).status == 404


def cookie_of(visitor: Visitor) -> str:
    return next(cookie.value for cookie in visitor.session.cookie_jar if cookie.key == COOKIE)


def visitor_with(served: Console, cookie: str) -> Visitor:
    visitor = served.visitor()
    visitor.session.headers["Cookie"] = f"{COOKIE}={cookie}"
    return visitor
