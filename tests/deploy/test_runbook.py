"""deploy/README.md: a section for each alert, a row for each dead-letter reason."""

from __future__ import annotations

import re

from tests.deploy.alerts import DEPLOY, alerts
from worker.deadletters.letter import LETTER_REASONS

FILE = DEPLOY / "README.md"


def test_every_reason_of_a_dead_letter_has_its_row() -> None:
    _, _, section = FILE.read_text().partition("## Runbook: dead letters")
    rows = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert sorted(rows) == sorted(LETTER_REASONS)


def test_every_section_of_the_runbook_belongs_to_an_alert_that_agrees_on_its_urgency() -> None:
    sections = re.findall(r"^### ([\w-]+)\n\n\*([A-Z][\w ]+)", FILE.read_text(), re.MULTILINE)
    severities: dict[str, set[str]] = {}
    for rule in alerts():
        anchor = rule["annotations"]["runbook"].partition("#")[2]
        severities.setdefault(anchor, set()).add(rule["labels"]["severity"])
    assert {anchor: set(words.lower().split(" or ")) for anchor, words in sections} == severities
