"""Commands run in processes of their own, politely, and end with whoever waits for them."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from tests.support.waiting import eventually
from worker.console.frame import commands as commands_module
from worker.console.frame.commands import POLITENESS, Commands

SHOW = "import os, sys; print(sys.argv[1:], os.environ['A'], os.nice(0)); print('why', file=sys.stderr); sys.exit(3)"


async def test_it_is_told_what_the_command_wrote_and_how_it_ended() -> None:
    commands = Commands((sys.executable, "-c", SHOW), ("--config=x",), {"A": "b"})
    ended = await commands.run(("dead", "show", "--", "--id"))
    assert (ended.code, ended.err) == (3, "why")
    assert ended.out.decode().startswith("['dead', 'show', '--config=x', '--', '--id'] b")
    assert (await commands.run(("doctor",))).out.decode().startswith("['doctor', '--config=x'] b")


async def test_deliveries_come_first() -> None:
    lowered = f"os.nice(0) != {min(POLITENESS + os.nice(0), 19)} and time.monotonic() < {time.monotonic() + 20}"
    wait = f"import os, time\nwhile {lowered}: time.sleep(0.01)\nprint(os.nice(0))"
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


async def interrupted(folder: Path, does: str) -> None:
    """A command is cut short, and `does` something at Ctrl-C, which a shell's background jobs would ignore."""
    script = (
        f"import os, pathlib, signal, sys, time\nos.chdir({str(folder)!r})\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "try:\n    pathlib.Path('began').touch(); time.sleep(60)\n"
        f"except KeyboardInterrupt:\n    {does}"
    )
    running = asyncio.create_task(Commands((sys.executable, "-c", script), (), {}).run(()))
    await eventually(_exists(folder / "began"), bool, 20, "its begin")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_cut_short_the_command_is_interrupted_as_by_ctrl_c(tmp_path: Path) -> None:
    await interrupted(tmp_path, "pathlib.Path('interrupted').touch()")
    assert (tmp_path / "interrupted").exists()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_one_that_writes_until_it_ends_loses_nothing(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    script = "import os, sys; os.write(1, b'x' * 300_000); print('last', file=sys.stderr); os.write(1, b'end')"
    with asyncio.Runner(loop_factory=loop) as runner:
        ended = runner.run(Commands((sys.executable, "-c", script), (), {}).run(()))
    assert (len(ended.out), ended.out[-3:], ended.err) == (300_003, b"end", "last")


async def test_interrupted_it_can_still_write_its_last(tmp_path: Path) -> None:
    writes = "print('x' * 1000, flush=True); print('y', file=sys.stderr, flush=True)"
    await interrupted(tmp_path, f"{writes}; pathlib.Path('written').touch()")
    assert (tmp_path / "written").exists()


async def test_one_that_takes_no_signal_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands_module, "END_SECONDS", 0.05)
    script = (
        "import os, signal, sys, time; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "print(os.getpid(), file=sys.stderr, flush=True); time.sleep(60)"
    )
    pids: asyncio.Queue[int] = asyncio.Queue()

    def read(line: str) -> bool:
        pids.put_nowait(int(line))
        return True

    running = asyncio.create_task(Commands((sys.executable, "-c", script), (), {}).run((), read))
    pid = await pids.get()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def _exists(path: Path):  # type: ignore[no-untyped-def]
    async def ask() -> bool:
        return path.exists()

    return ask
