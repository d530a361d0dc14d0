"""The SQL of versions: what is stored of a base comes into force at once, in one transaction.

A search reads ``since_version <= v < until_version`` of the version that its call began with, so
that nothing half written is ever found and a call goes on with what it knew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.store.documents import AT_WORK, State, lock_base
from appliance.store.keeping import SAME, begin, keep_unchanged
from appliance.store.knowledge_models import (
    DocumentRow,
    KnowledgeBaseRow,
    KnowledgeVersionRow,
    PassageRow,
)
from appliance.store.passages import standing

PATIENCE_S = 60.0
"""A document that is ready comes into force after so long, whatever else is still being read."""


@dataclass(frozen=True, slots=True)
class Published:
    """A new version in force."""

    base: str
    version: int
    added: int
    """Passages that the version before did not have."""
    ended: int
    """Passages that it does not have any more."""


async def bases_to_publish(engine: AsyncEngine) -> list[str]:
    """The bases that have something ready, or removed, and nothing under way (or that have waited
    long enough for it)."""
    d, b, p = DocumentRow, KnowledgeBaseRow, PassageRow
    waiting = func.min(d.updated_at).filter(d.state == State.READY)
    long_ago = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, PATIENCE_S)
    under_way = func.count().filter(d.state.in_((State.WAITING, *AT_WORK)))
    ready = select(b.name).join(d, d.knowledge_base_id == b.id).group_by(b.id, b.name)
    ready = ready.where(b.dropped_at.is_(None)).having(
        waiting.is_not(None), or_(under_way == 0, waiting < long_ago)
    )
    gone = select(b.name).where(
        b.dropped_at.is_(None),
        select(p.id)
        .join(d, and_(d.knowledge_base_id == p.knowledge_base_id, d.name == p.document))
        .where(d.knowledge_base_id == b.id, d.state == State.REMOVED, _not_yet_ended())
        .exists(),
    )
    async with engine.connect() as connection:
        return list((await connection.execute(ready.union(gone))).scalars())


async def prepare(engine: AsyncEngine, base: str) -> None:
    """Assign what is ready, and what was removed, to the version after the one in force, where no
    search sees it yet. :func:`publish` puts it in force; who comes in between adds to it."""
    async with engine.begin() as connection:
        base_id = await lock_base(connection, base)
        await _prepare(connection, base_id)


async def publish(engine: AsyncEngine, base: str) -> Published | None:
    """Put in force what is ready, and take out what was removed; None when that changes nothing."""
    async with engine.begin() as connection:
        base_id = await lock_base(connection, base)
        return await publish_in(connection, base_id, base)


async def publish_in(connection: AsyncConnection, base_id: int, base: str) -> Published | None:
    """:func:`publish`, in a transaction that has the base's lock."""
    version = await _prepare(connection, base_id)
    parameters = {"base": base_id, "version": version}
    added, ended = (await connection.execute(_DIFFERENCE, parameters)).one()
    await connection.execute(_SETTLE, parameters)
    if not added and not ended:
        return None
    await begin_version(connection, base_id, version)
    return Published(base, version, added, ended)


async def begin_version(connection: AsyncConnection, base_id: int, version: int) -> None:
    """From the end of the transaction on, ``version`` is in force."""
    b = KnowledgeBaseRow
    model = await connection.scalar(
        update(b)
        .where(b.id == base_id)
        .values(version=version, published_at=func.now())
        .returning(b.embedder)
    )
    await connection.execute(
        insert(KnowledgeVersionRow).values(
            knowledge_base_id=base_id, version=version, embedder=model
        )
    )


