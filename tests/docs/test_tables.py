"""What the pages list is what the code has: outcomes and reasons, metrics, commands with their options."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from pathlib import Path

import pytest

from worker.cli import parser
from worker.deadletters.letter import LETTER_REASONS, UNKNOWN
from worker.domain.outcome import REASONS, DeadLettered

ROOT = Path(__file__).parents[2]
GUIDES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


def rows(page: Path) -> list[list[str]]:
    """The cells of each row of each table of a page."""
    lines = [line for line in page.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def reasons_on_the_page() -> dict[str, set[str]]:
    """Outcome to reasons, from docs/outcomes.md; an empty first cell continues the row above."""
    found: dict[str, set[str]] = defaultdict(set)
    outcome = ""
    for first, second, *_ in rows(ROOT / "docs" / "outcomes.md"):
        outcome = first or outcome
        found[outcome] |= set(re.findall(r"`([^`]+)`", second))
    return found


def test_every_outcome_and_reason_has_its_row() -> None:
    expected = {outcome.__name__: {reason.value for reason in reasons} for outcome, reasons in REASONS.items()}
    expected[DeadLettered.__name__] = set(LETTER_REASONS) - {UNKNOWN}
    found = reasons_on_the_page()
    assert {name: found[name] for name in expected} == expected


def commands(page: Path) -> list[str]:
    """The lines of a page's blocks of code that call the program, comments and redirections cut off."""
    found: list[str] = []
    for block in re.findall(r"^ *```.*?\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL):
        lines = re.findall(r"^ *(?:[A-Z_]+=\S+ )?webhook-worker (.+)$", block.replace("\\\n", " "), re.MULTILINE)
        found += [re.split(r" #| [|>&;]", line)[0] for line in lines if "[--" not in line]
    return found


@pytest.mark.parametrize(
    "line", [pytest.param(line, id=f"{page.name}: {line}") for page in GUIDES for line in commands(page)]
)
def test_the_commands_of_the_pages_can_be_given(line: str) -> None:
    parser().parse_args(shlex.split(line))


def test_the_pages_have_commands() -> None:
    assert len(commands(ROOT / "README.md")) > 10


MADE = re.compile(r'\b(?:gauge|_counter|_by_label|_histogram|_by_outcome|Gauge|Counter)\(\s*(?:PREFIX \+ )?"([a-z_]+)"')


def test_every_metric_has_its_row_and_every_row_its_metric() -> None:
    made = {name for file in (ROOT / "worker").rglob("*.py") for name in MADE.findall(file.read_text())}
    cells = [row[0] for row in rows(ROOT / "docs" / "operating.md") if len(row) == 2]
    listed = {re.sub(r"\{.*", "", span) for cell in cells for span in re.findall(r"`([^`]+)`", cell)}
    told = {name.removesuffix("_total") for name in listed if re.fullmatch(r"[a-z_]+", name)}
    assert len(made) > 25
    assert told - {"process", "POST"} == made
