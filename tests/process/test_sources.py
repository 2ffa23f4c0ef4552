"""WEBHOOK_SOURCE: which store the settings give, and what is said when its driver is missing."""

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import get_args

import pytest

from worker.domain.webhook import Webhook
from worker.process import sources
from worker.process.sources import KINDS, source_kind, webhook_source
from worker.settings.settings import Settings
from worker.stores.file.store import FileStore
from worker.webhooks.store import StoreReadOnly, StoreUnavailable

POSTGRESQL = "postgresql://u:hunter2@db.example/evolution"


def settings(**values: object) -> Settings:
    return Settings.model_validate(values)


async def test_our_own_table_is_written_and_nobody_watches_it(tmp_path: Path) -> None:
    source = webhook_source(settings(database_connection_uri=f"sqlite:///{tmp_path}/w.db"))
    await source.prepare()
    assert (source.watched, source.token_owner, source.at_start) == (None, None, None)
    assert source.writable is source.store
    assert (await source.store.put(Webhook("acme", "https://h/"))).created
    await source.store.close()


async def test_a_file_is_watched_read_first_and_never_written(tmp_path: Path) -> None:
    source = webhook_source(settings(webhook_source="file", webhook_file=str(tmp_path / "none.toml")))
    assert isinstance(source.watched, FileStore)
    assert source.writable is None
    assert source.at_start is not None
    with pytest.raises(StoreUnavailable, match=r"WEBHOOK_FILE .*none.toml"):
        await source.at_start()
    with pytest.raises(StoreReadOnly, match="WEBHOOK_SOURCE=file"):
        await source.store.put(Webhook("acme", "https://h/"))


async def test_evolutions_tables_are_watched_and_never_written_and_know_tokens() -> None:
    source = webhook_source(settings(webhook_source="evolution", database_connection_uri=POSTGRESQL))
    assert source.watched is not None
    assert source.writable is None
    assert source.token_owner is not None
    with pytest.raises(StoreReadOnly, match="WEBHOOK_SOURCE=evolution: use Evolution's own POST /webhook/set"):
        await source.store.delete("acme", None)
    await source.store.close()


@pytest.mark.parametrize("kind", ["own", "evolution"])
@pytest.mark.parametrize(
    ("uri", "driver", "extra"), [(POSTGRESQL, "psycopg", "postgresql"), ("mysql://u@h/d", "pymysql", "mysql")]
)
def test_a_missing_driver_is_named_with_the_remedy(
    kind: str, uri: str, driver: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(name: str) -> ModuleSpec | None:
        return None if name == driver else importlib.util.find_spec(name)

    monkeypatch.setattr(sources, "find_spec", find)
    with pytest.raises(StoreUnavailable, match=f"driver {driver} is not installed: .*{extra}") as caught:
        webhook_source(settings(webhook_source=kind, database_connection_uri=uri))
    assert "hunter2" not in str(caught.value)


def test_every_choice_of_the_setting_has_a_kind() -> None:
    (choices, *_) = get_args(Settings.model_fields["webhook_source"].rebuild_annotation())
    assert set(get_args(choices)) == set(KINDS)
    assert all(kind.name == name for name, kind in KINDS.items())


def test_a_kind_answers_although_the_driver_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "find_spec", lambda _: None)
    evolution = settings(webhook_source="evolution", database_connection_uri=POSTGRESQL)
    kind = source_kind(evolution)
    assert (kind.own_table, kind.in_database, kind.lists_every_instance) == (False, True, True)
    where = kind.database(evolution)
    assert where is not None
    assert where.dialect == "postgresql"
    assert source_kind(settings()).own_table
    assert source_kind(settings(webhook_source="file", webhook_file="x.toml")).database(evolution) is None
