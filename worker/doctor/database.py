"""The store: whether it answers, and whether its user may do what the worker needs; else the grants to make."""

from collections.abc import Sequence

from worker.doctor.finding import Finding, many, some
from worker.domain.webhook import Endpoint
from worker.process.sources import SourceKind
from worker.stores.database import Database
from worker.webhooks.store import RightsLacking, StoreUnavailable

NAME = "webhook store"
RIGHTS = "database rights"
TOKENS = "instance tokens"
OWN_TABLES = ("webhooks", "webhook_revisions", "webhook_schema")
EVOLUTION_TABLES = ("Instance", "Webhook")
MYSQL_HOST = " -- '%' may be another host: SELECT user, host FROM mysql.user"


def store(error: StoreUnavailable | None, kind: SourceKind, database: Database | None) -> Finding:
    """`database` None: the webhooks are in a file."""
    if error is None:
        return Finding("ok", NAME, f"WEBHOOK_SOURCE={kind.name}")
    if isinstance(error, RightsLacking) and database is not None:
        return Finding("problem", RIGHTS, str(error), grants(database, own=kind.own_table))
    return Finding("problem", NAME, str(error), "mend it, then: webhook-worker check")


def tokens(database: Database, error: StoreUnavailable | None) -> Finding:
    """Of INSTANCE_TOKENS_URI."""
    if error is None:
        return Finding("ok", TOKENS, f"{database.shown}: instances' own tokens open API and console for them")
    lacks = isinstance(error, RightsLacking)
    fix = (
        grants(database, own=False) if lacks else "until then owners cannot log in; mend it, then: webhook-worker check"
    )
    return Finding("problem", TOKENS, str(error), fix)


def unreadable(problems: Sequence[str]) -> Finding:
    """Rows that are no webhook, so that their instances' events wait."""
    what = f"{many(len(problems), 'row')} that cannot be read: {some(problems)}"
    return Finding("problem", NAME, what, "set the webhook again, where it is kept", tuple(problems))


def unused(entries: Sequence[Endpoint]) -> Finding:
    """Of EVOLUTION_WEBHOOK_FILE: a name that was mistyped, or a webhook that Evolution does not have (yet), or has in a
    row that cannot be read, or without the mark that gives it to the worker."""
    names = [f"{entry.instance}/{entry.webhook_id}" for entry in entries]
    how_many = many(len(names), "entry", "entries")
    what = f"{how_many} of EVOLUTION_WEBHOOK_FILE without a webhook that is read from Evolution"
    fix = "correct the name, set, mark or mend the webhook in Evolution, or delete the entry"
    return Finding("advice", NAME, f"{what}: {some(names)}", fix, tuple(names))


def creation(database: Database, may_create: bool | None, *, made: bool, may_write: bool | None = None) -> Finding:
    """Of the worker's own tables; `made`: they are there and up to date. None: only a try would tell."""
    lacks = f"{database.shown}: its user may not"
    if made or may_write is False:
        if may_write is False:
            return Finding("problem", RIGHTS, f"{lacks} read and write the worker's tables", grants(database, own=True))
        return Finding("ok", RIGHTS, "enough for the tables that exist")
    if may_create is None:
        return Finding("ok", RIGHTS, "no right is seen to lack; the tables are made at the first start or by migrate")
    if may_create:
        return Finding("ok", RIGHTS, "the tables are made at the first start, or by webhook-worker migrate")
    if database.dialect == "mysql":
        return Finding("problem", RIGHTS, f"{lacks} create the worker's tables", grants(database, own=True))
    schema = _quoted(database, database.schema or "public")
    fix = f"GRANT CREATE, USAGE ON SCHEMA {schema} TO {_user(database)}; or migrate as a user who may"
    return Finding("problem", RIGHTS, f"{lacks} create the worker's tables", fix)


def grants(database: Database, *, own: bool) -> str:
    """The statements to run as the database's administrator."""
    rights = "SELECT, INSERT, UPDATE, DELETE" if own else "SELECT"
    tables = OWN_TABLES if own else EVOLUTION_TABLES
    if database.dialect == "mysql":
        name, user = _quoted(database, database.name), _user(database)
        on = [f"{name}.{_quoted(database, one)}" for one in tables]
        if own:  # MySQL has no owners: the user that migrates needs these too
            rights, on = f"{rights}, CREATE, ALTER", [f"{name}.*"]
        return " ".join(f"GRANT {rights} ON {one} TO {user};" for one in on) + MYSQL_HOST
    schema = _quoted(database, database.schema or "public")
    named = ", ".join(f"{schema}.{_quoted(database, one)}" for one in tables)
    user = _user(database)
    return f"GRANT USAGE ON SCHEMA {schema} TO {user}; GRANT {rights} ON {named} TO {user};"


def _quoted(database: Database, name: str) -> str:
    mark = "`" if database.dialect == "mysql" else '"'
    return mark + name.replace(mark, mark * 2) + mark


def _user(database: Database) -> str:
    user = database.address.user or ""
    if database.dialect == "mysql":
        return "'" + user.replace("'", "''") + "'@'%'"
    return _quoted(database, user)
