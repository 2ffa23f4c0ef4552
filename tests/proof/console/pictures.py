"""Pictures of the console's screens, in the sizes and schemes that people have."""

from __future__ import annotations

from pathlib import Path

from tests.proof.console.scene import KEY, Scene
from tests.support.browser import Driver, Window

WIDTHS = (390, 820, 1440)
SCREENS = {
    "login": "/login",
    "overview": "",
    "deliveries": "/deliveries",
    "dead": "/dead",
    "doctor": "/doctor",
    "webhooks": "/webhooks",
    "webhook": "/webhook?instance=padaria-sol&id=crm",
}


async def take_all(running: Scene, folder: Path, only: str = "") -> list[Path]:
    """The files."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = []
    with Driver() as driver:
        window = driver.window()
        for name, path in SCREENS.items():
            if name != "login":
                await log_in(window, running.url)
            if only in name:
                taken += await _take(window, running.url + path, folder, name)
    return taken


async def log_in(window: Window, url: str, key: str = KEY) -> None:
    await window.open(f"{url}/login")
    if await window.all("#key"):
        await window.fill("Key", key)
        await window.follow("Log in")


async def _take(window: Window, url: str, folder: Path, name: str) -> list[Path]:
    taken = []
    for width in WIDTHS:
        for dark in (False, True):
            await window.look(width, dark=dark)
            await window.open(url)
            file = folder / f"{name}-{width}-{'dark' if dark else 'light'}.png"
            file.write_bytes(await window.picture())
            taken.append(file)
    return taken
