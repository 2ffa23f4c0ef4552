"""What tests need to know of Markdown: its headings as anchors."""

from __future__ import annotations

import re
from pathlib import Path


def anchors(file: Path) -> set[str]:
    """The anchors that the usual renderers give to the headings: lower case, dashes for spaces."""
    headings = re.findall(r"^#{1,6} +(.+?) *$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
