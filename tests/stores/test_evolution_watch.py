"""What watching Evolution's tables does when: looks, whole looks, and what it remembers. No database, no clock."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from worker.domain.webhook import Webhook
from worker.stores.evolution.row import FAREWELL, Row, farewell, stored
from worker.stores.evolution.watch import GONE_MOST, GONE_SECONDS, RECONCILE_SECONDS, Snapshot, Watch
from worker.webhooks.store import RowDamaged, StoreUnavailable

MINUTE = 60_000_000


def row(instance: str, url: str = "worker+https://h/", updated: int = MINUTE, **columns: Any) -> Row:
    return Row(instance, url, **{"headers": None, "enabled": 1, "events": None, "by_events": 0, "base64": 0,
                                 "created": None, **columns}, updated=updated)  # fmt: skip


class World:
    """A table, a clock, and what was done to the table: `looks` holds `since` of each look, None for a whole one."""

    def __init__(self, *rows: Row) -> None:
        self.now = 1000.0
        self.rows = {found.instance: found for found in rows}
        self.looks: list[int | None] = []
        self.tokens = 0
        self.told: list[str] = []
        self.missed = 0
        self.down = False
        self.during: Any = lambda: None
        self.snapshot = Snapshot(lambda: self.now)
        self.watch = Watch(
            self.snapshot,
            look=self._look,
            token=self._token,
            named=self._named,
            changed=lambda instance, _: self.told.append(instance),
            missed=self._missed,
            clock=lambda: self.now,
        )

    def put(self, *rows: Row) -> None:
        self.rows |= {found.instance: found for found in rows}

    async def step(self, seconds: float = 2.0) -> list[str]:
        """The instances told of."""
        self.now += seconds
        self.told.clear()
        await self.watch.step()
        return sorted(self.told)

    def _missed(self) -> None:
        self.missed += 1

    async def _token(self) -> Any:
        self._check()
        self.tokens += 1
        updated = [found.updated for found in self.rows.values()]
        return Token(len(updated), max(updated, default=0), sum(updated))

    async def _look(self, since: int | None) -> Any:
        self.looks.append(since)
        rows = tuple(found for found in self.rows.values() if since is None or found.updated >= since)
        return SimpleNamespace(token=await self._token(), rows=rows, whole=since is None)

    async def _named(self, names: Sequence[str]) -> tuple[Row, ...]:
        self._check()
        found = tuple(self.rows[name] for name in names if name in self.rows)
        self.during()
        return found

    def _check(self) -> None:
        if self.down:
            raise StoreUnavailable("down")


class Token(tuple[int, int, int]):
    """As evolution_tables.Token, which costs SQLAlchemy's import."""

    def __new__(cls, *parts: int) -> "Token":
        return super().__new__(cls, parts)

    count, newest, total = (property(lambda self, at=at: self[at]) for at in range(3))


async def settled(*rows: Row) -> World:
    """A watch that has seen these rows a while ago."""
    world = World(*rows)
    await world.step()
    for _ in range(4):
        await world.step()
    world.looks.clear()
    return world


async def test_the_first_look_makes_everything_old_and_tells_of_nobody() -> None:
    world = World(row("acme"))
    assert await world.step() == []
    assert (world.missed, world.looks) == (1, [None])


async def test_a_quiet_table_costs_one_token_a_step() -> None:
    world = await settled(row("acme"))
    assert await world.step() == []
    assert world.looks == []


async def test_a_change_is_found_among_the_newest_rows_alone() -> None:
    world = await settled(row("acme"), row("loja"))
    world.put(row("acme", "worker+https://new/", 10 * MINUTE))
    assert await world.step() == ["acme"]
    assert None not in world.looks


async def test_a_change_within_the_same_moment_is_found_while_the_table_is_unsettled() -> None:
    world = await settled(row("acme"))
    world.put(row("acme", "worker+https://1/", 10 * MINUTE))
    await world.step()
    world.put(row("acme", "worker+https://2/", 10 * MINUTE))
    assert await world.step() == ["acme"]


@pytest.mark.parametrize("change", ["old row", "deleted row"])
async def test_what_the_newest_rows_do_not_explain_is_looked_for_in_all(change: str) -> None:
    world = await settled(row("acme", updated=MINUTE), row("loja", updated=50 * MINUTE))
    if change == "old row":
        world.put(row("acme", "worker+https://new/", 2 * MINUTE))
    else:
        del world.rows["acme"]
    assert await world.step() == ["acme"]
    assert world.looks[-1] is None


