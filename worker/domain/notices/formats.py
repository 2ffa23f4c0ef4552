"""The body of a notice, in the form that its receiver reads: ours, Slack's or Discord's.

Names, errors and answers come from outside: in a chat they are text, never markup, a link or a mention.
"""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum

import msgspec
import orjson

from worker.domain.event import Event
from worker.domain.notices.notice import Data, Kind, data_in

SLACK_HOST = "hooks.slack.com"
DISCORD_HOSTS = ("discord.com", "discordapp.com")

SLACK_HEADER, SLACK_SECTION, SLACK_TEXT = 150, 3000, 40_000
"""Characters: a header block's text, a section block's, a message's `text` (docs.slack.dev, Block Kit and
chat.postMessage)."""

DISCORD_CONTENT, DISCORD_DESCRIPTION, DISCORD_EMBEDS = 2000, 4096, 6000
"""Characters: a message's `content`, an embed's description, all of its embeds together (docs.discord.com, Message
resource)."""


class Format(StrEnum):
    """How a receiver of notices reads them (OPS_WEBHOOK_FORMAT)."""

    STANDARD = "standard"
    SLACK = "slack"
    DISCORD = "discord"


def format_of(host: str, path: str) -> Format:
    """By the address of an `alert_url`: `host` in lower case."""
    if host == SLACK_HOST:
        return Format.SLACK
    if host.removeprefix("ptb.").removeprefix("canary.") in DISCORD_HOSTS and path.startswith("/api/webhooks/"):
        return Format.DISCORD
    return Format.STANDARD


def body_of(event: Event, form: Format) -> bytes:
    """Raises ValueError: the event is no notice of ours."""
    data = data_in(event)
    match form:
        case Format.SLACK:
            return _slack(event.name, data)
        case Format.DISCORD:
            return _discord(event.name, data)
        case _:
            return msgspec.json.encode({"type": event.name, "timestamp": _moment(event), "data": data})


def _moment(event: Event) -> str:
    try:
        return msgspec.json.decode(bytes(event.fields.get("date_time", b"")), type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise ValueError("the event is no notice: it has no date_time") from None


def title(kind: str, data: Data) -> str:
    """One sentence for people."""
    whose = f"Webhook {data.webhook or '?'} of {data.instance or 'all instances'}"
    match kind:
        case Kind.FAILING:
            return f"{whose} fails"
        case Kind.RECOVERED:
            return f"{whose} works again"
        case Kind.PAUSED:
            return f"{whose} was paused"
        case Kind.DISABLED:
            return f"{whose} was disabled"
        case Kind.DEAD if data.webhook is None:
            return f"Events of {data.instance or 'an unknown instance'} could not be read"
        case Kind.DEAD:
            return f"{whose}: deliveries were given up"
        case Kind.SELF_FAULT:
            return "The worker reaches no receiver"
        case Kind.BACKLOG:
            return "Events wait for the worker"
        case Kind.SILENT:
            return f"Instance {data.instance} gets no messages"
        case Kind.TEST:
            return "A test: notices arrive here"
    return kind


_ADVICE: Mapping[str, str] = {
    Kind.FAILING: "Its receiver takes nothing. Mend it: what failed is sent again by itself, for a day as a rule. The "
    "command below sends one test event and shows the answer.",
    Kind.RECOVERED: "Its receiver takes events again, and what waited is on its way. What had been given up meanwhile "
    "is sent again by the command below.",
    Kind.DISABLED: "It gets no events until it is enabled again: mend its receiver first.",
    Kind.PAUSED: "It gets no events until it is resumed; what came meanwhile is sent to it then.",
    Kind.DEAD: "Its receiver refused them, or took nothing for too long. Mend it, then have them sent again.",
    Kind.SELF_FAULT: "The host of the worker, its network or its DNS is at fault; events wait meanwhile.",
    Kind.BACKLOG: "Nothing is lost, but late. More replicas help, or the command below says what is slow.",
    Kind.SILENT: "WhatsApp may have stopped sending to it. Restart the instance in Evolution: "
    "PUT /instance/restart/ and its name. The command below shows what came within a day.",
    Kind.TEST: "Nothing is to be done.",
}
"""What to do, for people who have no shell of the worker: the command is for those who have."""


def _advice(kind: str, data: Data) -> str:
    if kind == Kind.DEAD and data.webhook is None:
        return "They are no events, or no webhook wants them: the command below lists them."
    return _ADVICE.get(kind, "")


def _details(kind: str, data: Data) -> str:
    lines = [_advice(kind, data), data.reason, f"Since: {data.since}" if data.since else ""]
    if data.sample is not None:
        status = "no answer" if data.sample.status is None else f"status {data.sample.status}"
        lines.append(f"Example: {data.sample.event or 'an event'}, {data.sample.id}, {status}")
        lines.append(f"It answered: {data.sample.answer}" if data.sample.answer else "")
    return "\n".join(filter(None, lines))


def _slack(kind: str, data: Data) -> bytes:
    """Incoming webhooks. `plain_text` has no markup; `text` is for notifications. The command is whole: names have 255
    characters at most, so that it has fewer than a section may."""
    head, todo = title(kind, data), f"To do: {data.fix}" if data.fix else ""
    sections = [
        {"type": "section", "text": _plain(text, SLACK_SECTION)} for text in (_details(kind, data), todo) if text
    ]
    blocks = [{"type": "header", "text": _plain(head, SLACK_HEADER)}, *sections]
    text = shortened(f"{head}\n{data.fix or ''}".strip(), SLACK_TEXT, _slack_escaped)
    return orjson.dumps({"text": text, "mrkdwn": False, "blocks": blocks})


def _plain(text: str, most: int) -> dict[str, object]:
    return {"type": "plain_text", "text": shortened(text, most, _slack_escaped), "emoji": False}


def _slack_escaped(char: str) -> str:
    return {"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(char, char)


def _discord(kind: str, data: Data) -> bytes:
    """Whoever reads it in a notification sees `content` alone. Nobody is mentioned, whatever a name says."""
    todo = f"To do: {data.fix}\n" if data.fix else ""
    description = shortened(f"{todo}{_details(kind, data)}", DISCORD_DESCRIPTION, _discord_escaped)
    return orjson.dumps(
        {
            "content": shortened(title(kind, data), DISCORD_CONTENT, _discord_escaped),
            "embeds": [{"description": description}],
            "allowed_mentions": {"parse": []},
        }
    )


_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")


def _discord_escaped(char: str) -> str:
    """A backslash takes the meaning from any ASCII punctuation, and is not shown."""
    return f"\\{char}" if _PUNCTUATION.match(char) else char


def shortened(text: str, most: int, escaped: Callable[[str], str]) -> str:
    """The text, escaped, with an ellipsis in the place of what is beyond `most` characters as UTF-16 counts them."""
    parts: list[str] = []
    room, fits = most - 1, 0
    for char in text:
        part = escaped(char)
        room -= len(part) + sum(found > "\uffff" for found in part)
        if room < -1:
            return "".join(parts[:fits]) + "…"
        parts.append(part)
        if room >= 0:
            fits = len(parts)
    return "".join(parts)
