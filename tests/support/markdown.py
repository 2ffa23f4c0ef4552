"""What tests need to know of Markdown: headings as anchors, links, and what stands in backticks."""

from __future__ import annotations

import re
from pathlib import Path

_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


def prose(file: Path) -> str:
    """The page without its blocks of code."""
    return _FENCE.sub("", file.read_text(encoding="utf-8"))


def anchors(file: Path) -> set[str]:
    """The anchors that the usual renderers give to the headings: lower case, dashes for spaces, `-1` for a repeat."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *$", prose(file), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        repeats = sum(1 for other in found if re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", other))
        found.add(f"{anchor}-{repeats}" if repeats else anchor)
    return found


def links(file: Path) -> list[tuple[str, str]]:
    """(path, anchor) of every link and picture that stays within the repository; either may be empty."""
    targets = [first or second for first, second in _LINK.findall(prose(file))]
    inside = [target for target in targets if not re.match(r"[a-z]+:", target)]
    return [(path, anchor) for path, _, anchor in (target.partition("#") for target in inside)]


def code_spans(file: Path) -> list[str]:
    """What stands between single backticks."""
    return re.findall(r"`([^`\n]+)`", prose(file))
