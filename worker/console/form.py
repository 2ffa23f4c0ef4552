"""A webhook as a form: each declared field as a control, and what was typed as what the API would be asked.

Fields, limits, spellings and masks are those of webhooks/declaration.py: a new field there is a new control here.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from multidict import MultiDict

from worker.api.dialects import Asked, Style
from worker.domain.names import CHOOSABLE, KNOWN
from worker.domain.webhook import Webhook
from worker.webhooks.compounds import Headers, Rate, Words
from worker.webhooks.declaration import CONTENT, Field
from worker.webhooks.documents import Filter, Seconds
from worker.webhooks.fields import GENERATE, Problem
from worker.webhooks.scalars import Choice, Flag, Pem, Text, Url, Whole

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Where it goes": ("url", "enabled", "by_events", "headers"),
    "Which events": ("events",),
    "Which chats and messages": (
        *("ignore", "only_chats", "except_chats", "message_types", "ttl_seconds", "latest_only", "filter"),
    ),
    "What is sent": ("media", "thumbnails", "max_body_bytes", "base64"),
    "In order": ("order", "order_block_seconds"),
    "How fast": ("timeout_ms", "concurrency", "rate_limit"),
    "Certificates": ("client_certificate", "ca"),
    "Notices": ("alert_url",),
}
"""Headings of the form; a field that none names comes last, under OTHERS."""

OTHERS = "More"

LABELS = {
    "ignore": "Leave out",
    "url": "URL",
    "by_events": "Append the event to the URL",
    "media": "Pictures and other media",
    "base64": "Base64",
    "order_block_seconds": "Longest hold-up, in seconds",
    "enabled": "Enabled",
    "ca": "Authorities",
    "max_body_bytes": "Largest body, in bytes",
    "timeout_ms": "Timeout, in milliseconds",
    "concurrency": "Attempts at once",
    "rate_limit": "Attempts a second",
    "ttl_seconds": "Time to live",
    "alert_url": "URL for notices",
}

_HINTS = {
    "url": "http:// or https://, with a host",
    "enabled": "Events for a disabled webhook are skipped",
    "by_events": "As Evolution does: /messages-upsert and so on",
    "headers": "Name: value, one a line. *** stands for a value that is stored; all are given anew",
    "events": "None chosen: all of them",
    "base64": "Stored and shown; Evolution itself embeds media",
    "ignore": "All four kinds of chats: what is left are private chats. from_me: what the instance itself sent",
    "only_chats": "Only events of these, and such as are of no chat: JIDs, or phone numbers in digits, one a line",
    "except_chats": "No event of these: JIDs, or phone numbers in digits, one a line",
    "message_types": "Only these of Evolution's, such as imageMessage, one a line; and events that are no message",
    "filter": (
        'What must hold of an event, as JSON. No pictures: {"data.messageType": {"$ne": "imageMessage"}}. Operators: '
        "$eq $ne $in $nin $gt $gte $lt $lte $startsWith $endsWith $contains $exist $and $or $not"
    ),
    "media": "keep: Base64 as it is. strip: its size and hash alone",
    "rate_limit": "10, or 10/20 with a burst of 20; for the whole deployment",
    "ttl_seconds": "EVENT=SECONDS, one a line: an older event of the kind is skipped",
    "latest_only": "Events, one a line: skipped when a newer one of the chat has come",
    "client_certificate": "PEM: certificate, chain and key, shown to the receiver. *** stands for the stored one",
    "ca": "PEM: the only authorities that the receiver's certificate may come from; empty: the system's",
    "alert_url": "Where notices about this webhook go: a URL of yours, of Slack or of Discord",
}


@dataclass(frozen=True, slots=True)
class Control:
    """`kind`: flag, one_of, some_of, number, lines, text or url. `text` is what it holds; `chosen`, of what is
    `offered`."""

    name: str
    kind: str
    label: str
    hint: str
    text: str = ""
    chosen: frozenset[str] = frozenset()
    offered: tuple[str, ...] = ()
    further: tuple[str, ...] = ()
    """Offered too, folded up unless chosen."""
    problems: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """`says`: what is set in it, in words. `wrong`: whether something in it is."""

    name: str
    controls: tuple[Control, ...]
    says: str
    wrong: bool


EDITED = tuple(field for field in CONTENT if field.name != "secrets")
"""Signing secrets are made and rotated, never typed here."""

_EVENTS, _OF_GO = tuple(sorted(KNOWN)), tuple(sorted(CHOOSABLE - KNOWN))


def of_webhook(webhook: Webhook, problems: Iterable[Problem] = ()) -> tuple[Group, ...]:
    """As it is stored, secrets masked."""
    typed = MultiDict[str]()
    for field in EDITED:
        for text in _texts(field, field.shown_in(webhook)):
            typed.add(field.name, text)
    return of_typed(typed, problems)


def of_typed(typed: MultiDict[str], problems: Iterable[Problem] = ()) -> tuple[Group, ...]:
    """As somebody left it, with what is wrong beside each field."""
    told: dict[str, list[str]] = {}
    for problem in problems:
        name, rest = root_of(problem.field)
        told.setdefault(name, []).append(f"{rest}: {problem.message}" if rest else problem.message)
    controls = {field.name: _control(field, typed.getall(field.name, []), told) for field in EDITED}
    grouped = {name for names in GROUPS.values() for name in names}
    groups = {**GROUPS, OTHERS: tuple(name for name in controls if name not in grouped)}
    return tuple(
        _group(name, [controls[each] for each in names if each in controls]) for name, names in groups.items() if names
    )


def root_of(path: str) -> tuple[str, str]:
    """`headers.X-Tenant` -> (`headers`, `X-Tenant`)"""
    match = re.match(r"\w+", path)
    name = match.group() if match else ""
    return name, path[len(name) :].lstrip(".")


def asked_by(typed: MultiDict[str], instance: str, webhook_id: str, *, generate: bool = False) -> Asked:
    """What the form asks the API for. What cannot be read is among its problems."""
    found = Asked(Style.V2, nested=False, whole=True, values={"instance": instance, "id": webhook_id})
    for field in EDITED:
        try:
            found.values[field.requested] = _plain(field, typed.getall(field.name, []))
        except ValueError as error:
            found.problems.append(Problem(field.requested, str(error)))
    if generate:
        found.values["secret"] = GENERATE
    return found


def _plain(field: Field, texts: Sequence[str]) -> Any:
    text = (texts[0] if texts else "").replace("\r\n", "\n").strip()
    match field.kind:
        case Flag():
            return bool(texts)
        case Words(offered=()) | Headers() | Seconds():
            return field.kind.typed([line for line in text.split("\n") if line.strip()])
        case Words() if field.name == "latest_only":
            return field.kind.typed([line for line in text.split("\n") if line.strip()])
        case Words():
            return field.kind.typed(list(texts))
        case Whole() | Rate() | Choice() if not text:
            return None
    return field.kind.typed(text)


def _texts(field: Field, shown: Any) -> list[str]:
    """The other way round."""
    match field.kind:
        case Flag():
            return ["on"] if shown else []
        case Words() if field.kind.offered and field.name != "latest_only":
            return list(shown or ())
        case Words():
            return ["\n".join(shown or ())]
        case Headers():
            return ["\n".join(f"{name}: {value}" for name, value in (shown or {}).items())]
        case Seconds():
            return ["\n".join(f"{name}={seconds:g}" for name, seconds in (shown or {}).items())]
        case Filter():
            return [orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode() if shown else ""]
        case Rate():
            return [f"{shown['per_second']:g}/{shown['burst']}" if shown else ""]
    return ["" if shown is None else str(shown)]


def _control(field: Field, texts: Sequence[str], told: Mapping[str, Sequence[str]]) -> Control:
    kind, offered = _kind(field)
    return Control(
        name=field.name,
        kind=kind,
        label=LABELS.get(field.name) or field.name.replace("_", " ").capitalize(),
        hint=_HINTS.get(field.name) or _sentence(field.about or field.help),
        text=texts[0] if texts else "",
        chosen=frozenset(texts),
        offered=(*offered, *sorted(set(texts) - {*offered, *_OF_GO})) if kind == "some_of" else offered,
        further=_OF_GO if field.name == "events" else (),
        problems=tuple(told.get(field.requested, ())),
        least=field.kind.least if isinstance(field.kind, Whole) else None,
        most=field.kind.most if isinstance(field.kind, Whole) else None,
        required=field.required,
    )


def _kind(field: Field) -> tuple[str, tuple[str, ...]]:
    match field.kind:
        case Flag():
            return "flag", ()
        case Choice(words=words):
            return "one_of", words
        case Words() if field.name == "events":
            return "some_of", _EVENTS
        case Words(offered=offered) if offered and field.name != "latest_only":
            return "some_of", offered
        case Whole():
            return "number", ()
        case Url():
            return "url", ()
        case Rate():
            return "text", ()
        case Text() if not isinstance(field.kind, Pem):
            return "text", ()
    return "lines", ()


def _sentence(text: str) -> str:
    """The command line's help without what only its options need."""
    plain = re.sub(r"[;:] '' (?:for|removes) [^;]*", "", text)
    return plain[:1].upper() + plain[1:]


def _group(name: str, controls: Sequence[Control]) -> Group:
    says = ", ".join(_said(control) for control in controls if _says(control))
    return Group(name, tuple(controls), says, any(control.problems for control in controls))


_USUAL = {"order_block_seconds": str(Webhook("-", "-").order_block_seconds)}


def _says(control: Control) -> bool:
    """Whether it differs from a webhook that says nothing."""
    if control.kind == "one_of":
        return control.text not in ("", control.offered[0])
    return control.text not in ("", _USUAL.get(control.name))


def _said(control: Control) -> str:
    match control.kind:
        case "some_of":
            return f"{len(control.chosen)} {control.label.lower()}"
        case "flag" | "lines" | "url":
            return control.label.lower() if control.label != "URL" else "URL"
    return f"{control.label.lower()} {control.text}"
