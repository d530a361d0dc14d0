"""Trunks, extensions, queues, calls to be made, and one row for every leg of a call.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
phase = "expand"

_TIME = sa.DateTime(timezone=True)
_NUMBER_TEXTS = ("hours", "closed_text", "closed_to", "overflow_to")
_CALL_TEXTS = ("transferred_to", "summary", "answered_by")


def upgrade() -> None:
    for name in _NUMBER_TEXTS:
        op.add_column("numbers", sa.Column(name, sa.Text(), server_default="", nullable=False))
    for name in _CALL_TEXTS:
        op.add_column("calls", sa.Column(name, sa.Text(), server_default="", nullable=False))
    op.add_column(
        "calls", sa.Column("part", sa.Integer(), server_default=sa.text("1"), nullable=False)
    )
    op.add_column("calls", sa.Column("direction", sa.Text(), server_default="in", nullable=False))
    _tables()


def _tables() -> None:
    op.create_table(
        "trunks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("carrier", sa.Text(), server_default="", nullable=False),
        sa.Column("priority", sa.Integer(), server_default=sa.text("10"), nullable=False),
        sa.Column("proxy", sa.Text(), nullable=False),
        sa.Column("transport", sa.Text(), server_default="udp", nullable=False),
        sa.Column("register", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("username", sa.Text(), server_default="", nullable=False),
        sa.Column("password", sa.Text(), server_default="", nullable=False),
        sa.Column("realm", sa.Text(), server_default="", nullable=False),
        sa.Column("addresses", ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("codecs", ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("srtp", sa.Text(), server_default="optional", nullable=False),
        sa.Column("number_format", sa.Text(), server_default="e164", nullable=False),
        sa.Column("caller_id", sa.Text(), server_default="", nullable=False),
        sa.Column("caller_id_rule", sa.Text(), server_default="own", nullable=False),
        sa.Column("max_calls", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("ping_s", sa.Integer(), server_default=sa.text("30"), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_trunks"),
    )
    op.create_table(
        "extensions",
        sa.Column("extension", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("a1_hash", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.PrimaryKeyConstraint("extension", name="pk_extensions"),
    )
    op.create_table(
        "queues",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("members", ARRAY(sa.Text()), nullable=False),
        sa.Column("strategy", sa.Text(), server_default="all", nullable=False),
        sa.Column("ring_s", sa.Integer(), server_default=sa.text("20"), nullable=False),
        sa.Column("max_wait_s", sa.Integer(), server_default=sa.text("120"), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_queues"),
    )
    op.create_table(
        "do_not_call",
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("added_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_do_not_call"),
    )
    op.create_table(
        "outbound_calls",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("max_attempts", sa.Integer(), server_default=sa.text("3"), nullable=False),
        sa.Column("retry_after_s", sa.Integer(), server_default=sa.text("900"), nullable=False),
        sa.Column("hours", sa.Text(), server_default="", nullable=False),
        sa.Column("next_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.Column("result", sa.Text(), server_default="", nullable=False),
        sa.Column("call_id", sa.Text(), server_default="", nullable=False),
        sa.Column("trunk", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], "fk_outbound_calls_agent_id_agents", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_outbound_calls"),
    )
    op.create_index("ix_outbound_calls_state_next_at", "outbound_calls", ["state", "next_at"])
    op.create_table(
        "legs",
        sa.Column("leg_id", sa.Text(), nullable=False),
        sa.Column("call_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("trunk", sa.Text(), server_default="", nullable=False),
        sa.Column("caller", sa.Text(), server_default="", nullable=False),
        sa.Column("callee", sa.Text(), server_default="", nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("answered_at", _TIME, nullable=True),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("cause", sa.Text(), server_default="", nullable=False),
        sa.Column("cause_code", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("sip_status", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("ended_by", sa.Text(), server_default="", nullable=False),
        sa.Column("codec", sa.Text(), server_default="", nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("leg_id", name="pk_legs"),
    )
    op.create_index("ix_legs_call_id", "legs", ["call_id"])
    op.create_index("ix_legs_started_at", "legs", ["started_at"])


def downgrade() -> None:
    for table in ("legs", "outbound_calls", "do_not_call", "queues", "extensions", "trunks"):
        op.drop_table(table)
    for name in (*_CALL_TEXTS, "part", "direction"):
        op.drop_column("calls", name)
    for name in _NUMBER_TEXTS:
        op.drop_column("numbers", name)
