"""The SQL of whole versions: made at once from files, changed by a person's word, listed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, literal, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.store.database import Also, nothing_else
from appliance.store.documents import NewDocument, State, add_in, lock_base
from appliance.store.knowledge_models import (
    DocumentRow,
    KnowledgeBaseRow,
    PassageRow,
    RevisionRow,
)
from appliance.store.passages import standing
from appliance.store.publishing import begin_version, publish_in
from appliance.store.staging import Floats, Key, NewPassage, write_passages


@dataclass(frozen=True, slots=True)
class WholeDocument:
    """A document with what was read from it."""

    given: NewDocument
    media_type: str
    language: str
    pages: list[dict[str, Any]]
    notes: tuple[str, ...]
    passages: tuple[NewPassage, ...]


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a base."""

    version: int
    published_at: datetime
    embedder: str
    passages: int
    added: int
    ended: int
    pruned: bool


async def put_whole(
    engine: AsyncEngine, base: str, documents: Sequence[WholeDocument], language: str, model: str
) -> int:
    """Make ``documents`` all that the next version has; returns its number, or that of the version
    in force when it is the same already. Every passage comes with its vector, of ``model``."""
    async with engine.begin() as connection:
        base_id = await lock_base(connection, base, alone=True)
        b, d, p = KnowledgeBaseRow, DocumentRow, PassageRow
        before = await connection.scalar(select(b.embedder).where(b.id == base_id))
        await connection.execute(update(b).where(b.id == base_id).values(embedder=model))
        names = [document.given.name for document in documents]
        await connection.execute(
            delete(p).where(p.knowledge_base_id == base_id, p.since_version.is_(None))
        )
        await connection.execute(
            update(d)
            .where(d.knowledge_base_id == base_id, d.name.not_in(names))
            .values(state=State.REMOVED, taken_at=None, next_at=None, error="")
        )
        # also what no document is known of, and all vectors of another model
        ends = p.document.not_in(names) if before in ("", model) else literal(True)
        next_version = select(b.version + 1).where(b.id == base_id).scalar_subquery()
        await connection.execute(
            update(p)
            .where(p.knowledge_base_id == base_id, standing(), ends)
            .values(until_version=next_version)
        )
        for document in documents:
            await _put(connection, base_id, document, language)
        await publish_in(connection, base_id, base)
        return int(await connection.scalar(select(b.version).where(b.id == base_id)) or 0)


async def _put(
    connection: AsyncConnection, base_id: int, document: WholeDocument, language: str
) -> None:
    d, r = DocumentRow, RevisionRow
    added = await add_in(connection, base_id, document.given)
    revision = await connection.scalar(
        update(d)
        .where(d.id == added.document_id)
        .values(state=State.READY, error="", taken_at=None, next_at=None)
        .values(done=len(document.passages), total=len(document.passages))
        .returning(d.revision_id)
    )
    await connection.execute(
        update(r)
        .where(r.id == revision)
        .values(
            media_type=document.media_type,
            language=document.language,
            pages=document.pages,
            notes=list(document.notes),
        )
    )
    await write_passages(
        connection, base_id, document.passages, language=language, revision=revision
    )


async def vectors_in_force(
    engine: AsyncEngine, base_id: int, documents: Sequence[str]
) -> dict[Key, Floats]:
    """The vectors that these documents' passages in force have."""
    p = PassageRow
    query = select(p.heading, p.text, p.embedding).where(
        p.knowledge_base_id == base_id,
        p.document.in_(documents),
        standing(),
        p.embedding.is_not(None),
    )
    async with engine.connect() as connection:
        rows = await connection.execute(query)
        return {(row.heading, row.text): row.embedding for row in rows}


async def base_of(engine: AsyncEngine, base: str) -> tuple[int, int, str] | None:
    """Id, version in force and model of a base; None when there is none of this name."""
    b = KnowledgeBaseRow
    async with engine.connect() as connection:
        query = select(b.id, b.version, b.embedder).where(b.name == base, b.dropped_at.is_(None))
        row = (await connection.execute(query)).first()
    return None if row is None else (row[0], row[1], row[2])


async def allow(
    engine: AsyncEngine, base: str, ids: Sequence[int], also: Also = nothing_else
) -> tuple[int, int]:
    """Let suspicious passages into searches, those in force by a next version; how many were found,
    and the version that has them (0: none is in force yet). ``also``: written with it."""
    b = KnowledgeBaseRow
    async with engine.begin() as connection:
        base_id = await lock_base(connection, base)
        parameters = {"base": base_id, "ids": list(ids)}
        stored = (await connection.execute(_ALLOW_STORED, parameters)).rowcount
        query = select(b.version + 1).where(b.id == base_id)
        version = int(await connection.scalar(query) or 1)
        begun = (await connection.execute(_ALLOW, {**parameters, "version": version})).rowcount
        if begun:
            await begin_version(connection, base_id, version)
        if stored or begun:
            await also(connection)
        return stored + begun, version if begun else 0


_ALLOW_STORED = text(
    """
UPDATE passages SET suspicious = false WHERE knowledge_base_id = :base AND id = ANY(:ids)
  AND suspicious AND since_version IS NULL
"""
)
_ALLOW = text(
    """
WITH old AS (
  UPDATE passages SET until_version = :version
  WHERE knowledge_base_id = :base AND id = ANY(:ids) AND suspicious
    AND since_version IS NOT NULL AND until_version IS NULL
  RETURNING *)
INSERT INTO passages (knowledge_base_id, revision_id, since_version, document, page, heading,
  position, text, language, tags, suspicious, embedding, terms)
SELECT knowledge_base_id, revision_id, :version, document, page, heading,
  position, text, language, tags, false, embedding, terms
FROM old
"""
)


async def list_versions(engine: AsyncEngine, base: str) -> list[Version]:
    """All versions of a base, the latest first."""
    async with engine.connect() as connection:
        rows = await connection.execute(_VERSIONS, {"base": base})
        return [Version(*row) for row in rows]


_VERSIONS = text(
    """
WITH base AS (SELECT id FROM knowledge_bases WHERE name = :base),
began AS (SELECT since_version AS version, count(*) AS n FROM passages
  WHERE knowledge_base_id = (SELECT id FROM base) AND since_version IS NOT NULL
    AND since_version IS DISTINCT FROM until_version GROUP BY 1),
ended AS (SELECT until_version AS version, count(*) AS n FROM passages
  WHERE knowledge_base_id = (SELECT id FROM base) AND since_version < until_version GROUP BY 1)
SELECT v.version, v.published_at, v.embedder,
  (coalesce(sum(b.n) OVER upto, 0) - coalesce(sum(e.n) OVER upto, 0))::integer,
  coalesce(b.n, 0)::integer, coalesce(e.n, 0)::integer, v.pruned_at IS NOT NULL
FROM knowledge_versions v LEFT JOIN began b USING (version) LEFT JOIN ended e USING (version)
WHERE v.knowledge_base_id = (SELECT id FROM base)
WINDOW upto AS (ORDER BY v.version)
ORDER BY v.version DESC
"""
)
