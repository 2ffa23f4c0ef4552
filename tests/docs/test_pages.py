"""The pages point at what is there: links, anchors, paths, make targets; and the README stays short."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.markdown import anchors, code_spans, links

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
LONGEST_README = 240
PATH = re.compile(
    r"(?:worker|tests|deploy|config|docs|requirements|\.ci)/[\w./-]*|(?:[\w.-]+/)+[\w-]+\.(?:py|md|toml|sql)"
)


def pages() -> list[Path]:
    """Every page that is committed, or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode == 0:
        return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).exists()]
    # An unpacked sdist is no checkout.
    return [file for file in ROOT.rglob("*.md") if not {".venv", "node_modules"} & set(file.parts)]


PAGES = [pytest.param(file, id=str(file.relative_to(ROOT))) for file in pages()]


def test_there_are_pages() -> None:
    names = {str(file.relative_to(ROOT)) for file in pages()}
    assert {"README.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/settings.md", "docs/decisions/README.md"} <= names


@pytest.mark.parametrize("file", PAGES)
def test_links_lead_somewhere(file: Path) -> None:
    for path, anchor in links(file):
        target = (file.parent / path).resolve() if path else file
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


@pytest.mark.parametrize("file", PAGES)
def test_paths_in_backticks_exist(file: Path) -> None:
    if file.name == "CHANGELOG.md":
        return  # it speaks of the past too
    for span in code_spans(file):
        if PATH.fullmatch(span):
            assert (ROOT / span).exists(), span


@pytest.mark.parametrize("file", PAGES)
def test_make_targets_exist(file: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    spoken = [*code_spans(file), *file.read_text().splitlines()]
    named = [span.split()[1] for span in spoken if re.match(r" *make [a-z-]+( [A-Z]|  +#|$| &&)", span)]
    assert set(named) <= targets


def test_every_page_of_docs_says_for_whom_it_is_and_is_reached_from_the_readme() -> None:
    for file in (ROOT / "docs").glob("*.md"):
        lines = file.read_text().splitlines()
        assert lines[0].startswith("# "), file.name
        assert lines[2].startswith("*For "), file.name
        assert f"docs/{file.name}" in README.read_text(), file.name


def test_the_readme_can_be_read_to_its_end() -> None:
    assert len(README.read_text().splitlines()) <= LONGEST_README


def test_every_decision_is_in_the_index_and_has_its_four_parts() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    for file in sorted(folder.glob("[0-9]*.md")):
        text = file.read_text()
        assert f"]({file.name})" in index, file.name
        parts = re.findall(r"^\*\*([\w ]+)\.\*\*", text, re.MULTILINE)
        assert parts == ["Context", "Decision", "Price", "How to undo it"], file.name
