"""What a backup asks of the database: one moment held still, checksums of every table, and how a
restored one is proven before anybody can see it.

``pg_dump`` takes the rows (``ops/backup/dumping.py``); the text here is what only we know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, select, text

from appliance.errors import UserError
from appliance.store.access_models import AuditRow
from appliance.store.database import connected
from appliance.store.models import CallRow

OURS_FROM_THE_START = ("alembic_version", "tenants")
"""Tables that the migrations themselves put rows into."""
BATCH_ROWS = 5000
PLAIN_TEXT = (
    "SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, YMD';"
    " SET LOCAL intervalstyle = 'postgres';"
    " SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex';"
)
"""However the server is set, a row is the same text."""
_SUM = "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0)::text FROM public.{table} t"
"""Of a table, in no order: sorting 100 000 passages by nothing but chance would cost more."""
_TABLES = text(
    "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace"
    " AND c.relkind IN ('r', 'p') AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid"
    " AND d.deptype = 'e') ORDER BY 1"
)
_OTHERS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)
EMPTY = """
SET lock_timeout = '20s';
DO $ivr$ DECLARE one record; BEGIN
  FOR one IN SELECT c.oid::regclass AS name, c.relkind AS kind FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT
    EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') LOOP
    IF to_regclass(one.name::text) IS NOT NULL THEN
      EXECUTE CASE one.kind WHEN 'v' THEN 'DROP VIEW ' WHEN 'm' THEN 'DROP MATERIALIZED VIEW '
        ELSE 'DROP TABLE ' END || one.name || ' CASCADE';
    END IF;
  END LOOP;
  FOR one IN SELECT p.oid::regprocedure AS name FROM pg_proc p
    WHERE p.pronamespace = 'public'::regnamespace AND NOT
    EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') LOOP
    EXECUTE 'DROP ROUTINE ' || one.name || ' CASCADE';
  END LOOP;
  FOR one IN SELECT c.oid::regclass AS name FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'S' AND NOT
    EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') LOOP
    EXECUTE 'DROP SEQUENCE ' || one.name || ' CASCADE';
  END LOOP;
END $ivr$;
"""
"""Takes away what is there, extensions excepted; in the transaction that fills it again."""


@dataclass(frozen=True, slots=True)
class TableSum:
    """One table, as it was in the snapshot."""

    name: str
    rows: int
    sum: str
    """Sum of 64-bit hashes (``hashtextextended``) of all its rows as text, decimal."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The database as of one moment, held still while the block lasts."""

    snapshot: str
    """For ``pg_dump --snapshot``."""
    server_version: int
    """180004 for 18.4."""
    bytes: int
    """On the server's disk, indexes included."""
    revision: str
    """Of the migrations; empty: there are no tables."""
    audit_head: str
    """Hash of the audit log's last row; empty: it has none."""
    connection: Connection


@contextmanager
def held(url: str) -> Iterator[Moment]:
    """One snapshot of the database at ``url``. It blocks nobody who reads or writes.

    Raises UserError where the database does not answer.
    """
    with connected(url) as plain:
        connection = plain.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            connection.execute(text("SET TRANSACTION READ ONLY"))
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            yield _moment(connection)


def _moment(connection: Connection) -> Moment:
    snapshot = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
    version = connection.execute(text("SHOW server_version_num")).scalar_one()
    size = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
    tables = _tables(connection)
    revision = head = None
    if "alembic_version" in tables:
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if AuditRow.__tablename__ in tables:
        last = select(AuditRow.hash).order_by(AuditRow.id.desc()).limit(1)
        head = connection.execute(last).scalar()
    return Moment(snapshot, int(version), size, revision or "", head or "", connection)


def _tables(connection: Connection) -> list[str]:
    return list(connection.execute(_TABLES).scalars())


def table_sums(connection: Connection) -> tuple[TableSum, ...]:
    """Rows and checksum of every table that is ours, within the connection's transaction."""
    for statement in PLAIN_TEXT.split(";"):
        if statement.strip():
            connection.execute(text(statement))
    found = []
    for name in _tables(connection):
        rows, total = connection.execute(text(_SUM.format(table=_quoted(name)))).one()
        found.append(TableSum(name, rows, total))
    return tuple(found)


def call_ids(connection: Connection) -> Iterator[str]:
    """Of every call there is, in batches."""
    asked = connection.execution_options(yield_per=BATCH_ROWS)
    yield from asked.execute(select(CallRow.call_id)).scalars()


def is_filled(url: str) -> bool:
    """Whether somebody has put anything into the database at ``url``. Raises UserError."""
    with connected(url) as connection:
        return any(
            connection.execute(
                text(f"SELECT EXISTS (SELECT FROM public.{_quoted(name)})")
            ).scalar_one()
            for name in _tables(connection)
            if name not in OURS_FROM_THE_START
        )


def others_connected(url: str) -> int:
    """How many sessions beside this one the database at ``url`` has. Raises UserError."""
    with connected(url) as connection:
        return int(connection.execute(_OTHERS).scalar_one())


def before_loading() -> str:
    """What a client sends ahead of a dump: the transaction is ours, and nothing is left in the way."""
    return f"BEGIN;\n{EMPTY}"


def after_loading(sums: Sequence[TableSum]) -> str:
    """What it sends behind the dump: every table is what it was, or nothing has happened.

    Without this the transaction is never committed, so a dump that ends early leaves nothing.
    """
    checks = [PLAIN_TEXT, "SET LOCAL search_path = public, pg_catalog;"]
    checks += [_check(one) for one in sums]
    names = ", ".join(_literal(one.name) for one in sums) or "''"
    checks.append(
        "DO $ivr$ BEGIN IF EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace"
        f" AND c.relkind IN ('r', 'p') AND c.relname NOT IN ({names}) AND NOT EXISTS (SELECT FROM"
        " pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')) THEN RAISE EXCEPTION"
        " 'there is a table that the backup does not list'; END IF; END $ivr$;"
    )
    return "\n".join([*checks, "COMMIT;", "ANALYZE;", ""])


def _check(one: TableSum) -> str:
    table = _quoted(one.name)
    if not one.sum.lstrip("-").isdigit():
        raise UserError(f"The checksum of table {one.name} in this backup is none.")
    return (
        "DO $ivr$ DECLARE n bigint; s text; BEGIN "
        f"{_SUM.format(table=table).replace(' FROM', ' INTO n, s FROM', 1)};"
        f" IF n <> {int(one.rows)} OR s <> '{one.sum}' THEN RAISE EXCEPTION 'table % has % rows with"
        f" the checksum %, not {int(one.rows)} with {one.sum}', {_literal(one.name)}, n, s; END IF;"
        " END $ivr$;"
    )


def _quoted(name: str) -> str:
    """``name`` as an identifier. Raises UserError for one that no table of ours can have."""
    if not name.replace("_", "").isalnum() or not name.isascii():
        raise UserError(f"{name!r} is no name of a table of ours.")
    return f'"{name}"'


def _literal(text_: str) -> str:
    return "'" + text_.replace("'", "''") + "'"
