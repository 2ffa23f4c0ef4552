"""The envelope parser and the /webhook API under mutated input, for a bounded time.

    make fuzz                                            # two minutes, half of it for each, with a new seed
    .venv/bin/python -m tests.proof.fuzz --seconds 600 --seed 7
    .venv/bin/python -m tests.proof.fuzz --replay fuzz-failures/api-7-1234.bin

Each case is decided by seed and number. An input that breaks an invariant is written to a file, and told. Exit codes:
0 all held, 1 something broke, 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.proof.fuzz import api, envelope
from tests.proof.fuzz.envelope import Broken
from tests.proof.fuzz.requests import Sent
from tests.proof.fuzz.run import Failure, Result, for_seconds, fuzz_api, fuzz_envelope


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    arguments = _arguments()
    try:
        if arguments.replay:
            return _replay(arguments.replay)
        return _fuzz(arguments.seed, arguments.seconds, arguments.failures)
    except Broken as broken:
        print(f"BROKEN {broken}")
        return 1
    except KeyboardInterrupt:
        return 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.proof.fuzz", description="Mutated events and requests.")
    parser.add_argument("--seconds", type=float, default=120, help="in all (120)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="of every case (a new one)")
    parser.add_argument("--failures", type=Path, default=Path("fuzz-failures"), help="folder for inputs that broke it")
    parser.add_argument("--replay", type=Path, help="one such file, once more")
    return parser.parse_args()


def _fuzz(seed: int, seconds: float, folder: Path) -> int:
    print(f"seed {seed}", flush=True)
    failures: list[Failure] = []
    for part, fuzz in (
        ("envelope", fuzz_envelope),
        ("api", lambda seed, go_on: asyncio.run(fuzz_api(seed, go_on))),
    ):
        result = fuzz(seed, for_seconds(seconds / 2))
        failures += result.failures
        print("\n".join(_told(part, result, seed, folder)), flush=True)
    return int(bool(failures))


def _told(part: str, result: Result, seed: int, folder: Path) -> Iterator[str]:
    ends = ", ".join(f"{name} {count}" for name, count in sorted(result.ends.items()))
    yield f"{part}: {result.cases} cases, {len(result.failures)} broken ({ends})"
    for failure in result.failures:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{part}-{seed}-{failure.number}.bin"
        file.write_bytes(failure.raw)
        yield f"BROKEN {failure.why}\n       {file}"


def _replay(file: Path) -> int:
    if file.name.startswith("api-"):
        asyncio.run(_replay_request(Sent(file.read_bytes())))
    else:
        print("an event" if envelope.check(envelope.Case(file.read_bytes())) else "refused")
    return 0


async def _replay_request(sent: Sent) -> None:
    async with api.server() as server:
        await server.check(sent)
        print(f"answered with {next(iter(server.answers))}; {await server.look()} webhooks stored")


if __name__ == "__main__":
    sys.exit(main())
