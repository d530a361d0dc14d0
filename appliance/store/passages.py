"""The SQL of knowledge: passages by version, found by meaning and by words in one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import ColumnElement, and_, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.store.knowledge_models import KnowledgeBaseRow, KnowledgeVersionRow, PassageRow
from appliance.store.staging import NewPassage, write_passages

RRF_K = 60
"""Reciprocal rank fusion: 1 / (k + rank), summed; k as in Cormack et al., SIGIR 2009."""
CANDIDATES = 20
"""Of each of the two lists."""


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """One passage of one version; ``language`` as BCP 47."""

    id: str
    document: str
    heading: str
    text: str
    language: str
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """What a search looks through: one version of a base, all of it or a part."""

    knowledge: str
    version: int
    tags: tuple[str, ...] = ()
    """Documents with one of them; empty: all."""
    languages: tuple[str, ...] = ()
    """BCP 47 primary subtags; empty: all."""


@dataclass(frozen=True, slots=True)
class Found:
    """A passage with its place in either list (from 1; None: not in it)."""

    passage: StoredPassage
    similarity: float | None
    """Cosine of question and passage, -1 to 1; None when the search had no vector."""
    dense_rank: int | None
    sparse_rank: int | None
    fused: float


# The words of a question are joined by "or": a caller rarely uses all the words of the answer.
# With one vector at hand every row has a similarity, so those found by words alone get theirs too.
# "+ 0" keeps the planner from the HNSW index: that filters by version only after it has taken the
# nearest rows of all versions, and those may all be another's.
_FIND = f"""
WITH base AS MATERIALIZED (
  SELECT id FROM knowledge_bases WHERE name = %(name)s AND version >= %(version)s::integer),
inforce AS NOT MATERIALIZED (
  SELECT * FROM passages WHERE knowledge_base_id = (SELECT id FROM base)
    AND since_version <= %(version)s::integer
    AND (until_version IS NULL OR until_version > %(version)s::integer)
    AND NOT suspicious
    AND (%(tags)s::text[] = '{{}}' OR tags && %(tags)s::text[])
    AND (%(languages)s::text[] = '{{}}' OR split_part(language, '-', 1) = ANY (%(languages)s::text[]))),
dense AS (
  SELECT id, row_number() OVER (ORDER BY distance, id) AS rank FROM (
    SELECT id, (embedding <=> %(vector)s::vector) + 0 AS distance FROM inforce
    WHERE embedding IS NOT NULL AND %(vector)s::vector IS NOT NULL
    ORDER BY distance LIMIT {CANDIDATES}) nearest),
sparse AS (
  SELECT id, row_number() OVER (ORDER BY weight DESC, id) AS rank FROM (
    SELECT id, ts_rank(terms, %(words)s::tsquery) AS weight FROM inforce
    WHERE terms @@ %(words)s::tsquery
    ORDER BY weight DESC, id LIMIT {CANDIDATES}) matching),
fused AS (
  SELECT id, dense.rank AS dense_rank, sparse.rank AS sparse_rank,
    coalesce(1.0 / ({RRF_K} + dense.rank), 0) + coalesce(1.0 / ({RRF_K} + sparse.rank), 0) AS fused
  FROM dense FULL JOIN sparse USING (id))
SELECT p.id, p.document, p.heading, p.text, p.language, p.page,
  1 - (p.embedding <=> %(vector)s::vector), f.dense_rank, f.sparse_rank, f.fused::float8
FROM fused f JOIN passages p USING (id) ORDER BY f.fused DESC, f.dense_rank, p.id
LIMIT %(limit)s::integer
"""


async def connect(engine: AsyncEngine) -> AsyncConnection:
    """A connection for searches, without a transaction around each of them."""
    connection = await engine.connect()
    return await connection.execution_options(isolation_level="AUTOCOMMIT")


async def find(
    connection: AsyncConnection,
    scope: Scope,
    terms: Sequence[str],
    vector: Sequence[float] | None,
    limit: int,
) -> list[Found]:
    """The best ``limit`` passages for a question, fused from both lists; ``vector`` None: by words
    alone. The driver prepares the statement on its first uses in a connection."""
    parameters = {
        "name": scope.knowledge,
        "version": scope.version,
        "tags": list(scope.tags),
        "languages": list(scope.languages),
        "words": " | ".join(_lexeme(term) for term in dict.fromkeys(terms)),
        "vector": None if vector is None else orjson.dumps(list(vector)).decode(),
        "limit": limit,
    }
    rows = await connection.exec_driver_sql(_FIND, parameters)
    return [_found(row) for row in rows]


def _lexeme(term: str) -> str:
    """A word as a tsquery writes it, whatever it holds."""
    escaped = term.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _found(row: Any) -> Found:
    passage = StoredPassage(str(row[0]), *row[1:6])
    return Found(passage, *row[6:])


async def version_of(engine: AsyncEngine, name: str) -> int:
    """The version of the knowledge base that is in force; 0 when there is none."""
    query = select(KnowledgeBaseRow.version).where(KnowledgeBaseRow.name == name)
    async with engine.connect() as connection:
        return (await connection.scalar(query)) or 0


def _in_force(version: int) -> ColumnElement[bool]:
    p = PassageRow
    return and_(
        p.since_version <= version, or_(p.until_version.is_(None), p.until_version > version)
    )


async def read(engine: AsyncEngine, name: str, version: int) -> list[StoredPassage]:
    """All passages of one version, in the order of their documents."""
    p = PassageRow
    query = (
        select(p.id, p.document, p.heading, p.text, p.language, p.page)
        .join(KnowledgeBaseRow, KnowledgeBaseRow.id == p.knowledge_base_id)
        .where(KnowledgeBaseRow.name == name, _in_force(version), ~p.suspicious)
        .order_by(p.document, p.position)
    )
    async with engine.connect() as connection:
        rows = await connection.execute(query)
        return [StoredPassage(str(row[0]), *row[1:]) for row in rows]


async def add_version(
    engine: AsyncEngine, name: str, language: str, passages: Sequence[NewPassage]
) -> int:
    """Store ``passages`` as the next version of ``name`` and put it in force, in one transaction.

    Older versions stay for the calls and agents that use them. Returns the new version's number.
    """
    async with engine.begin() as connection:
        await connection.execute(
            upsert(KnowledgeBaseRow).values(name=name).on_conflict_do_nothing()
        )
        row = await connection.execute(
            update(KnowledgeBaseRow)  # locks the row: two loads at once get two versions
            .where(KnowledgeBaseRow.name == name)
            .values(version=KnowledgeBaseRow.version + 1)
            .returning(KnowledgeBaseRow.id, KnowledgeBaseRow.version)
        )
        base, version = row.one()
        await connection.execute(
            update(PassageRow)
            .where(
                PassageRow.knowledge_base_id == base,
                PassageRow.since_version.is_not(None),
                PassageRow.until_version.is_(None),
            )
            .values(until_version=version)
        )
        await connection.execute(
            insert(KnowledgeVersionRow).values(knowledge_base_id=base, version=version)
        )
        await write_passages(connection, base, passages, language=language, since=version)
    return int(version)
