"""A real Chromium, driven over WebDriver (W3C) by Debian's chromium-driver: what a person does, and what they see."""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.support.local_process import free_port, spawn, watch_over
from tests.support.waiting import eventually

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key of an element's reference (WebDriver, section 12)."""

GONE = ("no such element", "stale element reference", "does not belong to the document")
"""What Chromium says of an element whose page has gone meanwhile."""

TAB, ENTER, SPACE, SHIFT = "\ue004", "\ue007", "\ue00d", "\ue008"
CALL_SECONDS = 30.0
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")


class NoSuchElement(AssertionError):
    """The page has nothing of the kind."""


class Driver:
    """The program `chromedriver`; `with Driver() as driver`. Its windows end with it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="webhooks-browser-"))
        self._port = free_port()

    def __enter__(self) -> Self:
        program = shutil.which("chromedriver")
        assert program, "chromedriver is missing: .ci/debian-packages test"
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self._folder), "TMPDIR": str(self._folder)}
        command = [program, f"--port={self._port}", "--log-level=WARNING"]
        self._process = spawn(command, environment, self._folder / "log")
        self._watch = watch_over([self._process.pid], self._folder)
        self._wait_until_it_listens()
        self._windows: list[str] = []
        return self

    def __exit__(self, *_: object) -> None:
        for window in self._windows:
            self._sync("DELETE", f"/session/{window}")
        self._process.terminate()
        self._process.wait(10)
        self._watch.kill()
        self._watch.communicate()
        shutil.rmtree(self._folder, ignore_errors=True)

    def window(self, *, scripts: bool = True) -> Window:
        """A browser of its own, with cookies of its own. It takes a second."""
        chrome: dict[str, Any] = {"args": [*OPTIONS, f"--user-data-dir={tempfile.mkdtemp(dir=self._folder)}"]}
        if not scripts:
            chrome["prefs"] = {"profile.managed_default_content_settings.javascript": 2}
        options = {"browserName": "chrome", "goog:chromeOptions": chrome, "goog:loggingPrefs": {"browser": "ALL"}}
        wanted = {"capabilities": {"alwaysMatch": options}}
        session = self._sync("POST", "/session", wanted)["sessionId"]
        self._windows.append(session)
        return Window(f"http://127.0.0.1:{self._port}/session/{session}")

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + CALL_SECONDS
        while not self._listens():
            assert time.monotonic() < deadline, "chromedriver does not listen"
            time.sleep(0.05)

    def _listens(self) -> bool:
        try:
            return bool(self._sync("GET", "/status")["ready"])
        except OSError:
            return False

    def _sync(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=CALL_SECONDS) as answer:
            return json.load(answer)["value"]


class Window:
    """One browser. Elements are found by CSS; names are what a person reads."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def open(self, url: str) -> None:
        await self.call("POST", "/url", {"url": url})

    async def address(self) -> str:
        return str(await self.call("GET", "/url"))

    async def title(self) -> str:
        return str(await self.call("GET", "/title"))

    async def text(self, css: str = "body") -> str:
        """Of all such elements, as they are rendered; a page that goes meanwhile has none."""
        try:
            found = await self.all(css)
            return "\n".join([str(await self.call("GET", f"/element/{each}/text")) for each in found])
        except NoSuchElement:
            return ""

    async def all(self, css: str) -> list[str]:
        """References of such elements."""
        return await self._elements("css selector", css)

    async def click(self, css: str) -> None:
        """Once there is such an element."""
        await self._first("css selector", css, css, self._click)

    async def follow(self, name: str) -> None:
        """Clicks the link or button of this name."""
        said = f"normalize-space(.)={json.dumps(name)}"
        await self._first("xpath", f"//a[{said}] | //button[{said}] | //summary[{said}]", name, self._click)

    async def fill(self, label: str, text: str) -> None:
        """The field that a label of this text is for."""

        async def type_into(element: str) -> None:
            await self.call("POST", f"/element/{element}/clear", {})
            await self.call("POST", f"/element/{element}/value", {"text": text})

        field = f"//*[@id=//label[normalize-space(.)={json.dumps(label)}]/@for]"
        await self._first("xpath", field, label, type_into)

    async def press(self, *keys: str) -> None:
        """On whatever has the focus."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        await self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    async def focused(self) -> str:
        """The text, label or name of what has the focus."""
        element = (await self.call("GET", "/element/active"))[ELEMENT]
        return str(await self.call("GET", f"/element/{element}/computedlabel"))

    async def tab_to(self, name: str, most: int = 80) -> None:
        """By the keyboard alone."""
        seen = []
        for _ in range(most):
            await self.press(TAB)
            seen.append(await self.focused())
            if seen[-1] == name:
                return
        raise NoSuchElement(f"the Tab key never came to {name!r}: {seen}")

    async def run(self, script: str, *arguments: Any) -> Any:
        """JavaScript of the test's own; `arguments[arguments.length - 1]` is called with the result."""
        return await self.call("POST", "/execute/async", {"script": script, "args": list(arguments)})

    async def until(self, css: str, says: str, timeout: float = 15.0) -> None:
        """Until an element's text contains this."""

        await eventually(lambda: self.text(css), lambda got: says in got, timeout, f"{css} to say {says!r}")

    async def look(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """As on a screen of this size, in this scheme, at once: nothing moves from one colour to another."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.devtools("Emulation.setDeviceMetricsOverride", size)
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        await self.devtools("Emulation.setEmulatedMedia", {"features": [scheme, still]})

    async def picture(self, *, whole: bool = True) -> bytes:
        """A PNG of the page."""
        taken = await self.devtools("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole})
        return base64.b64decode(taken["data"])

    async def complaints(self) -> list[str]:
        """What the browser has written to its console since it was asked last."""
        return [str(each["message"]) for each in await self.call("POST", "/se/log", {"type": "browser"})]

    async def devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        return await self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    async def forget(self) -> None:
        """No cookies, no page."""
        await self.call("DELETE", "/cookie")
        await self.open("about:blank")

    async def _click(self, element: str) -> None:
        await self.call("POST", f"/element/{element}/click", {})

    async def _elements(self, using: str, value: str) -> list[str]:
        found = await self.call("POST", "/elements", {"using": using, "value": value})
        return [each[ELEMENT] for each in found]

    async def _first(self, using: str, value: str, name: str, act: Callable[[str], Awaitable[None]]) -> None:
        """Acts on the first such element, once there is one: the page may be on its way."""

        async def acted() -> bool:
            found = await self._elements(using, value)
            try:
                if found:
                    await act(found[0])
            except NoSuchElement:
                return False
            return bool(found)

        await eventually(acted, bool, 10.0, f"{name!r} to be there")

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, self._url + path, json=body) as answer,
        ):
            value = (await answer.json())["value"]
            if answer.status != 200 and any(word in f"{value['error']} {value['message']}" for word in GONE):
                raise NoSuchElement(value["message"])
            assert answer.status == 200, value
            return value
