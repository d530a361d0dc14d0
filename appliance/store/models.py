"""The tables of agents, telephony and journal, as SQLAlchemy sees them; others stand in
``knowledge_models``, ``review_models``, ``access_models`` and ``outreach_models``. ``migrations/``
builds exactly these.

Agents are versioned: a call keeps the version it was answered with. Calls and turns are the
journal: they carry no foreign keys, because they are written behind the call and one bad or late
row must never keep another one out.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from appliance.store.access_models import MAIN_TENANT
from appliance.store.base import Base

ANY_DID = "*"
"""The number that stands for every number without an agent of its own."""


class AgentRow(Base):
    """Who may answer; what it says and knows stands in its versions."""

    __tablename__ = "agents"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    tenant: Mapped[str] = mapped_column(
        ForeignKey("tenants.id"), server_default=MAIN_TENANT, index=True
    )
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AgentVersionRow(Base):
    """One published version of an agent: ``config`` holds the fields of ``events.Agent``."""

    __tablename__ = "agent_versions"
    __table_args__ = (CheckConstraint("version > 0", name="version_positive"),)

    agent_id: Mapped[str] = mapped_column(
        ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    config: Mapped[dict[str, Any]]
    published_at: Mapped[datetime] = mapped_column(server_default=func.now())
    published_by: Mapped[str] = mapped_column(server_default="")
    note: Mapped[str] = mapped_column(server_default="")
    """What was changed, as its author says it."""


class AgentDraftRow(Base):
    """What an agent shall become: tried and changed until somebody publishes it. With an empty
    ``config`` there is none now: the row tells who ended the last one."""

    __tablename__ = "agent_drafts"

    agent_id: Mapped[str] = mapped_column(
        ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True
    )
    config: Mapped[dict[str, Any]]
    based_on: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """The version that it was begun from; 0: from none. Of one that ended: the version that it
    became; 0: it was discarded."""
    revision: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    """Counts its changes: who saves says which one they saw, so that no two overwrite each other."""
    updated_by: Mapped[str] = mapped_column(server_default="")
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class NumberRow(Base):
    """Which agent answers a dialled number; ``*`` for every number not listed."""

    __tablename__ = "numbers"

    did: Mapped[str] = mapped_column(primary_key=True)
    """E.164 with its plus, a short number as dialled, or ``*``."""
    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"), index=True)
    hours: Mapped[str] = mapped_column(server_default="")
    """When the agent answers, as ``telephony.hours`` reads it; empty: always."""
    closed_text: Mapped[str] = mapped_column(server_default="")
    """Said outside those hours."""
    closed_to: Mapped[str] = mapped_column(server_default="")
    """Who takes the call then; empty: it ends after ``closed_text``."""
    overflow_to: Mapped[str] = mapped_column(server_default="")
    """Who takes the call when no worker can."""


class TrunkRow(Base):
    """A SIP trunk: one gateway of a carrier. Several of one ``carrier`` stand in for each other."""

    __tablename__ = "trunks"

    name: Mapped[str] = mapped_column(primary_key=True)
    carrier: Mapped[str] = mapped_column(server_default="")
    priority: Mapped[int] = mapped_column(Integer, server_default=text("10"))
    """Lower goes first for calls we make."""
    proxy: Mapped[str]
    """host or host:port."""
    transport: Mapped[str] = mapped_column(server_default="udp")
    register: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    username: Mapped[str] = mapped_column(server_default="")
    password: Mapped[str] = mapped_column(server_default="")
    realm: Mapped[str] = mapped_column(server_default="")
    addresses: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    """Networks (CIDR) its calls come from; empty: the addresses of ``proxy``."""
    codecs: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    srtp: Mapped[str] = mapped_column(server_default="optional")
    """off, optional or required."""
    number_format: Mapped[str] = mapped_column(server_default="e164")
    """How it wants called numbers: e164 (+91…), plain (91…), national (0…) or subscriber."""
    caller_id: Mapped[str] = mapped_column(server_default="")
    """Our number on calls through it."""
    caller_id_rule: Mapped[str] = mapped_column(server_default="own")
    """own: always ``caller_id``; pass: a transferred caller's number, else ``caller_id``."""
    max_calls: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """0: no limit of its own."""
    ping_s: Mapped[int] = mapped_column(Integer, server_default=text("30"))
    enabled: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ExtensionRow(Base):
    """An operator's telephone, registered with digest authentication."""

    __tablename__ = "extensions"

    extension: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(server_default="")
    a1_hash: Mapped[str]
    """MD5(extension:realm:password), RFC 7616: the password itself is not kept."""
    enabled: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))


class QueueRow(Base):
    """People who share the calls transferred to ``queue:NAME``."""

    __tablename__ = "queues"

    name: Mapped[str] = mapped_column(primary_key=True)
    members: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """Extensions, numbers or SIP URIs."""
    strategy: Mapped[str] = mapped_column(server_default="all")
    """all: ring at once; order: one after the other."""
    ring_s: Mapped[int] = mapped_column(Integer, server_default=text("20"))
    max_wait_s: Mapped[int] = mapped_column(Integer, server_default=text("120"))


class DoNotCallRow(Base):
    """A number that is never called by us, and whose people said so."""

    __tablename__ = "do_not_call"

    number: Mapped[str] = mapped_column(primary_key=True)
    """E.164."""
    reason: Mapped[str] = mapped_column(server_default="")
    added_at: Mapped[datetime] = mapped_column(server_default=func.now())
    tenant: Mapped[str] = mapped_column(server_default="", primary_key=True)
    """Whose people added it, and see it; empty: the operator. It holds for every tenant."""


