"""The tables of safety and review: rules, flags, golden questions, redactions, erasures."""

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
    func,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from appliance.store.base import Base


class GuardRuleRow(Base):
    """A rule of the site, beside the built-in ones."""

    __tablename__ = "guard_rules"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    agent_id: Mapped[str] = mapped_column(server_default="")
    """Empty: for every agent."""
    language: Mapped[str] = mapped_column(server_default="")
    """BCP 47 primary subtag; empty: for every language."""
    kind: Mapped[str]
    """``words`` (a word or several in a row) or ``pattern`` (a regular expression, RE2)."""
    text: Mapped[str]
    side: Mapped[str] = mapped_column(server_default="agent")
    """Whose words it looks at: agent, caller or both."""
    category: Mapped[str] = mapped_column(server_default="words")
    severity: Mapped[str] = mapped_column(server_default="medium")
    """low, medium or high."""
    action: Mapped[str] = mapped_column(server_default="stop")
    """stop or flag."""
    enabled: Mapped[bool] = mapped_column(Boolean, server_default=sql("true"))
    note: Mapped[str] = mapped_column(server_default="")
    created_by: Mapped[str] = mapped_column(server_default="")
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class FlagRow(Base):
    """Something that a person should look at, as ``events.Flag``, and what they decided."""

    __tablename__ = "flags"
    __table_args__ = (
        Index("ix_flags_state_at", "state", "at"),
        Index("ix_flags_call_id", "call_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    """The same finding has the same id: told twice, it is one flag."""
    at: Mapped[datetime]
    call_id: Mapped[str]
    """Empty for a golden question."""
    turn: Mapped[int] = mapped_column(Integer)
    agent_id: Mapped[str]
    agent_version: Mapped[int] = mapped_column(Integer)
    knowledge: Mapped[str]
    knowledge_version: Mapped[int] = mapped_column(Integer)
    found_by: Mapped[str]
    """guard, moderation, golden or person."""
    side: Mapped[str]
    rule: Mapped[str]
    category: Mapped[str]
    severity: Mapped[str]
    action: Mapped[str]
    """stopped (not heard), late (heard before the verdict) or flagged (heard)."""
    phrase: Mapped[str]
    question: Mapped[str]
    answer: Mapped[str]
    begin_ms: Mapped[int | None] = mapped_column(Integer)
    end_ms: Mapped[int | None] = mapped_column(Integer)
    """Its place on the call's media clock, which is that of the recording."""
    state: Mapped[str] = mapped_column(server_default="open")
    """open, confirmed or dismissed."""
    decided_by: Mapped[str] = mapped_column(server_default="")
    decided_at: Mapped[datetime | None]
    note: Mapped[str] = mapped_column(server_default="")
    retest: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    """The question asked again: answer, passages, versions, findings, when, by whom."""


class GoldenQuestionRow(Base):
    """A question whose answer is watched, asked again every night."""

    __tablename__ = "golden_questions"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"), index=True)
    question: Mapped[str]
    expected: Mapped[str] = mapped_column(server_default="")
    """Words that a right answer holds, alternatives parted by ``|``; empty: only changes are told."""
    enabled: Mapped[bool] = mapped_column(Boolean, server_default=sql("true"))
    created_by: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class GoldenAnswerRow(Base):
    """What a golden question was answered with, once."""

    __tablename__ = "golden_answers"
    __table_args__ = (Index("ix_golden_answers_question_id_at", "question_id", "at"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    question_id: Mapped[int] = mapped_column(ForeignKey("golden_questions.id", ondelete="CASCADE"))
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    agent_version: Mapped[int] = mapped_column(Integer)
    knowledge_version: Mapped[int] = mapped_column(Integer)
    answer: Mapped[str]
    source: Mapped[str]
    passages: Mapped[list[dict[str, Any]]] = mapped_column(server_default=sql("'[]'"))
    verdict: Mapped[str]
    """same, changed, wrong (lacks what is expected), stopped (by the guard) or failed."""
    similarity: Mapped[float | None] = mapped_column(Float)
    """To the answer before, -1 to 1."""


class RedactionRow(Base):
    """A span of a recording that must not be heard, as ``events.Redaction``."""

    __tablename__ = "redactions"

    call_id: Mapped[str] = mapped_column(primary_key=True)
    side: Mapped[str] = mapped_column(primary_key=True)
    recording: Mapped[str] = mapped_column(primary_key=True)
    begin_ms: Mapped[int] = mapped_column(Integer, primary_key=True)
    end_ms: Mapped[int] = mapped_column(Integer)
    kind: Mapped[str]
    """card, aadhaar, pan, otp, account or phone."""
    beeped_at: Mapped[datetime | None]


class ErasureRow(Base):
    """What a retention run, or a request of a caller, erased; holds no personal data itself."""

    __tablename__ = "erasures"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    reason: Mapped[str]
    """retention or request."""
    agent_id: Mapped[str] = mapped_column(server_default="")
    what: Mapped[str]
    """recordings, transcripts, log, caller or call."""
    older_than: Mapped[datetime | None]
    calls: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    files: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    rows: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    left: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    """What was looked for afterwards and still found: 0 is the proof."""
    asked_by: Mapped[str] = mapped_column(server_default="")
    note: Mapped[str] = mapped_column(server_default="")
