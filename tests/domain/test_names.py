"""Event names: every spelling of every Evolution version means one canonical name and one path."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.names import KNOWN, SYNONYMS, WIRE_NAMES, canonical, path_of, queue_spellings

MISSION = """
    APPLICATION_STARTUP QRCODE_UPDATED CONNECTION_UPDATE MESSAGES_SET MESSAGES_UPSERT MESSAGES_UPDATE MESSAGES_DELETE
    SEND_MESSAGE CONTACTS_SET CONTACTS_UPSERT CONTACTS_UPDATE PRESENCE_UPDATE CHATS_SET CHATS_UPDATE CHATS_UPSERT
    CHATS_DELETE GROUPS_UPSERT GROUPS_UPDATE GROUP_PARTICIPANTS_UPDATE NEW_TOKEN
"""
LATER = """
    MESSAGES_EDITED SEND_MESSAGE_UPDATE LABELS_EDIT LABELS_ASSOCIATION CALL TYPEBOT_START TYPEBOT_CHANGE_STATUS
    REMOVE_INSTANCE LOGOUT_INSTANCE INSTANCE_CREATE INSTANCE_DELETE STATUS_INSTANCE CHAMA_AI_ACTION
    MESSAGING_HISTORY_SET
"""
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def test_every_event_of_the_contract_is_known_and_no_other() -> None:
    assert len(MISSION.split()) == 20
    assert set(MISSION.split()) | set(LATER.split()) == KNOWN


@pytest.mark.parametrize(
    ("spelling", "kind", "path"),
    [
        ("messages.upsert", "MESSAGES_UPSERT", "messages-upsert"),
        ("messages-upsert", "MESSAGES_UPSERT", "messages-upsert"),  # 1.8.0's queues
        ("MESSAGES_UPSERT", "MESSAGES_UPSERT", "messages-upsert"),
        ("Messages.Upsert", "MESSAGES_UPSERT", "messages-upsert"),
        ("group-participants.update", "GROUP_PARTICIPANTS_UPDATE", "group-participants-update"),
        ("group.participants.update", "GROUP_PARTICIPANTS_UPDATE", "group-participants-update"),
        ("typebot.change-status", "TYPEBOT_CHANGE_STATUS", "typebot-change-status"),
        ("groups.update", "GROUPS_UPDATE", "groups-update"),
        ("GROUP_UPDATE", "GROUPS_UPDATE", "groups-update"),
        ("group.update", "GROUPS_UPDATE", "groups-update"),
        ("new.jwt", "NEW_TOKEN", "new-jwt"),
        ("NEW_JWT", "NEW_TOKEN", "new-jwt"),
        ("NEW_JWT_TOKEN", "NEW_TOKEN", "new-jwt"),
        ("NEW_TOKEN", "NEW_TOKEN", "new-jwt"),
        ("call", "CALL", "call"),
        ("chama-ai.action", "CHAMA_AI_ACTION", "chama-ai-action"),
        ("something.nobody-knows.yet", "SOMETHING_NOBODY_KNOWS_YET", "something-nobody-knows-yet"),
    ],
)
def test_spellings(spelling: str, kind: str, path: str) -> None:
    assert canonical(spelling) == kind
    assert path_of(kind) == path


@pytest.mark.parametrize("kind", sorted(KNOWN))
def test_a_known_event_is_the_same_in_every_spelling(kind: str) -> None:
    wire = WIRE_NAMES[kind]
    assert {canonical(spelling) for spelling in (kind, kind.lower(), wire, path_of(kind), *queue_spellings(kind))} == {
        kind
    }
    assert wire in queue_spellings(kind)
    assert path_of(kind) == wire.replace(".", "-")


def test_synonyms_lead_to_known_names() -> None:
    assert set(SYNONYMS.values()) <= KNOWN
    assert not set(SYNONYMS) & KNOWN


@pytest.mark.parametrize(
    ("kind", "spellings"),
    [
        ("MESSAGES_UPSERT", {"messages.upsert", "messages-upsert"}),
        (
            "GROUP_PARTICIPANTS_UPDATE",
            {"group-participants.update", "group.participants.update", "group-participants-update"},
        ),
        ("GROUPS_UPDATE", {"groups.update", "groups-update", "group.update", "group-update"}),
        (
            "NEW_TOKEN",
            {"new.jwt", "new-jwt", "new.jwt.token", "new-jwt-token", "new.token", "new-token"},
        ),
        ("CALL", {"call"}),
    ],
)
def test_queue_spellings(kind: str, spellings: set[str]) -> None:
    assert queue_spellings(kind) == spellings


def test_no_two_events_share_a_queue() -> None:
    spellings = [spelling for kind in KNOWN for spelling in queue_spellings(kind)]
    assert len(spellings) == len(set(spellings))


@given(st.sampled_from(sorted({*KNOWN, *SYNONYMS})), st.data())
def test_neither_case_nor_separators_make_another_event(name: str, data: st.DataObject) -> None:
    separators = data.draw(st.lists(st.sampled_from("._-"), min_size=len(name), max_size=len(name)))
    raised = data.draw(st.lists(st.booleans(), min_size=len(name), max_size=len(name)))
    spelt = "".join(
        separator if char == "_" else char.upper() if upper else char.lower()
        for char, separator, upper in zip(name, separators, raised, strict=True)
    )
    assert canonical(spelt) == canonical(name)
    assert path_of(canonical(spelt)) == path_of(canonical(name))


@given(ANY_TEXT)
def test_canonical_is_idempotent(name: str) -> None:
    assert canonical(canonical(name)) == canonical(name)


@given(ANY_TEXT)
def test_a_hostile_name_adds_neither_a_segment_nor_a_query(name: str) -> None:
    path = path_of(canonical(name))
    assert path not in ("", ".", "..")
    assert path.isascii()
    assert path.isprintable()
    assert not set(path) & set("/?#\\ ")
    parts = urlsplit(f"https://h/{path}")
    assert (parts.path, parts.query, parts.fragment) == (f"/{path}", "", "")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("../../admin", "--%2F--%2Fadmin"),
        ("a?b=c#d", "a%3Fb%3Dc%23d"),
        ("a%2fb", "a%252fb"),
        ("\r\nhost: evil", "%0D%0Ahost%3A%20evil"),
    ],
)
def test_hostile_names(name: str, path: str) -> None:
    assert path_of(canonical(name)) == path
