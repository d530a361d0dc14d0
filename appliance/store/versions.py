"""The SQL of whole versions: made at once from files, embedded anew, listed, erased when old."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection as Driver
from sqlalchemy import delete, literal, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.store.documents import NewDocument, State, add_in, lock_base
from appliance.store.knowledge_models import (
    DocumentRow,
    KnowledgeBaseRow,
    PassageRow,
    RevisionRow,
)
from appliance.store.publishing import Key, Published, begin_version, publish_in, standing
from appliance.store.staging import Floats, NewPassage, vector_text, write_passages


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


@dataclass(frozen=True, slots=True)
class Unembedded:
    """What is embedded of a passage."""

    id: int
    heading: str
    text: str


async def put_whole(
    engine: AsyncEngine, base: str, documents: Sequence[WholeDocument], language: str, model: str
) -> int:
    """Make ``documents`` all that the next version has; returns its number, or that of the version
    in force when it is the same already. Every passage comes with its vector, of ``model``."""
    async with engine.begin() as connection:
        base_id = await lock_base(connection, base)
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


# --- another model ----------------------------------------------------------------------------------


async def base_of(engine: AsyncEngine, base: str) -> tuple[int, int, str] | None:
    """Id, version in force and model of a base; None when there is none of this name."""
    b = KnowledgeBaseRow
    async with engine.connect() as connection:
        query = select(b.id, b.version, b.embedder).where(b.name == base)
        row = (await connection.execute(query)).first()
    return None if row is None else (row[0], row[1], row[2])


async def standing_after(
    engine: AsyncEngine, base_id: int, last_id: int, limit: int
) -> list[Unembedded]:
    """The next ``limit`` passages in force whose id is above ``last_id``, by id."""
    p = PassageRow
    query = (
        select(p.id, p.heading, p.text)
        .where(p.knowledge_base_id == base_id, standing(), p.id > last_id)
        .order_by(p.id)
        .limit(limit)
    )
    async with engine.connect() as connection:
        return [Unembedded(*row) for row in await connection.execute(query)]


async def put_vectors(
    engine: AsyncEngine, base: str, model: str, vectors: dict[int, Floats]
) -> Published | None:
    """Make the next version of copies of all passages in force, each with its new vector of ``model``.

    What is stored and not yet in a version has vectors of the old model: those documents are read
    again. None, and nothing is changed, when a passage in force is not among ``vectors``.
    """
    b, d, p = KnowledgeBaseRow, DocumentRow, PassageRow
    async with engine.begin() as connection:
        base_id = await lock_base(connection, base)
        ids = select(p.id).where(p.knowledge_base_id == base_id, standing())
        if set((await connection.execute(ids)).scalars()) != vectors.keys():
            return None
        await _send(connection, vectors)
        query = select(b.version + 1).where(b.id == base_id)
        version = int(await connection.scalar(query) or 1)
        count = (await connection.execute(_REPLACE, {"version": version, "base": base_id})).rowcount
        await connection.execute(
            delete(p).where(p.knowledge_base_id == base_id, p.since_version.is_(None))
        )
        unfinished = (State.READY, State.READING, State.EMBEDDING, State.FAILED)
        await connection.execute(
            update(d)
            .where(d.knowledge_base_id == base_id, d.state.in_(unfinished))
            .values(state=State.WAITING, taken_at=None, next_at=None, attempts=0, error="")
        )
        await connection.execute(update(b).where(b.id == base_id).values(embedder=model))
        await begin_version(connection, base_id, version)
        return Published(base, version, count, count)


async def _send(connection: AsyncConnection, vectors: dict[int, Floats]) -> None:
    await connection.execute(
        text("CREATE TEMPORARY TABLE new_vectors (id bigint, vector vector) ON COMMIT DROP")
    )
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    assert isinstance(driver, Driver)
    async with driver.cursor() as cursor, cursor.copy("COPY new_vectors FROM STDIN") as copy:
        for key, vector in vectors.items():
            await copy.write_row((key, vector_text(vector)))


_REPLACE = text(
    """
WITH old AS (
  UPDATE passages SET until_version = :version
  WHERE knowledge_base_id = :base AND since_version IS NOT NULL AND until_version IS NULL
  RETURNING *)
INSERT INTO passages (knowledge_base_id, revision_id, since_version, document, page, heading,
  position, text, language, tags, suspicious, embedding, terms)
SELECT knowledge_base_id, revision_id, :version, document, page, heading,
  position, text, language, tags, suspicious, v.vector, terms
FROM old JOIN new_vectors v USING (id)
"""
)


async def allow(engine: AsyncEngine, base: str, ids: Sequence[int]) -> tuple[int, int]:
    """Let suspicious passages into searches, those in force by a next version; how many were found,
    and the version that has them (0: none is in force yet)."""
    b = KnowledgeBaseRow
    async with engine.begin() as connection:
        base_id = await lock_base(connection, base)
        parameters = {"base": base_id, "ids": list(ids)}
        stored = (await connection.execute(_ALLOW_STORED, parameters)).rowcount
        query = select(b.version + 1).where(b.id == base_id)
        version = int(await connection.scalar(query) or 1)
        begun = (await connection.execute(_ALLOW, {**parameters, "version": version})).rowcount
        if not begun:
            return stored, 0
        await begin_version(connection, base_id, version)
        return stored + begun, version


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


# --- looking back -----------------------------------------------------------------------------------


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


async def prune(engine: AsyncEngine, older_than: timedelta) -> int:
    """Erase the versions that were superseded longer than that ago, and since before the oldest call
    that still lives; then originals that no version and no document has any more.

    Returns how many passages went.
    """
    async with engine.begin() as connection:
        before = await connection.scalar(
            text(f"SELECT least(now() - :age, ({_OLDEST_CALL}))"), {"age": older_than}
        )
        gone = await connection.execute(_PRUNE, {"before": before})
        await connection.execute(_PRUNED, {"before": before})
        await connection.execute(_PRUNE_REVISIONS, {"before": before})
        await connection.execute(_PRUNE_DOCUMENTS)
        return gone.rowcount


# a call that seems to live for a day has lost its worker, and its end with it
_OLDEST_CALL = (
    "SELECT min(started_at) FROM calls WHERE ended_at IS NULL"
    " AND started_at > now() - '1 day'::interval"
)
_PRUNE = text(
    """
DELETE FROM passages p USING knowledge_versions v
WHERE v.knowledge_base_id = p.knowledge_base_id AND v.version = p.until_version
  AND v.published_at < :before
"""
)
_PRUNED = text(
    """
UPDATE knowledge_versions v SET pruned_at = now() FROM knowledge_versions next
WHERE next.knowledge_base_id = v.knowledge_base_id AND next.version = v.version + 1
  AND next.published_at < :before AND v.pruned_at IS NULL
"""
)
_PRUNE_REVISIONS = text(
    """
DELETE FROM document_revisions r USING documents d
WHERE d.id = r.document_id AND r.created_at < :before
  AND (d.revision_id <> r.id OR d.state = 'removed')
  AND NOT EXISTS (SELECT FROM passages p WHERE p.revision_id = r.id)
"""
)
_PRUNE_DOCUMENTS = text(
    """
DELETE FROM documents d WHERE d.state = 'removed'
  AND NOT EXISTS (SELECT FROM document_revisions r WHERE r.document_id = d.id)
"""
)
