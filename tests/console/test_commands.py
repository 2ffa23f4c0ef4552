"""Commands run in processes of their own, politely, and end with whoever waits for them."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.support.waiting import eventually
from worker.console.frame.commands import POLITENESS, Commands

SHOW = "import os, sys; print(sys.argv[1:], os.environ['A'], os.nice(0)); print('why', file=sys.stderr); sys.exit(3)"


async def test_it_is_told_what_the_command_wrote_and_how_it_ended() -> None:
    commands = Commands((sys.executable, "-c", SHOW), ("--config=x",), {"A": "b"})
    ended = await commands.run(("dead", "show", "--", "--id"))
    assert (ended.code, ended.err) == (3, "why")
    assert ended.out.decode().startswith("['dead', 'show', '--config=x', '--', '--id'] b")
    assert (await commands.run(("doctor",))).out.decode().startswith("['doctor', '--config=x'] b")


async def test_deliveries_come_first() -> None:
    wait = "import os, sys, time; sys.stdin.read(); time.sleep(0.2); print(os.nice(0))"
    ended = await Commands((sys.executable, "-c", wait), (), dict(os.environ)).run(())
    assert int(ended.out) == min(POLITENESS + os.nice(0), 19)


async def test_lines_for_the_caller_are_not_kept_as_complaints() -> None:
    script = "import sys; print('{1}', 'no', '{2}', sep='\\n', file=sys.stderr)"
    seen: list[str] = []

    def read(line: str) -> bool:
        seen.append(line.strip())
        return line.startswith("{")

    ended = await Commands((sys.executable, "-c", script), (), {}).run((), read)
    assert (seen, ended.err) == (["{1}", "no", "{2}"], "no")


async def test_cut_short_the_command_is_interrupted_as_by_ctrl_c(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time\n"
        "try:\n    pathlib.Path('began').touch(); time.sleep(60)\n"
        "except KeyboardInterrupt:\n    pathlib.Path('interrupted').touch()"
    )
    commands = Commands((sys.executable, "-c", f"import os; os.chdir({str(tmp_path)!r})\n{script}"), (), {})
    running = asyncio.create_task(commands.run(()))
    await eventually(_exists(tmp_path / "began"), bool, 20, "its begin")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (tmp_path / "interrupted").exists()


def _exists(path: Path):  # type: ignore[no-untyped-def]
    async def ask() -> bool:
        return path.exists()

    return ask
