"""The tables of who may do what: tenants, users, their sessions and keys, and the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Text,
    func,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from appliance.store.base import Base

MAIN_TENANT = "main"
"""Whose agents and knowledge everything is that nobody gave to another; the migration makes it."""


class TenantRow(Base):
    """A customer of the operator: its people see its own agents, calls and knowledge, no others'."""

    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class UserRow(Base):
    """A person who logs in."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    login: Mapped[str] = mapped_column(unique=True)
    """What they type: lower case."""
    name: Mapped[str] = mapped_column(server_default="")
    tenant: Mapped[str | None] = mapped_column(ForeignKey("tenants.id"), index=True)
    """Null: the operator's own staff, who see every tenant."""
    role: Mapped[str]
    """operator, admin, reviewer or viewer (``access.roles``)."""
    password_hash: Mapped[str]
    """Argon2id in PHC form; empty: no password was set yet, so nobody can log in."""
    password_changed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    must_change: Mapped[bool] = mapped_column(Boolean, server_default=sql("false"))
    """The password came from somebody else."""
    totp_secret: Mapped[str] = mapped_column(server_default="")
    """Encrypted; empty: no second factor."""
    totp_step: Mapped[int] = mapped_column(BigInteger, server_default=sql("0"))
    """Time step of the last code that was taken: none is taken twice (RFC 6238 §5.2)."""
    recovery_hashes: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=sql("'{}'"))
    """SHA-256 of the recovery codes not yet used."""
    language: Mapped[str] = mapped_column(server_default="en")
    enabled: Mapped[bool] = mapped_column(Boolean, server_default=sql("true"))
    failed_logins: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    """In a row."""
    locked_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_login_at: Mapped[datetime | None]


class SessionRow(Base):
    """A person logged in with one browser."""

    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(primary_key=True)
    """SHA-256 of the cookie's token, in hex: who reads the table cannot log in with it."""
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    address: Mapped[str] = mapped_column(server_default="")
    browser: Mapped[str] = mapped_column(server_default="")
    """Its User-Agent header, cut."""


class ApiKeyRow(Base):
    """A key of another program: it may do what its scopes and its owner's role both allow."""

    __tablename__ = "api_keys"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    prefix: Mapped[str] = mapped_column(unique=True)
    """The part of the key that is shown and looked up."""
    key_hash: Mapped[str]
    """SHA-256 of the whole key, in hex; the key itself has 256 random bits."""
    name: Mapped[str]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class AuditRow(Base):
    """One change, or one listening: the log is append-only (a trigger refuses anything else) and each
    row carries the hash of the one before."""

    __tablename__ = "audit_log"
    __table_args__ = (Index("ix_audit_log_at", "at"),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """1, 2, 3, …, without a gap."""
    at: Mapped[datetime]
    actor: Mapped[str]
    """Login, or ``key NAME of LOGIN``, or ``command ACCOUNT`` for the command line."""
    tenant: Mapped[str | None]
    """Whose matter it is; null: the operator's."""
    address: Mapped[str]
    action: Mapped[str]
    """NOUN.VERB: agent.publish, call.listen, user.create, …"""
    subject: Mapped[str]
    """What it was done to: an id that a person can look up."""
    detail: Mapped[dict[str, Any]]
    """Never a secret, never a caller's words."""
    previous_hash: Mapped[str]
    hash: Mapped[str]
