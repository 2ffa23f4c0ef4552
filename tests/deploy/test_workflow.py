"""The workflow of CI: it runs what there is, and .ci/README.md has each of its commands."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
SET_UP = ("apt-get ", "git config ")


def commands() -> set[str]:
    """All that its jobs run, but for setting up their containers."""
    jobs: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/tests.yaml").read_text())["jobs"]
    found: set[str] = set()
    for job in jobs.values():
        assert job["timeout-minutes"] <= 60
        run = [step["run"] for step in job["steps"] if "run" in step]
        matrix = job.get("strategy", {}).get("matrix", {}).get("command", [])
        found.update(*(matrix if line == "${{ matrix.command }}" else [line] for line in run))
    return {command for command in found if not command.startswith(SET_UP)}


def test_it_runs_what_the_page_says_and_no_more() -> None:
    rows = re.findall(r"^\| each .*$", (ROOT / ".ci/README.md").read_text(), re.MULTILINE)
    assert len(rows) == 4
    told = {command for row in rows for command in re.findall(r"`([^`]+)`", row.split("|")[2])}
    named = {command for command in told if not command.startswith("RELEASE=")}
    assert commands() == named | {"make test-debian RELEASE=sid"}


def test_its_commands_exist() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for command in commands():
        program, *arguments = command.split()
        assert arguments[0] in targets if program == "make" else os.access(ROOT / program, os.X_OK), command
