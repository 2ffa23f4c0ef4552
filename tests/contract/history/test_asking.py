"""Pages, filters, the time line and health; whose rows they are is decided in the statement itself."""

from dataclasses import fields
from typing import Any

import pytest

from tests.contract.history.conftest import DAY, DELIVERED, FAILED, NOON, batch
from worker.domain.history import Row
from worker.domain.notices.receivers import OPERATOR
from worker.history.store import Cursor, Health, HistoryStore, Question, Span
from worker.webhooks.store import StoreUnavailable

HOUR = 3_600_000


async def found(history: HistoryStore, **asked: Any) -> list[Row]:
    return [kept.row for kept in (await history.page(Question(**{"owner": None, **asked}), None, 500)).items]


async def test_pages_go_on_where_the_last_one_ended(history: HistoryStore) -> None:
    rows = [DELIVERED._replace(at=NOON + at // 3, attempt=at) for at in range(20)]  # three of each moment
    await history.write([batch(*rows)])
    seen: list[int] = []
    after: Cursor | None = None
    while True:
        page = await history.page(Question(None), after, 3)
        seen += [kept.row.attempt for kept in page.items]
        if page.following is None:
            break
        assert len(page.items) == 3
        after = page.following
    assert seen == list(reversed(range(20)))


async def test_a_page_is_not_moved_by_rows_that_come_meanwhile(history: HistoryStore) -> None:
    await history.write([batch(DELIVERED, DELIVERED._replace(at=NOON - 1))])
    first = await history.page(Question(None), None, 1)
    await history.write([batch(DELIVERED._replace(at=NOON + 1), number=2)])
    second = await history.page(Question(None), first.following, 1)
    assert [kept.row.at for kept in (*first.items, *second.items)] == [NOON, NOON - 1]
    assert second.following is None


async def test_a_page_of_another_size_is_refused(history: HistoryStore) -> None:
    for limit in (0, -1, 501):
        with pytest.raises(ValueError, match="1 to 500"):
            await history.page(Question(None), None, limit)


OTHER = FAILED._replace(
    at=NOON + 1,
    id="msg_2",
    event_id="evt_2",
    instance="other",
    webhook="crm",
    event="CALL",
    chat="120363@g.us",
    outcome="DeadLettered",
    reason="rejected",
)
FILTERS: dict[str, Any] = {
    **{name: getattr(OTHER, name) for name in ("instance", "webhook", "event", "chat", "outcome", "reason", "status")},
    "id": "msg_2",
    "owner": "other",
    "since": NOON + 1,
}


def test_every_filter_is_tried() -> None:
    assert {field.name for field in fields(Question)} == FILTERS.keys() | {"until"}


async def test_each_filter_gives_its_rows_alone(history: HistoryStore) -> None:
    await history.write([batch(DELIVERED, OTHER)])
    for name, value in FILTERS.items():
        assert await found(history, **{name: value}) == [OTHER], name
    assert await found(history, until=NOON + 1) == [DELIVERED]
    assert await found(history, **FILTERS) == [OTHER]
    for name, value in FILTERS.items():
        absent = value + 9 if isinstance(value, int) else "nowhere"
        assert await found(history, **{**FILTERS, name: absent}) == [], name


CHATS = {
    "5511": {"5511@lid", "5511@s.whatsapp.net"},
    "5511@s.whatsapp.net": {"5511@s.whatsapp.net"},
    "5511:3@c.us": {"5511@s.whatsapp.net"},
    "551": set(),
    "%": set(),
    "5511@": set(),
    "": set(),
}


async def test_a_chat_is_found_by_its_address_or_its_number(history: HistoryStore) -> None:
    written = ["5511@s.whatsapp.net", "55110@s.whatsapp.net", "5511@lid", "15511@g.us", None]
    await history.write([batch(*(DELIVERED._replace(chat=chat) for chat in written))])
    assert {asked: {row.chat for row in await found(history, chat=asked)} for asked in CHATS} == CHATS


TWINS = (
    "ACME",
    "Acme",
    "acme ",
    " acme",
    "\u0430cme",
    "acmé",
    "acme\u0301",
    "acme\u200b",
    "\uff41cme",
    "acme%",
    "%",
    "_cme",
    "",
    "acm",
    "acmee",
)
"""Names that a collation or a pattern might take for `acme`; the fifth begins with a Cyrillic letter."""


async def test_an_owner_sees_its_own_rows_whatever_is_asked(history: HistoryStore) -> None:
    mine = [DELIVERED, FAILED._replace(at=NOON + 1)]
    await history.write([batch(*mine, *(DELIVERED._replace(instance=name, id="msg_x") for name in (*TWINS, None)))])
    assert await found(history, owner="acme") == mine[::-1]
    for twin in TWINS:
        assert [row.instance for row in await found(history, owner=twin)] == [twin]
        assert await found(history, owner="acme", instance=twin) == []
        assert await found(history, owner=twin, instance="acme") == []
    assert await found(history, owner="acme", id="msg_x") == []
    assert len(await history.timeline("msg_x", None)) == len(TWINS) + 1
    assert await history.timeline("msg_x", "acme") == ()
    assert await history.timeline("msg_1", "ACME") == ()
    assert await history.timeline("msg_1", "") == ()


async def test_what_the_operator_heard_of_an_instance_is_not_the_instances(history: HistoryStore) -> None:
    """Its row would say where the operator is, and what answered there."""
    told = DELIVERED._replace(webhook=OPERATOR, id="msg_ops")
    unknown = DELIVERED._replace(webhook=None, id="evt_1")
    await history.write([batch(told, unknown, DELIVERED._replace(webhook="notice:default", id="msg_own"))])
    assert {row.id for row in await found(history, owner="acme")} == {"evt_1", "msg_own"}
    assert await found(history, owner="acme", webhook=OPERATOR) == []
    assert await history.timeline("msg_ops", "acme") == ()
    assert [row.id for row in await found(history, webhook=OPERATOR)] == ["msg_ops"]


HOSTILE = ("acme\0", "\0", "acme' OR '1'='1", 'acme" OR 1=1 --', "acme\\", "\ud800", "a" * 10_000, "%s", ":owner", "?")


async def test_hostile_values_find_nothing_and_break_nothing(history: HistoryStore) -> None:
    await history.write([batch(DELIVERED)])
    for text in HOSTILE:
        for name in ("owner", "instance", "webhook", "event", "chat", "outcome", "reason", "id"):
            assert await found(history, **{name: text}) == [], (name, text)
        assert await history.timeline(text, None) == ()
        assert await history.timeline("msg_1", text) == ()
        assert await history.health(text, NOON) == {}
    for number in (2**63, -(2**63) - 1, 2**70):
        assert await found(history, status=number) == []
    assert await found(history, owner="acme") == [DELIVERED]


async def test_a_cursor_of_another_instance_or_of_nobodys_opens_nothing(history: HistoryStore) -> None:
    await history.write([batch(DELIVERED, OTHER, OTHER._replace(at=NOON - 1))])
    others = (await history.page(Question(owner="other"), None, 1)).following
    cursors = [others, Cursor(2**63 - 1, 2**63 - 1), Cursor(2**70, 2**70), Cursor(-1, -1), Cursor(NOON, 2**63 - 1)]
    for cursor in cursors:
        page = await history.page(Question(owner="acme"), cursor, 500)
        assert {kept.row.instance for kept in page.items} <= {"acme"}
    assert (await history.page(Question(owner="acme"), others, 500)).items[0].row == DELIVERED


async def test_a_time_line_is_one_deliverys_oldest_first(history: HistoryStore) -> None:
    last = DELIVERED._replace(at=NOON + DAY, attempt=2)
    await history.write([batch(last, OTHER), batch(FAILED, number=2)])
    assert [kept.row for kept in await history.timeline("msg_1", "acme")] == [FAILED, last]


async def test_health_counts_attempts_of_the_hour_and_the_day(history: HistoryStore) -> None:
    failed_long_ago = FAILED._replace(at=NOON - 3 * DAY)
    parked = FAILED._replace(at=NOON - 1, outcome="Parked", reason="circuit_open", ms=None, status=None)
    await history.write(
        [
            batch(
                *(DELIVERED._replace(at=NOON - at) for at in (0, 1, 2 * HOUR, 2 * DAY)),
                *(
                    FAILED._replace(at=NOON - at, outcome=name)
                    for at, name in ((5, "Retried"), (2 * HOUR, "DeadLettered"))
                ),
                parked,
                failed_long_ago._replace(webhook="long-ago"),
                FAILED._replace(webhook="dead", at=NOON - HOUR),
                DELIVERED._replace(webhook="dead", at=NOON - 2 * DAY),
                DELIVERED._replace(webhook=None),
                DELIVERED._replace(instance="ACME", webhook="else"),
            )
        ]
    )
    assert await history.health("acme", NOON) == {
        "default": Health(Span(3, 2), Span(5, 3), NOON, NOON - 5),
        "dead": Health(Span(0, 0), Span(1, 0), NOON - 2 * DAY, NOON - HOUR),
    }
    assert await history.health("nobody", NOON) == {}


@pytest.mark.usefixtures("own_database")
async def test_questions_before_there_are_tables_say_what_is_missing(new_history: Any) -> None:
    with pytest.raises(StoreUnavailable, match=r"lacks the history's tables|cannot be opened"):
        await new_history().page(Question(None), None, 1)