_DIFFERENCE = text(
    """
SELECT (count(*) FILTER (WHERE since_version = :version AND until_version IS NULL))::integer,
  (count(*) FILTER (WHERE until_version = :version AND since_version < :version))::integer
FROM passages WHERE knowledge_base_id = :base AND since_version IS NOT NULL
  AND (since_version = :version OR until_version = :version)
"""
)
# of a document that is ready and has nothing stored besides, all is assigned
_SETTLE = text(
    """
WITH changed AS (
  SELECT DISTINCT document FROM passages WHERE knowledge_base_id = :base
    AND since_version IS NOT NULL AND (since_version = :version OR until_version = :version))
UPDATE documents d SET updated_at = now(),
  state = CASE WHEN name IN (SELECT document FROM changed) THEN 'published' ELSE 'unchanged' END
WHERE d.knowledge_base_id = :base AND d.state = 'ready' AND NOT EXISTS (
  SELECT FROM passages p WHERE p.revision_id = d.revision_id AND p.since_version IS NULL)
"""
)


@dataclass(frozen=True, slots=True)
class _Part:
    """The documents that the next version differs in, as far as it does not have them yet."""

    base_id: int
    ready: dict[int, str]
    removed: dict[int, str]


async def _prepare(connection: AsyncConnection, base_id: int) -> int:
    """The next version's number, once it has all that is ready."""
    part = await _part(connection, base_id)
    b = KnowledgeBaseRow
    version = int(await connection.scalar(select(b.version + 1).where(b.id == base_id)) or 1)
    if part.ready or part.removed:
        kept = await keep_unchanged(connection, base_id, part.ready)
        await _end_old(connection, part, kept.ids, version)
        await begin(connection, part.ready, kept, version)
    return version


async def _part(connection: AsyncConnection, base_id: int) -> _Part:
    """The documents whose passages are whole; one that lacks a vector is read again."""
    d, p = DocumentRow, PassageRow
    query = (
        select(d.id, d.name, d.state)
        .where(d.knowledge_base_id == base_id, d.state.in_((State.READY, State.REMOVED)))
        .order_by(d.id)
        .with_for_update()
    )
    rows = (await connection.execute(query)).all()
    ready = {row.id: row.name for row in rows if row.state == State.READY}
    removed = {row.id: row.name for row in rows if row.state == State.REMOVED}
    lacking = await connection.execute(_LACKING, {"ready": list(ready)})
    for document_id in lacking.scalars():
        del ready[document_id]
        again = update(d).where(d.id == document_id).values(state=State.WAITING)
        await connection.execute(again)
    stored = await connection.execute(_STORED, {"ready": list(ready)})
    ready = {document_id: ready[document_id] for document_id in stored.scalars()}
    if removed:
        query_left = (
            select(p.document)
            .where(p.knowledge_base_id == base_id, p.document.in_(removed.values()), standing())
            .distinct()
        )
        left = set((await connection.execute(query_left)).scalars())
        removed = {key: name for key, name in removed.items() if name in left}
    return _Part(base_id, ready, removed)


_STORED = text(
    """
SELECT d.id FROM documents d WHERE d.id = ANY(:ready) AND EXISTS (
  SELECT FROM passages p WHERE p.revision_id = d.revision_id AND p.since_version IS NULL)
"""
)

# the passage whose vector it was to have went out of force while this one was being stored
_LACKING = text(
    f"""
SELECT DISTINCT d.id FROM documents d JOIN passages s ON s.revision_id = d.revision_id
WHERE d.id = ANY(:ready) AND s.since_version IS NULL AND s.embedding IS NULL
  AND NOT EXISTS (SELECT FROM passages o WHERE {SAME})
"""
)


async def _end_old(
    connection: AsyncConnection, part: _Part, kept: Sequence[int], version: int
) -> None:
    """Passages that are not part of the version any more."""
    await connection.execute(
        text(
            "UPDATE passages SET until_version = :version"
            " WHERE knowledge_base_id = :base AND document = ANY(:names)"
            " AND since_version IS NOT NULL AND until_version IS NULL AND NOT id = ANY(:kept)"
        ),
        {
            "version": version,
            "base": part.base_id,
            "names": [*part.ready.values(), *part.removed.values()],
            "kept": list(kept),
        },
    )


def _not_yet_ended() -> ColumnElement[bool]:
    """Whether the version in force has a passage that no document has any more."""
    p, b = PassageRow, KnowledgeBaseRow
    ended_next = or_(p.until_version.is_(None), p.until_version > b.version)
    return and_(p.since_version <= b.version, ended_next)