async def test_a_change_that_left_no_trace_is_found_when_all_is_reconciled() -> None:
    world = await settled(row("acme"))
    world.put(row("acme", "worker+https://new/"))
    assert await world.step() == []
    assert await world.step(RECONCILE_SECONDS) == ["acme"]


async def test_after_an_outage_exactly_what_changed_is_told() -> None:
    world = await settled(row("acme"), row("loja"))
    world.down = True
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await world.step()
    world.down = False
    world.put(row("acme", "worker+https://new/", 9 * MINUTE))
    assert await world.step() == ["acme"]
    assert world.missed == 1


async def test_who_is_asked_for_is_looked_at_even_without_a_trace() -> None:
    world = await settled(row("acme"), row("gone"))
    world.put(row("acme", "worker+https://new/"))
    del world.rows["gone"]
    world.watch.ask(("acme", "gone", "nobody"))
    assert await world.step() == ["acme", "gone"]


async def test_who_is_asked_for_during_a_query_or_an_outage_is_asked_for_again() -> None:
    world = await settled(row("acme"))
    world.watch.ask(("acme",))
    world.down = True
    with pytest.raises(StoreUnavailable):
        await world.step()
    world.down = False
    world.put(row("acme", "worker+https://1/"))

    def again() -> None:
        world.during = lambda: None
        world.put(row("acme", "worker+https://2/"))
        world.watch.ask(("acme",))

    world.during = again
    assert await world.step() == ["acme"]
    assert await world.step() == ["acme"]


async def test_asking_ends_the_wait() -> None:
    world = World()
    waiting = asyncio.create_task(world.watch.wait(300))
    await asyncio.sleep(0)
    world.watch.ask(())
    await asyncio.wait_for(waiting, 5)


async def test_a_gone_instances_row_is_remembered_for_an_hour_unless_it_comes_back() -> None:
    world = await settled(row("acme"), row("loja"), row("third"))
    del world.rows["acme"], world.rows["loja"]
    await world.step()
    assert world.snapshot.last_known("acme") == row("acme")
    assert world.snapshot.last_known("third") == row("third")
    world.snapshot.forget("loja")
    assert world.snapshot.last_known("loja") is None
    world.now += GONE_SECONDS
    assert world.snapshot.last_known("acme") is None


def test_only_so_many_are_remembered() -> None:
    snapshot = Snapshot(lambda: 0.0)
    snapshot.update(row(str(number)) for number in range(GONE_MOST + 1))
    snapshot.replace(())
    known = [number for number in range(GONE_MOST + 1) if snapshot.last_known(str(number))]
    assert len(known) == GONE_MOST


@pytest.mark.parametrize(
    ("url", "take_all", "sent_to"),
    [("worker+https://h/", False, "https://h/"), ("worker+HTTP://h/", False, "HTTP://h/"), ("https://h/", False, None),
     ("https://h/", True, "https://h/"), ("worker+https://h/", True, "https://h/"), ("", True, None),
     ("ftp://h/", True, None), ("worker+ftp://h/", False, None), ("worker+", True, None)],
)  # fmt: skip
def test_which_rows_are_ours(url: str, take_all: bool, sent_to: str | None) -> None:
    found = stored(row("acme", url), take_all=take_all)
    assert (found.webhook.url if found else None) == sent_to


@pytest.mark.parametrize(
    "columns",
    [{"events": "{}"}, {"events": "[5]"}, {"events": "hunter2"}, {"headers": "[]x"}, {"headers": '["hunter2"]'}],
)  # fmt: skip
def test_what_is_no_list_or_table_is_damaged(columns: dict[str, str]) -> None:
    if columns.get("events") == "{}":
        assert stored(row("acme", **columns), take_all=True) is not None  # empty, as null
        return
    with pytest.raises(RowDamaged, match="of instance 'acme'") as caught:
        stored(row("acme", **columns), take_all=True)
    assert "hunter2" not in str(caught.value)


def test_json_text_within_json_is_read() -> None:
    found = stored(row("acme", events='"[\\"CALL\\"]"'), take_all=True)
    assert found is not None
    assert found.webhook.events == {"CALL"}


@pytest.mark.parametrize(
    ("events", "left"), [(set(), FAREWELL), ({"CALL", "REMOVE_INSTANCE"}, {"REMOVE_INSTANCE"}), ({"CALL"}, None)]
)
def test_a_farewell_is_for_the_events_of_deletion_alone(events: set[str], left: set[str] | None) -> None:
    found = farewell(Webhook("acme", "https://h/", events=frozenset(events)))
    assert (found.events if found else None) == left
