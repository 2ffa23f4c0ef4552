"""Letters as people and programs read them: a table, JSON, one letter in full. No secret leaves unmasked. Pure."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import orjson

from worker.basics.masking import MASK, text_without_credentials
from worker.basics.moments import iso
from worker.basics.printable import printable, printable_lines
from worker.deadletters.letter import Group, Letter

_SECRET_KEYS = re.compile(
    r"api[-_]?key|authorization|jwt[-_]?key|password|passwd|secret|token|cookie|signature|private[-_]?key",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    rf'("[^"\\]{{0,60}}(?:{_SECRET_KEYS.pattern})[^"\\]{{0,60}}"\s*:\s*)"(?:[^"\\]|\\.)*+"?', re.IGNORECASE
)

COLUMNS = ("dead_since", "reason", "instance", "event", "webhook", "attempts", "last_status", "id", "error")
WIDEST = 60


def shown(letter: Letter) -> dict[str, object]:
    """The object of `--json`."""
    return {
        "id": _clean(letter.id),
        "reason": _clean(letter.reason),
        "instance": _clean(letter.instance),
        "event": _clean(letter.event),
        "webhook": _clean(letter.webhook),
        "attempts": letter.attempts,
        "last_status": letter.last_status,
        "last_error": _clean(letter.last_error),
        "error": _clean(letter.error),
        "first_seen": _iso(letter.first_seen),
        "dead_since": _iso(letter.dead_since),
        "exchange": _clean(letter.exchange),
        "routing_key": _clean(letter.routing_key),
        "log": [text_without_credentials(entry) for entry in letter.log],
    }


def as_json(letters: Iterable[Letter]) -> Iterable[str]:
    """An array, one letter a line, a piece at a time."""
    lead = "["
    for letter in letters:
        yield f"{lead}\n{orjson.dumps(shown(letter)).decode()}"
        lead = ","
    yield "[]\n" if lead == "[" else "\n]\n"


def groups_as_json(groups: Iterable[Group], letters: Iterable[Letter], mark: str) -> str:
    """One object on one line: `groups`, the `letters` that are shown of them, and the `mark` of all (Mark)."""
    counted = [
        {
            "instance": _clean(group.instance),
            "webhook": _clean(group.webhook),
            "reason": _clean(group.reason),
            "count": group.letters,
            "newest": _iso(group.newest),
        }
        for group in groups
    ]
    return orjson.dumps({"groups": counted, "letters": list(map(shown, letters)), "mark": mark}).decode() + "\n"


def groups_table(groups: Iterable[Group]) -> Iterable[str]:
    """`12 rejected  acme/default`, a line each."""
    for group in groups:
        whom = f"{group.instance or '-'}/{group.webhook or '-'}"
        yield printable(f"{group.letters:>8} {group.reason}  {whom}  newest {_iso(group.newest) or '-'}") + "\n"


def table(letters: Sequence[Letter]) -> Iterable[str]:
    """One letter a line, columns as wide as their widest cell (60 at most, the error excepted)."""
    widths = [len(column) for column in COLUMNS]
    for letter in letters:
        widths = [max(width, len(cell)) for width, cell in zip(widths, _row(letter), strict=True)]
    yield _line([column.upper().replace("_", " ") for column in COLUMNS], widths)
    for letter in letters:
        yield _line(_row(letter), widths)


def by_reason(counts: Counter[str]) -> str:
    """`2 rejected, 1 expired`."""
    return ", ".join(f"{count} {printable(reason)}" for reason, count in counts.most_common())


def in_full(letter: Letter, headers: Mapping[str, object], body: bytes) -> dict[str, object]:
    """Everything about one letter, as JSON types, with secrets masked."""
    return {"letter": shown(letter), "headers": masked(_plain(dict(headers))), "body": masked_body(body)}


def masked_body(body: bytes) -> object:
    """An event as JSON types, with secrets masked. One that is not JSON is text."""
    try:
        return masked(json.loads(body))
    except (ValueError, RecursionError):
        return text_without_credentials(_SECRET_TEXT.sub(rf'\1"{MASK}"', body.decode(errors="replace")))


def compact(value: object) -> str:
    """One line of JSON, all ASCII."""
    return json.dumps(value, separators=(",", ":"))


def pretty(value: object) -> str:
    """Indented JSON that any terminal can take: half an emoji stays an escape."""
    return printable_lines(json.dumps(value, indent=2, ensure_ascii=False))


def masked(value: object, key: str = "") -> object:
    """The value with what its keys call a secret, and the credentials of URLs, replaced."""
    match value:
        case Mapping():
            return {name: masked(item, str(name)) for name, item in value.items()}
        case list():
            return [masked(item, key) for item in value]
        case str() if value:
            return MASK if _SECRET_KEYS.search(key) else text_without_credentials(value)
    return MASK if value and not isinstance(value, bool) and _SECRET_KEYS.search(key) else value


def _plain(value: object) -> object:
    """AMQP field values as JSON types."""
    match value:
        case Mapping():
            return {str(name): _plain(item) for name, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case bytes() | bytearray():
            return value.decode(errors="replace")
        case datetime():
            return value.isoformat()
        case None | bool() | int() | float() | str():
            return value
    return str(value)


def _row(letter: Letter) -> list[str]:
    fields = shown(letter)
    cells = ["-" if fields[column] is None else printable(str(fields[column])) for column in COLUMNS]
    return [_short(cell) for cell in cells[:-1]] + cells[-1:]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells[:-1], widths, strict=False)) + f"  {cells[-1]}\n"


def _short(cell: str) -> str:
    return cell if len(cell) <= WIDEST else cell[: WIDEST - 1] + "…"


def _clean(text: str | None) -> str | None:
    return None if text is None else text_without_credentials(text)


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    try:
        return iso(seconds)
    except (OverflowError, ValueError, OSError):
        return None
