"""The tables of knowledge: bases, their documents with every revision, and the passages to be found.

A version of a base is no copy: a passage is in force from ``since_version`` until ``until_version``,
so that a new version writes only what has changed and a call goes on with the version it began with.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pgvector.sqlalchemy import Vector
from sqlalchemy import (
    BigInteger,
    Boolean,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from appliance.store.access_models import MAIN_TENANT
from appliance.store.base import Base

EMBEDDING_DIMENSIONS = 384
"""all-MiniLM-L6-v2, multilingual-e5-small, paraphrase-multilingual-MiniLM-L12-v2 and their kin."""


class KnowledgeBaseRow(Base):
    """A named body of knowledge; ``version`` is the one in force."""

    __tablename__ = "knowledge_bases"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    tenant: Mapped[str] = mapped_column(
        ForeignKey("tenants.id"), server_default=MAIN_TENANT, index=True
    )
    version: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    embedder: Mapped[str] = mapped_column(server_default="")
    """Model whose vectors its passages have: those of two models cannot be compared."""
    published_at: Mapped[datetime | None]
    dropped_at: Mapped[datetime | None]
    """When it was taken away, until it is added to again. The row stays: a version that a worker or a
    cached answer knows by its number is never another one."""


class KnowledgeVersionRow(Base):
    """One version of a base: when it came into force, and whose vectors its passages have."""

    __tablename__ = "knowledge_versions"

    knowledge_base_id: Mapped[int] = mapped_column(
        ForeignKey("knowledge_bases.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    embedder: Mapped[str] = mapped_column(server_default="")
    published_at: Mapped[datetime] = mapped_column(server_default=func.now())
    pruned_at: Mapped[datetime | None]
    """When its passages were erased, as far as no later version has them."""


class DocumentRow(Base):
    """One document of a base: where it comes from and how far it is."""

    __tablename__ = "documents"
    __table_args__ = (
        UniqueConstraint("knowledge_base_id", "name"),
        Index("ix_documents_state", "state"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    knowledge_base_id: Mapped[int] = mapped_column(
        ForeignKey("knowledge_bases.id", ondelete="CASCADE")
    )
    name: Mapped[str]
    """File name or URL, as a citation says it."""
    source: Mapped[str] = mapped_column(server_default="")
    """``upload``, or the URL that it is read from again."""
    etag: Mapped[str] = mapped_column(server_default="")
    modified: Mapped[str] = mapped_column(server_default="")
    """What the URL's server said of the revision: its ETag and Last-Modified headers."""
    asked_at: Mapped[datetime | None]
    """When the URL was last asked."""
    source_error: Mapped[str] = mapped_column(server_default="")
    """What was wrong with the URL then, in one sentence; what was read of it before stays."""
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=sql("'{}'"))
    """What agents may filter by."""
    language: Mapped[str] = mapped_column(server_default="")
    """BCP 47, as said by who added it; empty: found in its text."""
    state: Mapped[str] = mapped_column(server_default="waiting")
    """waiting, reading, embedding, ready (stored, not yet in a version), published, unchanged,
    failed (may be tried again), refused (never will be), removed."""
    error: Mapped[str] = mapped_column(server_default="")
    """One sentence for the person who added it."""
    done: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    total: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    """Progress of the state: pages read, passages embedded."""
    attempts: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    taken_at: Mapped[datetime | None]
    """When whoever works on it last gave a sign of life; null: nobody does."""
    next_at: Mapped[datetime | None]
    """When it is tried again."""
    revision_id: Mapped[int | None] = mapped_column(BigInteger)
    """The revision to be read, or the one last read."""
    added_by: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class RevisionRow(Base):
    """One content that a document had: the original and the text read from it."""

    __tablename__ = "document_revisions"
    __table_args__ = (UniqueConstraint("document_id", "sha256"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    document_id: Mapped[int] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"))
    sha256: Mapped[str]
    media_type: Mapped[str] = mapped_column(server_default="")
    size_bytes: Mapped[int] = mapped_column(Integer)
    original: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    pages: Mapped[list[dict[str, Any]]] = mapped_column(server_default=sql("'[]'"), deferred=True)
    """``reading.Page`` as JSON, in order."""
    language: Mapped[str] = mapped_column(server_default="")
    notes: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=sql("'{}'"))
    """What a person should know: hidden text left out, pages without text, …"""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PassageRow(Base):
    """A piece of a document, found by its words (``terms``) and by its meaning (``embedding``).
    A large base gets indexes of its own for both, see ``store.baseindex``."""

    __tablename__ = "passages"
    __table_args__ = (
        Index("ix_passages_knowledge_base_id_since_version", "knowledge_base_id", "since_version"),
        Index("ix_passages_revision_id", "revision_id"),
        Index("ix_passages_tags", "tags", postgresql_using="gin"),
        Index(
            "ix_passages_knowledge_base_id_language",
            "knowledge_base_id",
            sql("split_part(language, '-', 1)"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    knowledge_base_id: Mapped[int] = mapped_column(
        ForeignKey("knowledge_bases.id", ondelete="CASCADE")
    )
    revision_id: Mapped[int | None] = mapped_column(
        ForeignKey("document_revisions.id", ondelete="CASCADE")
    )
    since_version: Mapped[int | None] = mapped_column(Integer)
    """First version of the base that it is part of; null: of none yet."""
    until_version: Mapped[int | None] = mapped_column(Integer)
    """First version that it is no longer part of; null: still in force."""
    document: Mapped[str]
    page: Mapped[int | None] = mapped_column(Integer)
    """From 1; null where the format has none."""
    heading: Mapped[str] = mapped_column(server_default="")
    position: Mapped[float] = mapped_column(Double)
    """Order of the passage in its document: what is new comes between what was there."""
    text: Mapped[str]
    language: Mapped[str] = mapped_column(server_default="en")
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=sql("'{}'"))
    suspicious: Mapped[bool] = mapped_column(Boolean, server_default=sql("false"))
    """It reads like orders to a language model: kept out of searches until a person allows it."""
    embedding: Mapped[list[float] | None] = mapped_column(Vector(EMBEDDING_DIMENSIONS))
    terms: Mapped[str | None] = mapped_column(TSVECTOR)
    """Made by ``knowledge.words``: Postgres's own parser tears Indic words apart at their vowel
    signs."""


class CachedAnswerRow(Base):
    """The answer to a question that callers ask often, for one version of agent and knowledge."""

    __tablename__ = "cached_answers"

    agent_id: Mapped[str] = mapped_column(
        ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True
    )
    agent_version: Mapped[int] = mapped_column(Integer, primary_key=True)
    knowledge_version: Mapped[int] = mapped_column(Integer, primary_key=True)
    wording: Mapped[str] = mapped_column(primary_key=True)
    """The question's words as ``turn.words.normal`` folds them, joined by spaces."""
    question: Mapped[str]
    answer: Mapped[str]
    source: Mapped[str]
    passages: Mapped[list[dict[str, Any]]] = mapped_column(server_default=sql("'[]'"))
    calls: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    """In how many calls it was asked."""
    withdrawn: Mapped[bool] = mapped_column(Boolean, server_default=sql("false"))
    """A reviewer confirmed that it was wrong, or the guard stops it."""
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
