"""Pictures of the console's screens: each in every size and scheme to judge them, and a few for docs/console.md."""

from __future__ import annotations

from pathlib import Path

from tests.proof.console.scene import KEY, Scene
from tests.support.browser import Driver, Window

WIDTHS = (390, 820, 1440)
SCREENS = {
    "login": "/login",
    "overview": "",
    "webhooks": "/webhooks",
    "webhook": "/webhook?instance=padaria-sol&id=crm",
    "new": "/webhooks/new",
    "deliveries": "/deliveries",
    "dead": "/dead",
    "redrive": "/dead/redrive",
    "replays": "/replays",
    "doctor": "/doctor",
}
IN_DOCS = {"overview": (1440, False), "webhooks": (1440, False), "webhook": (390, True)}
"""By screen: the width, and whether dark."""

DOCS = Path(__file__).parents[3] / "docs"
HEIGHT = 900


async def take_all(running: Scene, folder: Path, only: str = "") -> list[Path]:
    """Of each screen whose name has `only` in it, whole, in every size and scheme; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [name for name in SCREENS if only in name]
    views = [(name, width, dark) for name in wanted for width in WIDTHS for dark in (False, True)]
    files = [folder / f"{name}-{width}-{'dark' if dark else 'light'}.png" for name, width, dark in views]
    await _take(running, dict(zip(files, views, strict=True)), whole=True)
    return files


async def take_for_docs(running: Scene) -> list[Path]:
    """What a screen shows without scrolling, of the pictures in docs/console.md; the files."""
    views = {DOCS / f"console-{name}.png": (name, *view) for name, view in IN_DOCS.items()}
    await _take(running, views, whole=False)
    return list(views)


async def _take(running: Scene, views: dict[Path, tuple[str, int, bool]], *, whole: bool) -> None:
    with Driver() as driver:
        window = driver.window()
        for file, (name, width, dark) in views.items():
            await window.look(width, HEIGHT, dark=dark)
            if name != "login":
                await _log_in(window, running.url)
            await window.open(running.url + SCREENS[name])
            file.write_bytes(await window.picture(whole=whole))


async def _log_in(window: Window, url: str) -> None:
    await window.open(f"{url}/login")
    if await window.all("#key"):
        await window.fill("Key", KEY)
        await window.follow("Log in")
        await window.until("nav", "Overview")
