"""Hypothesis strategies for JSON text as programs write it, JavaScript's unpaired surrogates included."""

import json

from hypothesis import strategies as st

TORN = st.sampled_from(["\ud83d", "\udc00", "\ude00\ud83d", "x\udfff", "😀"])
WHOLE_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ANY_TEXT = WHOLE_TEXT | TORN | st.sampled_from(["\\ud83d", "\\\\", '"', "\\", "{}[],:", "\\u0041", " "])
SPACE = st.text(" \t\r\n", max_size=3)


def values(text: st.SearchStrategy[str]) -> st.SearchStrategy[object]:
    """Values that json.dumps takes."""
    scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4), max_leaves=12
    )


@st.composite
def texts(draw: st.DrawFn, value: object) -> str:
    """JSON text of a value: compact or spaced; ASCII, or UTF-8 where it can be."""
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\r\n", "\t:\n")]))
    ascii_only = draw(st.booleans())
    text = json.dumps(value, ensure_ascii=ascii_only, separators=separators)
    return text if not any("\ud800" <= char <= "\udfff" for char in text) else json.dumps(value, separators=separators)


@st.composite
def members(draw: st.DrawFn, text: st.SearchStrategy[str] = ANY_TEXT, least: int = 0) -> dict[str, str]:
    """The members of an object: key -> JSON text of its value."""
    found = draw(st.dictionaries(text, values(text), min_size=least, max_size=6))
    return {key: draw(texts(value)) for key, value in found.items()}


@st.composite
def objects(draw: st.DrawFn, found: dict[str, str]) -> bytes:
    """The text of an object with these members, with white space wherever JSON allows it."""
    parts = [
        f"{draw(SPACE)}{draw(texts(key))}{draw(SPACE)}:{draw(SPACE)}{value}{draw(SPACE)}"
        for key, value in found.items()
    ]
    return f"{draw(SPACE)}{{{','.join(parts)}}}{draw(SPACE)}".encode()
