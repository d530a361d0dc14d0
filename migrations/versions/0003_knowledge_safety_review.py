"""Documents and their revisions, passages by range of versions, rules, flags, golden questions,
redactions, erasures.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
phase = "both"

_TIME = sa.DateTime(timezone=True)
_MINILM = "all-minilm-l6-v2@53aa51172d14"
"""As ``models.minilm`` names itself."""


def _text(name: str, default: str | None = "") -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=default, nullable=False)


def _texts(name: str) -> sa.Column[list[str]]:
    return sa.Column(name, ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False)


def _json(name: str, default: str) -> sa.Column[object]:
    return sa.Column(name, JSONB(), server_default=sa.text(f"'{default}'"), nullable=False)


def _flag(name: str, default: str = "false") -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), server_default=sa.text(default), nullable=False)


def _now(name: str) -> sa.Column[object]:
    return sa.Column(name, _TIME, server_default=sa.func.now(), nullable=False)


def _id(table: str) -> tuple[sa.Column[int], sa.PrimaryKeyConstraint]:
    column = sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False)
    return column, sa.PrimaryKeyConstraint("id", name=f"pk_{table}")


def upgrade() -> None:
    _documents()
    _passages()
    _cached_answers()
    _review()
    _privacy()
    op.add_column("calls", _text("memory"))
    op.add_column("calls", _integer("remembered"))
    op.add_column("calls", _json("facts", "{}"))
    op.add_column("calls", _text("continues"))
    for name in ("moderated_at", "recording_erased_at", "transcript_erased_at"):
        op.add_column("calls", sa.Column(name, _TIME, nullable=True))
    op.create_index("ix_calls_caller_started_at", "calls", ["caller", "started_at"])
    op.create_index(
        "ix_calls_unmoderated",
        "calls",
        ["ended_at"],
        postgresql_where=sa.text("moderated_at IS NULL OR moderated_at < ended_at"),
    )


def _documents() -> None:
    op.add_column("knowledge_bases", _text("embedder"))
    for name in ("published_at", "dropped_at"):
        op.add_column("knowledge_bases", sa.Column(name, _TIME, nullable=True))
    # until now there was one embedding model, whose name stands nowhere
    op.execute(f"UPDATE knowledge_bases SET embedder = '{_MINILM}' WHERE version > 0")
    op.create_table(
        "knowledge_versions",
        sa.Column("knowledge_base_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        _text("embedder"),
        _now("published_at"),
        sa.Column("pruned_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["knowledge_base_id"],
            ["knowledge_bases.id"],
            "fk_knowledge_versions_knowledge_base_id_knowledge_bases",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("knowledge_base_id", "version", name="pk_knowledge_versions"),
    )
    op.execute(
        "INSERT INTO knowledge_versions (knowledge_base_id, version, embedder)"
        " SELECT id, generate_series(1, version), embedder FROM knowledge_bases"
    )
    op.create_table(
        "documents",
        *_id("documents"),
        sa.Column("knowledge_base_id", sa.BigInteger(), nullable=False),
        _text("name", None),
        *(_text("source"), _text("etag"), _text("modified")),
        sa.Column("asked_at", _TIME, nullable=True),
        _text("source_error"),
        _texts("tags"),
        _text("language"),
        _text("state", "waiting"),
        _text("error"),
        _integer("done"),
        _integer("total"),
        _integer("attempts"),
        sa.Column("taken_at", _TIME, nullable=True),
        sa.Column("next_at", _TIME, nullable=True),
        sa.Column("revision_id", sa.BigInteger(), nullable=True),
        _text("added_by"),
        _now("created_at"),
        _now("updated_at"),
        sa.ForeignKeyConstraint(
            ["knowledge_base_id"],
            ["knowledge_bases.id"],
            "fk_documents_knowledge_base_id_knowledge_bases",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint(
            "knowledge_base_id", "name", name="uq_documents_knowledge_base_id_name"
        ),
    )
    op.create_index("ix_documents_state", "documents", ["state"])
    op.create_table(
        "document_revisions",
        *_id("document_revisions"),
        sa.Column("document_id", sa.BigInteger(), nullable=False),
        _text("sha256", None),
        _text("media_type"),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("original", sa.LargeBinary(), nullable=False),
        _json("pages", "[]"),
        _text("language"),
        _texts("notes"),
        _now("created_at"),
        sa.ForeignKeyConstraint(
            ["document_id"],
            ["documents.id"],
            "fk_document_revisions_document_id_documents",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint(
            "document_id", "sha256", name="uq_document_revisions_document_id_sha256"
        ),
    )
    # originals are compressed formats mostly: no time is spent on compressing them again
    op.execute("ALTER TABLE document_revisions ALTER COLUMN original SET STORAGE EXTERNAL")


def _passages() -> None:
    """A row of a version becomes a row in force from that version until the next."""
    op.add_column("passages", sa.Column("revision_id", sa.BigInteger(), nullable=True))
    op.add_column("passages", sa.Column("until_version", sa.Integer(), nullable=True))
    op.add_column("passages", sa.Column("page", sa.Integer(), nullable=True))
    op.add_column("passages", _texts("tags"))
    op.add_column("passages", _flag("suspicious"))
    op.add_column("passages", sa.Column("terms", TSVECTOR(), nullable=True))
    op.execute("UPDATE passages SET terms = to_tsvector('simple', heading || ' ' || text)")
    op.execute(
        "UPDATE passages p SET until_version = p.version + 1 FROM knowledge_bases b"
        " WHERE b.id = p.knowledge_base_id AND p.version < b.version"
    )
    op.drop_index("ix_passages_tsv", "passages")
    op.drop_column("passages", "tsv")
    op.drop_constraint("uq_passages_knowledge_base_id_version_document_position", "passages")
    op.alter_column("passages", "version", new_column_name="since_version", nullable=True)
    op.alter_column("passages", "position", type_=sa.Double())
    op.create_foreign_key(
        "fk_passages_revision_id_document_revisions",
        "passages",
        "document_revisions",
        ["revision_id"],
        ["id"],
        ondelete="CASCADE",
    )
    op.create_index(
        "ix_passages_knowledge_base_id_since_version",
        "passages",
        ["knowledge_base_id", "since_version"],
    )
    op.create_index("ix_passages_revision_id", "passages", ["revision_id"])
    op.create_index("ix_passages_tags", "passages", ["tags"], postgresql_using="gin")
    op.create_index(
        "ix_passages_knowledge_base_id_language",
        "passages",
        ["knowledge_base_id", sa.text("split_part(language, '-', 1)")],
    )
    op.drop_index("ix_passages_embedding", "passages")  # each large base gets its own indexes


def _cached_answers() -> None:
    op.create_table(
        "cached_answers",
        _text("agent_id", None),
        sa.Column("agent_version", sa.Integer(), nullable=False),
        sa.Column("knowledge_version", sa.Integer(), nullable=False),
        _text("wording", None),
        _text("question", None),
        _text("answer", None),
        _text("source", None),
        _json("passages", "[]"),
        _integer("calls"),
        _flag("withdrawn"),
        _now("made_at"),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], "fk_cached_answers_agent_id_agents", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(
            "agent_id", "agent_version", "knowledge_version", "wording", name="pk_cached_answers"
        ),
    )


def _review() -> None:
    op.create_table(
        "guard_rules",
        *_id("guard_rules"),
        _text("agent_id"),
        _text("language"),
        _text("kind", None),
        _text("text", None),
        _text("side", "agent"),
        _text("category", "words"),
        _text("severity", "medium"),
        _text("action", "stop"),
        _flag("enabled", "true"),
        _text("note"),
        _text("created_by"),
        _now("updated_at"),
    )
    op.create_table(
        "flags",
        _text("id", None),
        sa.Column("at", _TIME, nullable=False),
        _text("call_id", None),
        sa.Column("turn", sa.Integer(), nullable=False),
        _text("agent_id", None),
        sa.Column("agent_version", sa.Integer(), nullable=False),
        _text("knowledge", None),
        sa.Column("knowledge_version", sa.Integer(), nullable=False),
        *(_text(name, None) for name in ("found_by", "side", "rule", "category", "severity")),
        *(_text(name, None) for name in ("action", "phrase", "question", "answer")),
        sa.Column("begin_ms", sa.Integer(), nullable=True),
        sa.Column("end_ms", sa.Integer(), nullable=True),
        _text("state", "open"),
        _text("decided_by"),
        sa.Column("decided_at", _TIME, nullable=True),
        _text("note"),
        sa.Column("retest", JSONB(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_flags"),
    )
    op.create_index("ix_flags_state_at", "flags", ["state", "at"])
    op.create_index("ix_flags_call_id", "flags", ["call_id"])
    op.create_table(
        "golden_questions",
        *_id("golden_questions"),
        _text("agent_id", None),
        _text("question", None),
        _text("expected"),
        _flag("enabled", "true"),
        _text("created_by"),
        _now("created_at"),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], "fk_golden_questions_agent_id_agents", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_golden_questions_agent_id", "golden_questions", ["agent_id"])
    op.create_table(
        "golden_answers",
        *_id("golden_answers"),
        sa.Column("question_id", sa.BigInteger(), nullable=False),
        _now("at"),
        sa.Column("agent_version", sa.Integer(), nullable=False),
        sa.Column("knowledge_version", sa.Integer(), nullable=False),
        _text("answer", None),
        _text("source", None),
        _json("passages", "[]"),
        _text("verdict", None),
        sa.Column("similarity", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["question_id"],
            ["golden_questions.id"],
            "fk_golden_answers_question_id_golden_questions",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_golden_answers_question_id_at", "golden_answers", ["question_id", "at"])


def _privacy() -> None:
    op.create_table(
        "redactions",
        _text("call_id", None),
        _text("side", None),
        _text("recording", None),
        sa.Column("begin_ms", sa.Integer(), nullable=False),
        sa.Column("end_ms", sa.Integer(), nullable=False),
        _text("kind", None),
        sa.Column("beeped_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("call_id", "side", "recording", "begin_ms", name="pk_redactions"),
    )
    op.create_table(
        "erasures",
        *_id("erasures"),
        _now("at"),
        _text("reason", None),
        _text("agent_id"),
        _text("what", None),
        sa.Column("older_than", _TIME, nullable=True),
        _integer("calls"),
        _integer("files"),
        _integer("rows"),
        _integer("left"),
        _text("asked_by"),
        _text("note"),
    )


_TSV = " || ".join(
    f"setweight(to_tsvector(CASE split_part(language, '-', 1) WHEN 'en' THEN 'english'::regconfig"
    f" WHEN 'hi' THEN 'hindi'::regconfig WHEN 'ta' THEN 'tamil'::regconfig"
    f" ELSE 'simple'::regconfig END, {column}), '{weight}')"
    for column, weight in (("heading", "A"), ("text", "B"))
)


def downgrade() -> None:
    """Versions older than the one in force are lost: they had no copy of what did not change."""
    op.drop_index("ix_calls_unmoderated", "calls")
    op.drop_index("ix_calls_caller_started_at", "calls")
    for name in (
        *("memory", "remembered", "facts", "continues"),
        *("moderated_at", "recording_erased_at", "transcript_erased_at"),
    ):
        op.drop_column("calls", name)
    for table in (
        *("erasures", "redactions", "golden_answers", "golden_questions"),
        *("flags", "guard_rules", "cached_answers"),
    ):
        op.drop_table(table)
    op.execute("DELETE FROM passages WHERE since_version IS NULL OR until_version IS NOT NULL")
    op.execute(
        "UPDATE passages p SET since_version = b.version FROM knowledge_bases b"
        " WHERE b.id = p.knowledge_base_id"
    )
    op.execute("""DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT indexname FROM pg_indexes
            WHERE tablename = 'passages' AND indexname ~ '^(hnsw|gin)_passages_'
        LOOP EXECUTE format('DROP INDEX %I', name); END LOOP; END $$""")
    op.create_index(
        "ix_passages_embedding",
        "passages",
        ["embedding"],
        postgresql_using="hnsw",
        postgresql_ops={"embedding": "vector_cosine_ops"},
    )
    for index in (
        *("ix_passages_tags", "ix_passages_knowledge_base_id_language", "ix_passages_revision_id"),
    ):
        op.drop_index(index, "passages")
    op.drop_index("ix_passages_knowledge_base_id_since_version", "passages")
    for name in ("revision_id", "until_version", "page", "tags", "suspicious", "terms"):
        op.drop_column("passages", name)
    op.alter_column("passages", "since_version", new_column_name="version", nullable=False)
    op.execute(
        "UPDATE passages p SET position = o.place - 1 FROM (SELECT id, row_number() OVER"
        " (PARTITION BY knowledge_base_id, document ORDER BY position, id) AS place FROM passages) o"
        " WHERE o.id = p.id"
    )
    op.alter_column("passages", "position", type_=sa.Integer())
    op.create_unique_constraint(
        "uq_passages_knowledge_base_id_version_document_position",
        "passages",
        ["knowledge_base_id", "version", "document", "position"],
    )
    op.add_column(
        "passages",
        sa.Column("tsv", TSVECTOR(), sa.Computed(_TSV, persisted=True), nullable=False),
    )
    op.create_index("ix_passages_tsv", "passages", ["tsv"], postgresql_using="gin")
    op.drop_table("document_revisions")
    op.drop_table("documents")
    op.drop_table("knowledge_versions")
    op.drop_column("knowledge_bases", "embedder")
    for name in ("published_at", "dropped_at"):
        op.drop_column("knowledge_bases", name)
