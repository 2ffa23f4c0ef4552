"""Text of others (names, URLs, errors, answers) in a line that a person reads: it stays one line, and moves nothing.

Trade-off: emoji that are joined by a zero-width joiner, and spaces other than U+0020, are shown by their numbers too.
"""

import codecs
import io
import re
from typing import TextIO

_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0]")
"""Letters and marks that Unicode calls default ignorable (Hangul's fillers and their kin): they show as nothing."""

ESCAPING = "worker.escaped"
"""The name of the error handler that `make_writable` gives to streams."""


def printable(text: str) -> str:
    """Without line breaks, control, bidi, zero-width and other invisible characters: each as `\\u202e`, as JSON has it.

    The rest is unchanged, so that it is safe to repeat.
    """
    if text.isprintable() and (text.isascii() or not _INVISIBLE.search(text)):
        return text
    return "".join(map(_shown, text))


def printable_lines(text: str) -> str:
    """As `printable`, for text whose line feeds are the caller's own, as those of indented JSON are."""
    return "\n".join(map(printable, text.split("\n")))


def make_writable(stream: TextIO) -> None:
    """What the stream's encoding lacks is written as an escape from now on, instead of ending the command.

    PYTHONIOENCODING=ascii, a C locale, an unpaired surrogate. JSON stays JSON.
    """
    codecs.register_error(ESCAPING, _escaped)
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=ESCAPING)


def _shown(char: str) -> str:
    return char if char.isprintable() and not _INVISIBLE.match(char) else _escape(char)


def _escape(char: str) -> str:
    """JSON's (RFC 8259, 7): a character beyond U+FFFF is a pair of surrogates."""
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_escape, error.object[error.start : error.end])), error.end
