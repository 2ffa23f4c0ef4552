"""DATABASE_CONNECTION_URI as people write it."""

from pathlib import Path

import pytest

from worker.stores.database import parse


@pytest.mark.parametrize(
    ("uri", "path"),
    [("sqlite:///webhooks.db", "webhooks.db"), ("sqlite:////var/lib/w.db", "/var/lib/w.db"),
     ("sqlite:///a%20b.db", "a b.db")],
)  # fmt: skip
def test_sqlite_names_a_file(uri: str, path: str) -> None:
    assert parse(uri).path == Path(path)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "mysql", "mariadb", "PostgreSQL"])
def test_credentials_and_query_are_never_shown(scheme: str) -> None:
    found = parse(f"{scheme}://user:p%40ss@db.example:5433/evolution?schema=evolution_api&connection_limit=5")
    assert found.shown == f"{scheme}://db.example:5433/evolution"
    assert found.schema == "evolution_api"
    assert "p%40ss" not in repr(found)
    assert "p%40ss" not in str(found.unavailable("is down"))


@pytest.mark.parametrize(
    "uri",
    ["", "webhooks.db", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://host/x.db", "oracle://h/x",
     "postgresql://secret@/x", "postgresql://u:secret@host", "mysql://u:se[cret@h/x", "mysql://u:secret@h:port/x"],
)  # fmt: skip
def test_what_names_no_database_is_refused_without_showing_it(uri: str) -> None:
    with pytest.raises(ValueError, match=r"must|malformed") as caught:
        parse(uri)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("uri", ["mysql://u:secret@h/x?sslidentity=strict", "postgresql://u@h/x?password=secret"])
def test_an_option_that_nothing_would_heed_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=r"unknown option '(sslidentity|password)': allowed are .*schema") as caught:
        parse(uri)
    assert "secret" not in str(caught.value)
