"""The examples of docs/filters.md hold what their sentences promise."""

import json
import re
from pathlib import Path

from tests.domain.choosing.made import event_with, told, webhook_with
from tests.support.captures import EVOLUTION_GO, load
from worker.domain.event import parse

PAGE = (Path(__file__).parent.parent.parent.parent / "docs" / "filters.md").read_text(encoding="utf-8")
LISTS, FILTER = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))


def message(
    kind: str, chat: str = "5511999999999@s.whatsapp.net", mine: bool = False, ptt: bool = False
) -> dict[str, object]:
    return {"key": {"remoteJid": chat, "fromMe": mine}, "messageType": kind, "message": {kind: {"ptt": ptt}}}


def test_only_private_chats_not_from_me_images_and_audio() -> None:
    for example in (LISTS, FILTER):
        assert webhook_with(example).media == "strip"
        assert told(event_with(message("imageMessage")), example) is None
        assert told(event_with(message("audioMessage")), example) is None
        assert told(event_with(message("conversation")), example) is not None
        assert told(event_with(message("imageMessage", "1203630@g.us")), example) == "ignore: groups"
        assert told(event_with(message("imageMessage", "status@broadcast")), example) == "ignore: status"
        assert told(event_with(message("imageMessage", mine=True)), example) == "ignore: from_me"


def test_no_voice_notes() -> None:
    note = event_with(message("audioMessage", ptt=True))
    assert told(note, LISTS) is None
    assert told(note, FILTER) == "filter.$or: none of its 2 holds"


def test_types_and_images_of_evolution_go() -> None:
    assert '`{"data.Info.MediaType": "image"}`' in PAGE
    messages = [event for event in (parse(message.body) for message in load(EVOLUTION_GO)) if event.kind == "MESSAGE"]
    media = [event for event in messages if told(event, {"message_types": ["media"]}) is None]
    images = [event for event in messages if told(event, {"filter": {"data.Info.MediaType": "image"}}) is None]
    assert 0 < len(images) <= len(media) < len(messages)
