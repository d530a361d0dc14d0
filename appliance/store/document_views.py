"""What a person sees of bases, documents and passages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine


@dataclass(frozen=True, slots=True)
class BaseView:
    """One knowledge base."""

    name: str
    version: int
    published_at: datetime | None
    embedder: str
    documents: int
    open: int
    """Documents still to be read, or to come into force."""
    failed: int
    """Failed or refused."""
    passages: int


@dataclass(frozen=True, slots=True)
class DocumentView:
    """One document: where it is from, how far it is, what is in force of it."""

    id: int
    name: str
    state: str
    error: str
    done: int
    total: int
    attempts: int
    next_at: datetime | None
    source: str
    added_by: str
    asked_at: datetime | None
    """When its URL was last asked."""
    source_error: str
    """What was wrong with the URL then."""
    tags: tuple[str, ...]
    language: str
    media_type: str
    size_bytes: int
    pages: int
    notes: tuple[str, ...]
    passages: int
    suspicious: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SuspiciousView:
    """A passage that searches leave out until a person allows it."""

    id: int
    document: str
    page: int | None
    heading: str
    text: str


async def list_bases(engine: AsyncEngine) -> list[BaseView]:
    """All bases by name."""
    async with engine.connect() as connection:
        return [BaseView(*row) for row in await connection.execute(_BASES)]


async def list_documents(
    engine: AsyncEngine, base: str, names: Sequence[str] = (), ids: Sequence[int] = ()
) -> list[DocumentView]:
    """The documents of a base by name: all, or those named, or those with these ids. One that was
    removed is left out once no version in force has it."""
    parameters = {"base": base, "names": list(names), "ids": list(ids)}
    async with engine.connect() as connection:
        rows = await connection.execute(_DOCUMENTS, parameters)
        return [
            DocumentView(**{**row._mapping, "tags": tuple(row.tags), "notes": tuple(row.notes)})
            for row in rows
        ]


async def list_suspicious(
    engine: AsyncEngine, base: str, document: str = ""
) -> list[SuspiciousView]:
    """The passages of a base, or of one document, that searches leave out."""
    async with engine.connect() as connection:
        rows = await connection.execute(_SUSPICIOUS, {"base": base, "document": document})
        return [SuspiciousView(*row) for row in rows]


_BASES = text(
    """
SELECT b.name, b.version, b.published_at, b.embedder,
  count(d.id) FILTER (WHERE d.state <> 'removed')::integer,
  count(d.id) FILTER (WHERE d.state IN ('waiting', 'reading', 'embedding', 'ready'))::integer,
  count(d.id) FILTER (WHERE d.state IN ('failed', 'refused'))::integer,
  (SELECT count(*) FROM passages p WHERE p.knowledge_base_id = b.id
    AND p.since_version IS NOT NULL AND p.until_version IS NULL)::integer
FROM knowledge_bases b LEFT JOIN documents d ON d.knowledge_base_id = b.id
WHERE b.dropped_at IS NULL
GROUP BY b.id ORDER BY b.name
"""
)
_DOCUMENTS = text(
    """
WITH base AS (SELECT id FROM knowledge_bases WHERE name = :base),
standing AS (
  SELECT document, count(*)::integer AS passages,
    (count(*) FILTER (WHERE suspicious))::integer AS suspicious
  FROM passages WHERE knowledge_base_id = (SELECT id FROM base)
    AND since_version IS NOT NULL AND until_version IS NULL GROUP BY document)
SELECT d.id, d.name, d.state, d.error, d.done, d.total, d.attempts, d.next_at,
  d.source, d.added_by, d.asked_at, d.source_error, d.tags,
  coalesce(nullif(d.language, ''), r.language, '') AS language,
  coalesce(r.media_type, '') AS media_type, coalesce(r.size_bytes, 0) AS size_bytes,
  coalesce(jsonb_array_length(r.pages), 0) AS pages, coalesce(r.notes, '{}') AS notes,
  coalesce(s.passages, 0) AS passages, coalesce(s.suspicious, 0) AS suspicious, d.updated_at
FROM documents d LEFT JOIN document_revisions r ON r.id = d.revision_id
  LEFT JOIN standing s ON s.document = d.name
WHERE d.knowledge_base_id = (SELECT id FROM base)
  AND (CAST(:names AS text[]) = '{}' OR d.name = ANY(CAST(:names AS text[])))
  AND (CAST(:ids AS bigint[]) = '{}' OR d.id = ANY(CAST(:ids AS bigint[])))
  AND (d.state <> 'removed' OR s.passages IS NOT NULL)
ORDER BY d.name
"""
)
_SUSPICIOUS = text(
    """
SELECT p.id, p.document, p.page, p.heading, p.text
FROM passages p JOIN knowledge_bases b ON b.id = p.knowledge_base_id
WHERE b.name = :base AND p.suspicious AND p.until_version IS NULL
  AND (:document = '' OR p.document = :document)
ORDER BY p.document, p.position
"""
)
