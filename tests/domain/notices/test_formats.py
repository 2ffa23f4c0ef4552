"""Bodies within the limits of those who read them, whatever the names; nothing in them is markup or a mention."""

import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.event import Event, parse
from worker.domain.notices.formats import (
    DISCORD_CONTENT,
    DISCORD_DESCRIPTION,
    SLACK_HEADER,
    SLACK_SECTION,
    SLACK_TEXT,
    Format,
    body_of,
    shortened,
)
from worker.domain.notices.notice import Kind, Notice, Sample

HOSTILE = (
    "<!channel> & <@U1> <https://evil.example|click>",
    "@everyone **[click](https://evil.example)** ||x|| ```",
    "'" * 255,
    "&" * 255,
    "\U0001f4a5" * 255,
    "`" * 255,
    "a'b;$(rm -rf /)\\",
)


def event(name: str, text: str = "answered 503", kind: Kind = Kind.DISABLED) -> Event:
    sample = Sample("msg_" + "f" * 32, "MESSAGES_UPSERT", 503, text)
    return parse(Notice(kind, 1_795_000_000.0, name, "w" * 64, text, 1_794_000_000.0, sample).message())


def read(name: str, form: Format, text: str = "answered 503") -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(body_of(event(name, text), form))
    return found


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def unslacked(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def undiscorded(text: str) -> str:
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)


def test_the_standard_body_has_type_timestamp_and_data() -> None:
    assert read("acme", Format.STANDARD) == {
        "type": "webhook.disabled",
        "timestamp": "2026-11-18T11:06:40.000Z",
        "data": {
            "instance": "acme",
            "webhook": "w" * 64,
            "since": "2026-11-06T21:20:00Z",
            "reason": "answered 503",
            "sample": {"id": "msg_" + "f" * 32, "event": "MESSAGES_UPSERT", "status": 503, "answer": "answered 503"},
            "fix": f"webhook-worker webhook set --id={'w' * 64} --enabled acme",
        },
    }


@pytest.mark.parametrize("name", HOSTILE)
def test_slack_gets_plain_text_within_its_limits_and_the_whole_command(name: str) -> None:
    body = read(name, Format.SLACK, name * 20)
    texts = [block["text"] for block in body["blocks"]]
    assert [text["type"] for text in texts] == ["plain_text"] * 3
    assert units(texts[0]["text"]) <= SLACK_HEADER
    assert max(units(text["text"]) for text in texts[1:]) <= SLACK_SECTION
    assert units(body["text"]) <= SLACK_TEXT
    for text in (body["text"], *(text["text"] for text in texts)):
        assert not re.search(r"[<>]|&(?!(amp|lt|gt);)", text)
    assert unslacked(texts[2]["text"]) == f"To do: {orjson.loads(body_of(event(name), Format.STANDARD))['data']['fix']}"


@pytest.mark.parametrize("name", HOSTILE)
def test_discord_gets_text_without_markup_within_its_limits_and_the_whole_command(name: str) -> None:
    body = read(name, Format.DISCORD, name * 20)
    assert body["allowed_mentions"] == {"parse": []}
    (embed,) = body["embeds"]
    assert 0 < units(body["content"]) <= DISCORD_CONTENT
    assert 0 < units(embed["description"]) <= DISCORD_DESCRIPTION
    for text in (body["content"], embed["description"]):
        assert re.fullmatch(r"(\\[!-/:-@\[-`{-~]|[A-Za-z0-9 \n…\U0001f4a5])*", text)
    fix = orjson.loads(body_of(event(name), Format.STANDARD))["data"]["fix"]
    assert undiscorded(embed["description"]).startswith(f"To do: {fix}\n")


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 40))
def test_shortened_text_fits_ends_at_a_whole_character_and_says_so(text: str, most: int) -> None:
    escape = {"&": "&amp;"}
    found = shortened(text, most, lambda char: escape.get(char, char))
    whole = text.replace("&", "&amp;")
    assert units(found) <= most
    if units(whole) <= most:
        assert found == whole
    else:
        assert found.endswith("…")
        assert text.replace("&", "\0&").startswith(found[:-1].replace("&amp;", "\0&"))


@pytest.mark.parametrize("form", [*Format])
@pytest.mark.parametrize("kind", [*Kind])
def test_every_kind_has_a_body_in_every_form_that_names_the_instance(kind: Kind, form: Format) -> None:
    body = body_of(event("acme", kind=kind), form)
    assert b"acme" in body or kind in (Kind.SELF_FAULT, Kind.BACKLOG, Kind.TEST)


@pytest.mark.parametrize("kind", [*Kind])
def test_people_are_told_what_to_do_in_words_however_long_the_reason(kind: Kind) -> None:
    """Who has a channel of Slack alone has no shell of the worker."""
    slack = orjson.loads(body_of(event("acme", "&" * 2000, kind), Format.SLACK))
    details = unslacked(slack["blocks"][1]["text"]["text"])
    discord = orjson.loads(body_of(event("acme", "&" * 2000, kind), Format.DISCORD))
    description = undiscorded(discord["embeds"][0]["description"])
    advice, _, rest = details.partition("\n")
    assert re.fullmatch(r"[A-Z].{20,}\.", advice)
    assert advice in description
    assert rest.startswith("&&&")


def test_what_is_no_notice_has_no_body() -> None:
    for text in (b'{"event":"x","instance":"i"}', b'{"event":"x","instance":"i","data":7,"date_time":"now"}'):
        for form in Format:
            with pytest.raises(ValueError, match="no notice"):
                body_of(parse(text), form)
