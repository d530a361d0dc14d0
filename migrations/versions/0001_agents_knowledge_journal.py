"""Agents and their numbers, knowledge, and the journal of calls and turns.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import Vector
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
phase = "expand"

_TIME = sa.DateTime(timezone=True)

_CONFIG = (
    "CASE split_part(language, '-', 1) WHEN 'en' THEN 'english'::regconfig"
    " WHEN 'hi' THEN 'hindi'::regconfig WHEN 'ta' THEN 'tamil'::regconfig"
    " ELSE 'simple'::regconfig END"
)
_TSV = (
    f"setweight(to_tsvector({_CONFIG}, heading), 'A') ||"
    f" setweight(to_tsvector({_CONFIG}, text), 'B')"
)


def upgrade() -> None:
    # A no-op where a superuser has made it already; the embedded server has.
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    _agents()
    _knowledge()
    _journal()


def _agents() -> None:
    op.create_table(
        "agents",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_agents"),
    )
    op.create_table(
        "agent_versions",
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("config", JSONB(), nullable=False),
        sa.Column("published_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("version > 0", name=op.f("ck_agent_versions_version_positive")),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], "fk_agent_versions_agent_id_agents", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("agent_id", "version", name="pk_agent_versions"),
    )
    op.create_table(
        "numbers",
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], "fk_numbers_agent_id_agents", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("did", name="pk_numbers"),
    )
    op.create_index("ix_numbers_agent_id", "numbers", ["agent_id"])


def _knowledge() -> None:
    op.create_table(
        "knowledge_bases",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_knowledge_bases"),
        sa.UniqueConstraint("name", name="uq_knowledge_bases_name"),
    )
    op.create_table(
        "passages",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("knowledge_base_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("heading", sa.Text(), server_default="", nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), server_default="en", nullable=False),
        sa.Column("embedding", Vector(384), nullable=True),
        sa.Column("tsv", TSVECTOR(), sa.Computed(_TSV, persisted=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["knowledge_base_id"],
            ["knowledge_bases.id"],
            "fk_passages_knowledge_base_id_knowledge_bases",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_passages"),
        sa.UniqueConstraint(
            "knowledge_base_id",
            "version",
            "document",
            "position",
            name="uq_passages_knowledge_base_id_version_document_position",
        ),
    )
    op.create_index("ix_passages_tsv", "passages", ["tsv"], postgresql_using="gin")
    op.create_index(
        "ix_passages_embedding",
        "passages",
        ["embedding"],
        postgresql_using="hnsw",
        postgresql_ops={"embedding": "vector_cosine_ops"},
    )


def _journal() -> None:
    op.create_table(
        "calls",
        sa.Column("call_id", sa.Text(), nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("agent_version", sa.Integer(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("cause", sa.Text(), server_default="", nullable=False),
        sa.Column("ended_by", sa.Text(), server_default="", nullable=False),
        sa.Column("turns", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("recording", sa.Text(), server_default="", nullable=False),
        sa.Column("late_frames", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("call_id", name="pk_calls"),
    )
    op.create_index("ix_calls_started_at", "calls", ["started_at"])
    op.create_index("ix_calls_agent_id_started_at", "calls", ["agent_id", "started_at"])
    op.create_table(
        "turns",
        sa.Column("call_id", sa.Text(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("heard", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("stages", JSONB(), nullable=False),
        sa.Column("gap_ms", sa.Integer(), nullable=True),
        sa.Column("passages", JSONB(), nullable=False),
        sa.Column("barged_in", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "kept_speculation", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column("failure", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("call_id", "index", name="pk_turns"),
    )
    op.create_index("ix_turns_at", "turns", ["at"])


def downgrade() -> None:
    # The extension stays: something else in this database may use it.
    for table in (
        "turns",
        "calls",
        "passages",
        "knowledge_bases",
        "numbers",
        "agent_versions",
        "agents",
    ):
        op.drop_table(table)
