"""The store's findings: whose rights lack what, and the statements that grant it."""

from __future__ import annotations

import pytest

from worker.doctor.asking.server import mysql_rights
from worker.doctor.database import MYSQL_HOST, OWN_TABLES, creation, grants, store, tokens
from worker.doctor.finding import Finding, many, needs_doing, size, some
from worker.process.sources import KINDS
from worker.stores.database import parse
from worker.stores.own.schema import REVISIONS, SCHEMA, WEBHOOKS
from worker.webhooks.store import RightsLacking, StoreUnavailable

POSTGRESQL = parse("postgresql://wor%22ker:hunter2@db.example/webhooks?schema=Evolution%20API")
MYSQL = parse("mysql://o'neil:hunter2@db.example/web%60hooks")


def test_the_tables_are_those_of_the_schema() -> None:
    assert set(OWN_TABLES) == {table.name for table in (WEBHOOKS, REVISIONS, SCHEMA)}


def test_names_in_grants_are_quoted() -> None:
    assert grants(POSTGRESQL, own=False) == (
        'GRANT USAGE ON SCHEMA "Evolution API" TO "wor""ker"; '
        'GRANT SELECT ON "Evolution API"."Instance", "Evolution API"."Webhook" TO "wor""ker";'
    )
    assert grants(MYSQL, own=True) == (
        "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER ON `web``hooks`.* TO 'o''neil'@'%';" + MYSQL_HOST
    )
    assert grants(MYSQL, own=False).count("GRANT SELECT ON `web``hooks`.") == 2


def test_only_lacking_rights_are_answered_with_grants() -> None:
    lacking = store(RightsLacking("no"), KINDS["own"], POSTGRESQL)
    away = store(StoreUnavailable("no"), KINDS["own"], POSTGRESQL)
    file = store(StoreUnavailable("no"), KINDS["file"], None)
    assert (lacking.name, away.name, file.name) == ("database rights", "webhook store", "webhook store")
    assert "GRANT" in lacking.fix
    assert "GRANT" not in away.fix + file.fix
    assert "GRANT SELECT" in tokens(POSTGRESQL, RightsLacking("no")).fix
    assert "GRANT" not in tokens(POSTGRESQL, StoreUnavailable("no")).fix
    assert tokens(POSTGRESQL, None).level == "ok"
    assert store(None, KINDS["own"], POSTGRESQL).level == "ok"
    assert "hunter2" not in repr(lacking)


def test_making_the_tables_needs_a_right_only_until_they_are_there() -> None:
    assert creation(POSTGRESQL, False, made=True).level == "ok"
    assert creation(POSTGRESQL, True, made=False).level == "ok"
    assert creation(MYSQL, None, made=False).level == "ok"
    refused = creation(POSTGRESQL, False, made=False)
    assert refused.level == "problem"
    assert refused.fix.startswith('GRANT CREATE, USAGE ON SCHEMA "Evolution API" TO "wor""ker"')


def test_advice_alone_asks_for_nothing() -> None:
    ok, advice = Finding("ok", "a", "b"), Finding("advice", "a", "b", "c")
    assert not needs_doing([ok, advice])
    assert needs_doing([ok, Finding("warning", "a", "b", "c")])
    assert needs_doing([Finding("problem", "a", "b", "c"), advice])


def test_numbers_and_names_are_written_for_people() -> None:
    assert (many(1, "queue"), many(1200, "queue"), many(2, "delivery", "deliveries")) == (
        "1 queue",
        "1,200 queues",
        "2 deliveries",
    )
    assert (size(100), size(2048), size(5.5 * 1024**2)) == ("100 bytes", "2.0 KiB", "5.5 MiB")
    assert some([str(number) for number in range(10)]).endswith("7 and 2 more")


@pytest.mark.parametrize(
    ("lines", "rights"),
    [
        (["GRANT USAGE ON *.* TO `w`@`%`", "GRANT SELECT ON `hooks`.* TO `w`@`%`"], (False, False)),
        (["GRANT SELECT, INSERT, UPDATE, DELETE ON `hooks`.* TO `w`@`%`"], (False, None)),
        (["GRANT SELECT ON `hooks`.* TO `w`@`%`", "GRANT ALL PRIVILEGES ON `other`.* TO `w`@`%`"], (False, False)),
        (["GRANT ALL PRIVILEGES ON `h%`.* TO `w`@`%` WITH GRANT OPTION"], (None, None)),
        (["GRANT CREATE, ALTER ON *.* TO `w`@`%`", r"GRANT SELECT ON `hook\_s`.* TO `w`@`%`"], (None, False)),
        (["GRANT SELECT ON `hooks`.* TO `w`@`%`", "GRANT `writers`@`%` TO `w`@`%`"], (None, None)),
    ],
)
def test_mysqls_grants_show_what_is_lacking(lines: list[str], rights: tuple[bool | None, bool | None]) -> None:
    assert mysql_rights(lines, "hooks") == rights


def test_a_user_who_may_only_read_is_told_before_the_first_start_and_after_it() -> None:
    for where in (MYSQL, POSTGRESQL):
        before = creation(where, False, made=False)
        after = creation(where, False, made=True, may_write=False)
        assert (before.level, after.level) == ("problem", "problem")
        assert "GRANT" in before.fix
        assert "INSERT, UPDATE, DELETE" in after.fix
        assert creation(where, False, made=True, may_write=True).level == "ok"
    assert "CREATE, ALTER" in creation(MYSQL, False, made=False).fix