class OutboundRow(Base):
    """A call to be made: dialled again until somebody answers or its attempts are used up."""

    __tablename__ = "outbound_calls"
    __table_args__ = (Index("ix_outbound_calls_state_next_at", "state", "next_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str]
    """E.164."""
    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    state: Mapped[str] = mapped_column(server_default="waiting")
    """waiting, dialling, talking, done, failed or refused."""
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    max_attempts: Mapped[int] = mapped_column(Integer, server_default=text("3"))
    retry_after_s: Mapped[int] = mapped_column(Integer, server_default=text("900"))
    hours: Mapped[str] = mapped_column(server_default="")
    """When it may be made; empty: ``switch.calling_hours``."""
    next_at: Mapped[datetime] = mapped_column(server_default=func.now())
    result: Mapped[str] = mapped_column(server_default="")
    """human, machine, uncertain, or why nobody answered, in Q.850 words."""
    call_id: Mapped[str] = mapped_column(server_default="")
    """Of the last attempt."""
    trunk: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]


class LegRow(Base):
    """One channel of FreeSWITCH, from its first to its last moment: the call detail record."""

    __tablename__ = "legs"
    __table_args__ = (
        Index("ix_legs_call_id", "call_id"),
        Index("ix_legs_started_at", "started_at"),
    )

    leg_id: Mapped[str] = mapped_column(primary_key=True)
    """The channel's UUID."""
    call_id: Mapped[str]
    """UUID of the call's first channel: that of its row in ``calls``."""
    kind: Mapped[str]
    """caller, callee (a call we made), person (took a transfer) or supervisor."""
    trunk: Mapped[str] = mapped_column(server_default="")
    caller: Mapped[str] = mapped_column(server_default="")
    callee: Mapped[str] = mapped_column(server_default="")
    started_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    cause: Mapped[str] = mapped_column(server_default="")
    """Q.850 words, as FreeSWITCH has them."""
    cause_code: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Q.850 number."""
    sip_status: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Final status of its INVITE, where the far end gave one."""
    ended_by: Mapped[str] = mapped_column(server_default="")
    """us, them or empty."""
    codec: Mapped[str] = mapped_column(server_default="")
    note: Mapped[str] = mapped_column(server_default="")


class CallRow(Base):
    """One call, as ``events.CallRecord``; ``ended_at`` is null while it lives."""

    __tablename__ = "calls"
    __table_args__ = (
        Index("ix_calls_started_at", "started_at"),
        Index("ix_calls_agent_id_started_at", "agent_id", "started_at"),
        Index("ix_calls_caller_started_at", "caller", "started_at"),
        Index("ix_calls_ended_at", "ended_at"),
        Index(
            "ix_calls_unmoderated",
            "ended_at",
            postgresql_where=text("moderated_at IS NULL OR moderated_at < ended_at"),
        ),
    )

    call_id: Mapped[str] = mapped_column(primary_key=True)
    did: Mapped[str]
    caller: Mapped[str]
    agent_id: Mapped[str]
    agent_version: Mapped[int] = mapped_column(Integer)
    language: Mapped[str]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    cause: Mapped[str] = mapped_column(server_default="")
    ended_by: Mapped[str] = mapped_column(server_default="")
    turns: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    recording: Mapped[str] = mapped_column(server_default="")
    late_frames: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    part: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    direction: Mapped[str] = mapped_column(server_default="in")
    """in, out or test (from the console: no caller, and in no statistics)."""
    transferred_to: Mapped[str] = mapped_column(server_default="")
    transfer_reason: Mapped[str] = mapped_column(server_default="")
    summary: Mapped[str] = mapped_column(server_default="")
    answered_by: Mapped[str] = mapped_column(server_default="")
    memory: Mapped[str] = mapped_column(server_default="")
    remembered: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    facts: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    continues: Mapped[str] = mapped_column(server_default="")
    moderated_at: Mapped[datetime | None]
    """When its whole transcript was checked again. This and what follows is not the worker's."""
    recording_erased_at: Mapped[datetime | None]
    transcript_erased_at: Mapped[datetime | None]
    gap_p50_ms: Mapped[int | None] = mapped_column(Integer)
    """Of its turns' gaps, counted when it ends (``rows.upsert``): a log of a million calls is searched
    for slow ones without reading ten million turns."""
    gap_p95_ms: Mapped[int | None] = mapped_column(Integer)


class TurnRow(Base):
    """One turn, as ``events.Turn``; ``stages`` and ``passages`` are its dataclasses as JSON."""

    __tablename__ = "turns"
    __table_args__ = (
        # statistics of a month read the index alone: the rows hold all that was said
        Index("ix_turns_at", "at", postgresql_include=["call_id", "source", "gap_ms", "barged_in"]),
        Index("ix_turns_failed", "at", postgresql_where=text("failure <> ''")),
    )

    call_id: Mapped[str] = mapped_column(primary_key=True)
    index: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[datetime]
    said: Mapped[str]
    reply: Mapped[str]
    heard: Mapped[str]
    source: Mapped[str]
    stages: Mapped[dict[str, Any]]
    gap_ms: Mapped[int | None] = mapped_column(Integer)
    passages: Mapped[list[dict[str, Any]]]
    barged_in: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    kept_speculation: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    failure: Mapped[str] = mapped_column(server_default="")
