"""Each migration is what its mark says: an expanding one is safe under the code of before."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import UserError
from appliance.ops.releases.marks import contractions, expansions, statements
from appliance.store.database import MIGRATIONS
from appliance.store.schema import Phase, Revision, before_switch, pending, revisions

KNOWN = revisions()
BEFORE_MARKS = ("0003", "0004")
TEMPLATE = '''"""It."""
import sqlalchemy as sa
from alembic import op
revision = "r1"
down_revision = None
def upgrade():
    {body}
'''


@pytest.mark.parametrize("revision", KNOWN, ids=lambda revision: revision.id)
def test_a_migration_is_what_its_mark_says(revision: Revision) -> None:
    taken, added = contractions(MIGRATIONS, revision.id), expansions(MIGRATIONS, revision.id)
    if revision.phase is Phase.EXPAND:
        assert taken == ()
    elif revision.phase is Phase.CONTRACT:
        assert taken and added == (), (
            "what new code needs goes into a revision of its own, before it"
        )
    else:
        assert revision.id in BEFORE_MARKS and taken and added


@pytest.mark.parametrize(
    "body",
    [
        "op.drop_column('calls', 'note')",
        "op.drop_table('calls')",
        "op.drop_index('ix_calls', 'calls')",
        "op.rename_table('calls', 'talks')",
        "op.alter_column('calls', 'note', new_column_name='notes')",
        "op.alter_column('calls', 'note', nullable=False)",
        "op.alter_column('calls', 'note', type_=sa.Integer())",
        "op.add_column('calls', sa.Column('note', sa.Text(), nullable=False))",
        "op.add_column('calls', sa.Column('n', sa.Text(), sa.CheckConstraint('n > 0')))",
        "op.create_unique_constraint('uq', 'calls', ['note'])",
        "op.create_index('ux', 'calls', ['note'], unique=True)",
        "op.create_check_constraint('ck', 'calls', 'length(note) < 5')",
        "op.create_foreign_key('fk', 'calls', 'agents', ['a'], ['id'])",
        "op.execute('DELETE FROM calls')",
        "op.execute('UPDATE calls SET note = 1')",
        "op.execute('TRUNCATE calls')",
        "op.execute('ALTER TABLE calls ALTER note SET NOT NULL')",
        "op.execute('CREATE INDEX i ON calls (a); DROP INDEX j')",
        "op.execute('CREATE TRIGGER t BEFORE INSERT ON calls EXECUTE FUNCTION f()')",
        "op.execute('REVOKE ALL ON calls FROM ivr')",
        "op.execute('CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$')",
    ],
)
def test_what_contracts_is_found(body: str, tmp_path: Path) -> None:
    assert contractions(_folder(tmp_path, body), "r1")


@pytest.mark.parametrize(
    "body",
    [
        "op.add_column('calls', sa.Column('note', sa.Text(), nullable=True))",
        "op.add_column('calls', sa.Column('n', sa.Text(), server_default='', nullable=False))",
        "op.create_table('t', sa.Column('id', sa.Integer(), primary_key=True))",
        "op.create_index('i', 'calls', ['note'])",
        "op.execute('CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; SELECT 2 $$')",
        "op.create_table('t', sa.Column('a', sa.Text())); op.create_index('i', 't', ['a'], unique=1)",
    ],
)
def test_what_expands_is_let_through(body: str, tmp_path: Path) -> None:
    assert contractions(_folder(tmp_path, body), "r1") == ()


def test_statements_end_outside_of_strings() -> None:
    assert statements("a ';' b; $x$ c; $x$ d;\n-- e\n") == ["a ';' b", "$x$ c; $x$ d"]


def _folder(tmp_path: Path, body: str) -> Path:
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").touch()
    (tmp_path / "versions" / "r1_it.py").write_text(TEMPLATE.format(body=body))
    return tmp_path


# --- what may be applied when ---------------------------------------------------------------------


def chain(text: str) -> list[Revision]:
    """``e`` and ``c`` in order, called 1, 2, 3 …"""
    phases = {"e": Phase.EXPAND, "c": Phase.CONTRACT, "b": Phase.BOTH}
    return [Revision(str(i), phases[kind], "") for i, kind in enumerate(text, 1)]


@pytest.mark.parametrize(
    ("known", "at", "old_head", "target"),
    [
        ("ee", "2", "2", ""),
        ("eee", "1", "1", "3"),
        ("eec", "1", "1", "2"),
        ("eecc", "2", "2", ""),
        ("ecee", "1", "2", "4"),  # 2 came with the old release and was left
        ("ebbe", "3", "3", "4"),
        ("ec", "", "", "2"),  # a new database takes everything
    ],
)
def test_the_target_before_the_switch(known: str, at: str, old_head: str, target: str) -> None:
    assert before_switch(chain(known), at, old_head) == target


def test_an_expansion_behind_a_new_contraction_takes_two_upgrades() -> None:
    with pytest.raises(UserError, match="two steps"):
        before_switch(chain("ece"), "1", "1")


def test_what_does_both_wants_the_appliance_to_stand_still() -> None:
    with pytest.raises(UserError, match="Stop it"):
        before_switch(chain("eb"), "1", "1")


def test_a_database_of_a_newer_release_is_refused() -> None:
    with pytest.raises(UserError, match="newer"):
        pending(chain("ee"), "9")
    with pytest.raises(UserError, match="no later version"):
        before_switch(chain("ee"), "2", "9")
