"""The TOML of webhooks: one `[[webhook]]` table each, with the fields of `webhook set` by their own names."""

import re
import tomllib
from collections.abc import Callable, Iterable, Sequence

import orjson

from worker.basics.printable import printable
from worker.domain.webhook import Endpoint, Webhook
from worker.webhooks.declaration import CONTENT
from worker.webhooks.fields import InvalidWebhook, webhook_from

LARGEST = 16 * 2**20
"""Bytes: 10,000 webhooks take two million."""

MOST_TOLD = 20
"""Problems in one message: the rest is counted."""

_TABLE = re.compile(r"[ \t]*\[\[[ \t]*(?:webhook|\"webhook\"|'webhook')[ \t]*\]\]")

Table = dict[str, object]


class BrokenFile(ValueError):
    """`problems`: each with line and field as far as they are known. No text holds a secret."""

    def __init__(self, problems: Sequence[str]) -> None:
        more = [f"and {len(problems) - MOST_TOLD} more"] if len(problems) > MOST_TOLD else []
        super().__init__("; ".join([*problems[:MOST_TOLD], *more]))
        self.problems = tuple(problems)


def parse(content: bytes, read: Callable[[Table], Webhook] = webhook_from) -> tuple[Webhook, ...]:
    """The webhooks in the order of the file; `read` makes one of a table, or raises InvalidWebhook.

    Raises BrokenFile with every problem.
    """
    if len(content) > LARGEST:
        raise BrokenFile([f"it is larger than {LARGEST >> 20} MiB"])
    text = _text(content)
    lines = _Lines(text)
    webhooks: list[Webhook] = []
    problems: list[str] = []
    tables = _tables(text)
    for number, table in enumerate(tables):
        try:
            webhooks.append(read(_fields(table)))
        except InvalidWebhook as error:
            problems += (f"{lines.place(number, len(tables), p.field)}: {p}" for p in error.problems)
    problems += _doubled(webhooks)
    if problems:
        raise BrokenFile(problems)
    return tuple(webhooks)


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BrokenFile([f"line {line}: is not UTF-8"]) from None


def _tables(text: str) -> list[Table]:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:  # its text names line and column
        raise BrokenFile([str(error)]) from None
    except (ValueError, RecursionError):  # a number of 5000 digits, a list in a list in a list
        raise BrokenFile(["holds a number that is too long, or is nested too deeply"]) from None
    unknown = sorted(found.keys() - {"webhook"})
    tables = found.get("webhook", [])
    if unknown or not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        wrong = unknown[0] if unknown else "webhook"
        raise BrokenFile([f"{wrong!r:.80}: the file holds [[webhook]] tables and nothing else"])
    return tables


def _fields(table: Table) -> Table:
    """`secret = "..."` is short for a list of one."""
    if "secret" not in table or "secrets" in table:
        return table
    return {name: value for name, value in table.items() if name != "secret"} | {"secrets": [table["secret"]]}


def _doubled(webhooks: Iterable[Webhook]) -> list[str]:
    seen: set[Endpoint] = set()
    problems = []
    for webhook in webhooks:
        if webhook.endpoint in seen:
            problems.append(f"webhook {webhook.id!r} of instance {webhook.instance!r} is there twice")
        seen.add(webhook.endpoint)
    return problems


class _Lines:
    """Where a table and its field begin. tomllib does not say, so the headers are looked for in the text."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self._headers = [number for number, line in enumerate(self._lines, 1) if _TABLE.match(line)]

    def place(self, number: int, count: int, field: str) -> str:
        """`line 12, webhook 3`; without the line where it is not certain (inline tables, text that looks like one)."""
        if len(self._headers) != count:
            return f"webhook {number + 1}"
        first = self._headers[number]
        last = self._headers[number + 1] - 1 if number + 1 < count else len(self._lines)
        key = re.compile(rf"[ \t\[]*\"?{re.escape(re.split(r'[.[]', field)[0]).removesuffix('s')}")
        line = next((line for line in range(first + 1, last + 1) if key.match(self._lines[line - 1])), first)
        return f"line {line}, webhook {number + 1}"


def written(webhooks: Iterable[Webhook], *, with_secrets: bool) -> str:
    """The file of these webhooks. Without secrets, a comment tells what is left out."""
    return "\n".join(_table(webhook, with_secrets=with_secrets) for webhook in webhooks)


def exported(webhook: Webhook, *, with_secrets: bool) -> Table:
    """Fields by name; what is empty, and without `with_secrets` what may be secret, is left out."""
    fields: Table = {"instance": webhook.instance, "id": webhook.id}
    for field in CONTENT:
        if with_secrets:
            fields[field.name] = field.plain_in(webhook)
        elif not field.secret:
            fields[field.name] = field.shown_in(webhook)
    return {name: value for name, value in fields.items() if value not in (None, [], {})}


def _table(webhook: Webhook, *, with_secrets: bool) -> str:
    shown = exported(webhook, with_secrets=with_secrets)
    lines = ["[[webhook]]", *(f"{name} = {_value(value)}" for name, value in shown.items())]
    left_out = [] if with_secrets else _left_out(webhook)
    return "\n".join([*lines, *(f"# {name}: left out" for name in left_out)]) + "\n"


def _left_out(webhook: Webhook) -> list[str]:
    names = [field.name for field in CONTENT if field.secret and getattr(webhook, field.name)]
    masked = [f for f in CONTENT if f.hidden and not f.secret and f.shown_in(webhook) != f.plain_in(webhook)]
    return [*names, *(f"credentials of the {'URL' if field.name == 'url' else field.name}" for field in masked)]


def _holds_null(value: object) -> bool:
    match value:
        case dict():
            return any(map(_holds_null, value.values()))
        case list():
            return any(map(_holds_null, value))
    return value is None


def _value(value: object) -> str:
    match value:
        case dict() if _holds_null(value):
            return _value(orjson.dumps(value).decode())  # TOML has no null; a filter is read from its JSON, too
        case dict():
            return "{ " + ", ".join(f"{_value(str(name))} = {_value(item)}" for name, item in value.items()) + " }"
        case list():
            return "[" + ", ".join(map(_value, value)) + "]"
    text = orjson.dumps(value).decode()
    return "".join(char if printable(char) == char else f"\\U{ord(char):08x}" for char in text)
