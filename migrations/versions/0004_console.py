"""Tenants, users, sessions, keys, the audit log; drafts of agents; campaigns; webhooks.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
phase = "both"

_TIME = sa.DateTime(timezone=True)

_APPEND_ONLY = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END $$
"""
_FIRST_OF_EACH_NUMBER = """
DELETE FROM do_not_call d USING do_not_call o WHERE o.number = d.number AND o.tenant < d.tenant
"""
_TRIGGER = """
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
"""


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False)


def _text(name: str, default: str | None = "") -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=default, nullable=False)


def _texts(name: str, default: str | None = "'{}'") -> sa.Column[list[str]]:
    server_default = None if default is None else sa.text(default)
    return sa.Column(name, ARRAY(sa.Text()), server_default=server_default, nullable=False)


def _integer(name: str, default: int = 0) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), server_default=sa.text(str(default)), nullable=False)


def _flag(name: str, default: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), server_default=sa.text(default), nullable=False)


def _now(name: str) -> sa.Column[object]:
    return sa.Column(name, _TIME, server_default=sa.func.now(), nullable=False)


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, _TIME, nullable=True)


def _reference(table: str, column: str, to: str, **options: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_{column}_{to.partition('.')[0]}"
    return sa.ForeignKeyConstraint([column], [to], name=name, **options)


_GAPS = """
UPDATE calls SET gap_p50_ms = g.p50, gap_p95_ms = g.p95 FROM (
  SELECT call_id, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY gap_ms))::integer AS p50,
    round(percentile_cont(0.95) WITHIN GROUP (ORDER BY gap_ms))::integer AS p95
  FROM turns WHERE gap_ms IS NOT NULL GROUP BY call_id) g
WHERE calls.call_id = g.call_id AND calls.ended_at IS NOT NULL
"""


def upgrade() -> None:
    _access()
    _audit()
    _tenancy()
    _drafts()
    _campaigns()
    _webhooks()
    _journal()
    _do_not_call()
    _call_gaps()


def _journal() -> None:
    op.create_index("ix_calls_ended_at", "calls", ["ended_at"])
    op.add_column("calls", _text("transfer_reason"))
    op.drop_index("ix_turns_at", "turns")
    op.create_index(
        "ix_turns_at",
        "turns",
        ["at"],
        postgresql_include=["call_id", "source", "gap_ms", "barged_in"],
    )
    op.create_index("ix_turns_failed", "turns", ["at"], postgresql_where=sa.text("failure <> ''"))


def _access() -> None:
    op.create_table(
        "tenants",
        _text("id", None),
        _text("name", None),
        _now("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_tenants"),
    )
    op.execute("INSERT INTO tenants (id, name) VALUES ('main', 'Main')")
    op.create_table(
        "users",
        _id(),
        _text("login", None),
        _text("name"),
        sa.Column("tenant", sa.Text(), nullable=True),
        _text("role", None),
        _text("password_hash", None),
        _now("password_changed_at"),
        _flag("must_change", "false"),
        _text("totp_secret"),
        sa.Column("totp_step", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        _texts("recovery_hashes"),
        _text("language", "en"),
        _flag("enabled", "true"),
        _integer("failed_logins"),
        _time("locked_until"),
        _now("created_at"),
        _time("last_login_at"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("login", name="uq_users_login"),
        _reference("users", "tenant", "tenants.id"),
    )
    op.create_index("ix_users_tenant", "users", ["tenant"])
    op.create_table(
        "sessions",
        _text("id", None),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        _now("created_at"),
        _now("seen_at"),
        sa.Column("expires_at", _TIME, nullable=False),
        _time("ended_at"),
        _text("address"),
        _text("browser"),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        _reference("sessions", "user_id", "users.id", ondelete="CASCADE"),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_table(
        "api_keys",
        _id(),
        _text("prefix", None),
        _text("key_hash", None),
        _text("name", None),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        _texts("scopes", None),
        _now("created_at"),
        _time("expires_at"),
        _time("last_used_at"),
        _time("revoked_at"),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("prefix", name="uq_api_keys_prefix"),
        _reference("api_keys", "user_id", "users.id", ondelete="CASCADE"),
    )
    op.create_index("ix_api_keys_user_id", "api_keys", ["user_id"])


def _audit() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        _text("actor", None),
        sa.Column("tenant", sa.Text(), nullable=True),
        _text("address", None),
        _text("action", None),
        _text("subject", None),
        sa.Column("detail", JSONB(), nullable=False),
        _text("previous_hash", None),
        _text("hash", None),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
    )
    op.create_index("ix_audit_log_at", "audit_log", ["at"])
    op.execute(_APPEND_ONLY)
    op.execute(_TRIGGER)


def _tenancy() -> None:
    for table in ("agents", "knowledge_bases"):
        op.add_column(table, _text("tenant", "main"))
        op.create_foreign_key(f"fk_{table}_tenant_tenants", table, "tenants", ["tenant"], ["id"])
        op.create_index(f"ix_{table}_tenant", table, ["tenant"])


def _drafts() -> None:
    op.add_column("agent_versions", _text("published_by"))
    op.add_column("agent_versions", _text("note"))
    op.create_table(
        "agent_drafts",
        _text("agent_id", None),
        sa.Column("config", JSONB(), nullable=False),
        _integer("based_on"),
        _integer("revision", 1),
        _text("updated_by"),
        _now("updated_at"),
        sa.PrimaryKeyConstraint("agent_id", name="pk_agent_drafts"),
        _reference("agent_drafts", "agent_id", "agents.id", ondelete="CASCADE"),
    )


def _campaigns() -> None:
    op.create_table(
        "campaigns",
        _id(),
        _text("name", None),
        _text("agent_id", None),
        _text("state", "draft"),
        _text("why"),
        _text("hours"),
        _time("starts_at"),
        _time("ends_at"),
        _integer("most_at_once", 5),
        sa.Column("capacity_share", sa.Float(), server_default=sa.text("0.5"), nullable=False),
        _integer("max_attempts", 3),
        _integer("retry_after_s", 3600),
        _text("created_by"),
        _now("created_at"),
        _time("started_at"),
        _time("running_since"),
        _time("ended_at"),
        sa.PrimaryKeyConstraint("id", name="pk_campaigns"),
        _reference("campaigns", "agent_id", "agents.id", ondelete="CASCADE"),
    )
    op.create_index("ix_campaigns_agent_id", "campaigns", ["agent_id"])
    op.create_table(
        "campaign_contacts",
        _id(),
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        _text("number", None),
        _text("name"),
        sa.Column("fields", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        _text("state", "waiting"),
        _text("result"),
        _integer("attempts"),
        _text("outbound_id"),
        _text("call_id"),
        _now("next_at"),
        _time("called_at"),
        _now("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_campaign_contacts"),
        sa.UniqueConstraint(
            "campaign_id", "number", name="uq_campaign_contacts_campaign_id_number"
        ),
        _reference("campaign_contacts", "campaign_id", "campaigns.id", ondelete="CASCADE"),
    )
    op.create_index(
        "ix_campaign_contacts_due", "campaign_contacts", ["campaign_id", "state", "next_at", "id"]
    )
    op.create_index(
        "ix_campaign_contacts_campaign_id_called_at",
        "campaign_contacts",
        ["campaign_id", "called_at"],
    )
    op.create_index("ix_campaign_contacts_number", "campaign_contacts", ["number"])
    op.create_index(
        "ix_campaign_contacts_queued",
        "campaign_contacts",
        ["outbound_id"],
        postgresql_where=sa.text("state = 'queued'"),
    )


def _do_not_call() -> None:
    """A number may stand there once for each tenant: what one takes away, another still asked for."""
    op.add_column("do_not_call", _text("tenant"))
    op.drop_constraint("pk_do_not_call", "do_not_call")
    op.create_primary_key("pk_do_not_call", "do_not_call", ["number", "tenant"])


def _call_gaps() -> None:
    for column in ("gap_p50_ms", "gap_p95_ms"):
        op.add_column("calls", sa.Column(column, sa.Integer(), nullable=True))
    op.execute(_GAPS)


def _webhooks() -> None:
    op.create_table(
        "webhooks",
        _id(),
        sa.Column("tenant", sa.Text(), nullable=True),
        _text("name"),
        _text("url", None),
        _text("secret", None),
        _text("old_secret"),
        _time("old_secret_until"),
        _texts("events", None),
        _texts("include"),
        _flag("enabled", "true"),
        _text("why"),
        _now("told_since"),
        _text("created_by"),
        _now("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
        _reference("webhooks", "tenant", "tenants.id"),
    )
    op.create_index("ix_webhooks_tenant", "webhooks", ["tenant"])
    op.create_table(
        "webhook_deliveries",
        _id(),
        sa.Column("webhook_id", sa.BigInteger(), nullable=False),
        _text("event", None),
        _text("subject", None),
        sa.Column("payload", JSONB(), nullable=False),
        _text("state", "waiting"),
        _integer("attempts"),
        _now("next_at"),
        _integer("status"),
        _text("error"),
        _text("answer"),
        _integer("took_ms"),
        _now("created_at"),
        _time("tried_at"),
        _time("delivered_at"),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
        sa.UniqueConstraint(
            "webhook_id", "event", "subject", name="uq_webhook_deliveries_webhook_id_event_subject"
        ),
        _reference("webhook_deliveries", "webhook_id", "webhooks.id", ondelete="CASCADE"),
    )
    op.create_index(
        "ix_webhook_deliveries_state_next_at", "webhook_deliveries", ["state", "next_at"]
    )
    op.create_index(
        "ix_webhook_deliveries_webhook_id_state_id",
        "webhook_deliveries",
        ["webhook_id", "state", "id"],
    )


def downgrade() -> None:
    for column in ("gap_p50_ms", "gap_p95_ms"):
        op.drop_column("calls", column)
    op.execute(_FIRST_OF_EACH_NUMBER)
    op.drop_column("do_not_call", "tenant")
    op.create_primary_key("pk_do_not_call", "do_not_call", ["number"])
    op.drop_index("ix_turns_failed", "turns")
    op.drop_index("ix_turns_at", "turns")
    op.create_index("ix_turns_at", "turns", ["at"])
    op.drop_column("calls", "transfer_reason")
    op.drop_index("ix_calls_ended_at", "calls")
    op.drop_table("webhook_deliveries")
    op.drop_table("webhooks")
    op.drop_table("campaign_contacts")
    op.drop_table("campaigns")
    op.drop_table("agent_drafts")
    for column in ("published_by", "note"):
        op.drop_column("agent_versions", column)
    for table in ("agents", "knowledge_bases"):
        op.drop_column(table, "tenant")
    op.drop_table("audit_log")
    op.execute("DROP FUNCTION refuse_change()")
    for table in ("api_keys", "sessions", "users", "tenants"):
        op.drop_table(table)
