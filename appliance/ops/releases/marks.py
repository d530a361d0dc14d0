"""Holds migrations to their marks: what SQL a revision would run, and what of it contracts.

A revision marked ``expand`` runs while the old code answers calls, so it may create what is new and
add columns that are nullable or have a default; everything else is a contraction. Read from the SQL
that alembic writes for it, so that ``op.execute`` is seen as well as ``op.drop_column``.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory

_CREATED = re.compile(r"^CREATE TABLE (?:IF NOT EXISTS )?(\S+)", re.I)
_STATEMENTS = re.compile(r"\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'|;", re.S)
_HARMLESS = (
    re.compile(r"^CREATE (TABLE|INDEX|SEQUENCE|TYPE|VIEW|EXTENSION|SCHEMA|FUNCTION)\b", re.I),
    re.compile(r"^COMMENT ON\b", re.I),
    re.compile(r"^SELECT\b", re.I),
    re.compile(r"^INSERT INTO\b", re.I),
)
"""A unique index is none: code that does not know of it may write what it refuses."""
_ADDS_COLUMN = re.compile(r"^ALTER TABLE (\S+) ADD COLUMN ((?:IF NOT EXISTS )?.*)$", re.I | re.S)
_ON_TABLE = re.compile(
    r"^(?:ALTER TABLE(?: ONLY)?|CREATE UNIQUE INDEX.*? ON|CREATE TRIGGER.*? ON|UPDATE|DELETE FROM|"
    r"DROP TABLE) (\S+)",
    re.I | re.S,
)


def expansions(scripts: Path, revision: str) -> tuple[str, ...]:
    """The statements of ``revision`` that code of after may need: new tables and columns."""
    new = [
        s for s in _statements_of(scripts, revision) if _CREATED.match(s) or _ADDS_COLUMN.match(s)
    ]
    return tuple(" ".join(statement.split()) for statement in new)


def contractions(scripts: Path, revision: str) -> tuple[str, ...]:
    """The statements of ``revision`` (of the folder ``scripts``) that code of before may notice."""
    new: set[str] = set()
    found = []
    for statement in _statements_of(scripts, revision):
        if created := _CREATED.match(statement):
            new.add(created[1].strip('"'))
        elif _contracts(statement, new):
            found.append(" ".join(statement.split()))
    return tuple(found)


def _statements_of(scripts: Path, revision: str) -> list[str]:
    script = ScriptDirectory(str(scripts)).get_revision(revision)
    assert script is not None
    return statements(_sql(script))


def _sql(script: Script) -> str:
    """What ``upgrade`` would run, without a database."""
    out = io.StringIO()
    options = {"as_sql": True, "output_buffer": out, "literal_binds": True}
    context = MigrationContext.configure(dialect_name="postgresql", opts=options)
    with Operations.context(context):
        script.module.upgrade()
    return out.getvalue()


def statements(sql: str) -> list[str]:
    """``sql`` cut at its semicolons, but for those in strings and bodies of functions."""
    cut, begin = [], 0
    for match in _STATEMENTS.finditer(sql):
        if match[0] == ";":
            cut.append(sql[begin : match.start()])
            begin = match.end()
    cut.append(sql[begin:])
    plain = (re.sub(r"^\s*--.*$", "", part, flags=re.M).strip() for part in cut)
    return [part for part in plain if part]


def _contracts(statement: str, new: set[str]) -> bool:
    """Whether old code may notice it; what touches only tables of this revision it cannot."""
    if (on := _ON_TABLE.match(statement)) and on[1].strip('"') in new:
        return False
    if added := _ADDS_COLUMN.match(statement):
        words = added[2].upper()
        tight = "NOT NULL" in words and "DEFAULT" not in words and "IDENTITY" not in words
        return tight or any(word in words for word in ("UNIQUE", "CHECK (", "REFERENCES"))
    return not any(pattern.match(statement) for pattern in _HARMLESS)
