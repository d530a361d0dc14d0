"""The tables of what goes out by itself: campaigns of calls, and webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from appliance.store.base import Base


class CampaignRow(Base):
    """A list of people that one agent rings. Each call is a row of ``outbound_calls``, put there when
    there is room for it."""

    __tablename__ = "campaigns"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str]
    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"), index=True)
    """Its tenant is the agent's."""
    state: Mapped[str] = mapped_column(server_default="draft")
    """draft, running, paused, done or cancelled."""
    why: Mapped[str] = mapped_column(server_default="")
    """Why it was paused or does not ring now, in one sentence."""
    hours: Mapped[str] = mapped_column(server_default="")
    """When it rings, as ``telephony.hours`` reads it; empty: ``switch.calling_hours``."""
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    most_at_once: Mapped[int] = mapped_column(Integer, server_default=sql("5"))
    """Calls at once, whatever room there is."""
    capacity_share: Mapped[float] = mapped_column(Float, server_default=sql("0.5"))
    """Of the calls that the workers could take now, so many it may use: the rest is for callers."""
    max_attempts: Mapped[int] = mapped_column(Integer, server_default=sql("3"))
    retry_after_s: Mapped[int] = mapped_column(Integer, server_default=sql("3600"))
    created_by: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    running_since: Mapped[datetime | None]
    """When it was last started: the circuit breaker looks at calls since then."""
    ended_at: Mapped[datetime | None]


class ContactRow(Base):
    """One person of a campaign."""

    __tablename__ = "campaign_contacts"
    __table_args__ = (
        UniqueConstraint("campaign_id", "number"),
        Index("ix_campaign_contacts_due", "campaign_id", "state", "next_at", "id"),
        Index("ix_campaign_contacts_campaign_id_called_at", "campaign_id", "called_at"),
        Index("ix_campaign_contacts_number", "number"),
        Index(
            "ix_campaign_contacts_queued", "outbound_id", postgresql_where=sql("state = 'queued'")
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"))
    number: Mapped[str]
    """E.164."""
    name: Mapped[str] = mapped_column(server_default="")
    fields: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
    """The other columns of the list."""
    state: Mapped[str] = mapped_column(server_default="waiting")
    """waiting, queued (a row of outbound_calls rings them), reached, failed, refused or cancelled."""
    result: Mapped[str] = mapped_column(server_default="")
    """human, machine, uncertain, or why nobody answered."""
    attempts: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    outbound_id: Mapped[str] = mapped_column(server_default="")
    call_id: Mapped[str] = mapped_column(server_default="")
    next_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """Of one that waits: not rung before."""
    called_at: Mapped[datetime | None]
    """When the last call to them was over."""
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WebhookRow(Base):
    """A URL that is told what happens."""

    __tablename__ = "webhooks"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    tenant: Mapped[str | None] = mapped_column(ForeignKey("tenants.id"), index=True)
    """Null: told of every tenant."""
    name: Mapped[str] = mapped_column(server_default="")
    url: Mapped[str]
    secret: Mapped[str]
    """What its deliveries are signed with; encrypted."""
    old_secret: Mapped[str] = mapped_column(server_default="")
    """The one before, with which they are signed too until ``old_secret_until``; encrypted."""
    old_secret_until: Mapped[datetime | None]
    events: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """call.ended, call.flagged, call.transferred."""
    include: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=sql("'{}'"))
    """What it is told beside ids, times and figures: caller (their number), transcript."""
    enabled: Mapped[bool] = mapped_column(Boolean, server_default=sql("true"))
    why: Mapped[str] = mapped_column(server_default="")
    """Why it was switched off by itself, in one sentence."""
    told_since: Mapped[datetime] = mapped_column(server_default=func.now())
    """What happened before is not told: it was not there, was off, or wanted other events."""
    created_by: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class DeliveryRow(Base):
    """One event for one webhook: the row is the queue."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("webhook_id", "event", "subject"),
        Index("ix_webhook_deliveries_state_next_at", "state", "next_at"),
        Index("ix_webhook_deliveries_webhook_id_state_id", "webhook_id", "state", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event: Mapped[str]
    subject: Mapped[str]
    """Id of the call or flag: told twice, it is one delivery."""
    payload: Mapped[dict[str, Any]]
    """Without any caller's number or words: those are read from the journal as it is sent, so that
    whoever is erased there is erased."""
    state: Mapped[str] = mapped_column(server_default="waiting")
    """waiting, delivered or dead."""
    attempts: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    next_at: Mapped[datetime] = mapped_column(server_default=func.now())
    status: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    """Of the last answer; 0: there was none."""
    error: Mapped[str] = mapped_column(server_default="")
    answer: Mapped[str] = mapped_column(server_default="")
    """The beginning of the last answer's body."""
    took_ms: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    tried_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
