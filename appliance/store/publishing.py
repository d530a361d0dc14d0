"""The SQL of versions: what is stored of a base comes into force at once, in one transaction.

A search reads ``since_version <= v < until_version`` of the version that its call began with, so
that nothing half written is ever found and a call goes on with what it knew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.errors import UserError
from appliance.store.documents import AT_WORK, State, Taken, lock_base, renew
from appliance.store.knowledge_models import (
    DocumentRow,
    KnowledgeBaseRow,
    KnowledgeVersionRow,
    PassageRow,
)
from appliance.store.staging import NewPassage, write_passages

PATIENCE_S = 60.0
"""A document that is ready comes into force after so long, whatever else is still being read."""

Key = tuple[str, str]
"""Heading and text: what a vector is made of."""


class OtherModelError(UserError):
    """The base has vectors of one model, and these are of another."""


@dataclass(frozen=True, slots=True)
class Published:
    """A new version in force."""

    base: str
    version: int
    added: int
    """Passages that the version before did not have."""
    ended: int
    """Passages that it does not have any more."""


# --- staging ----------------------------------------------------------------------------------------


async def claim_model(connection: AsyncConnection, base_id: int, model: str) -> None:
    """Make sure that the base's vectors are of ``model``, until the transaction ends.

    Raises OtherModelError. A base that has no vectors yet takes the model for its own.
    """
    b = KnowledgeBaseRow
    query = select(b.name, b.embedder).where(b.id == base_id).with_for_update(read=True)
    name, embedder = (await connection.execute(query)).one()
    if embedder == "":
        await connection.execute(update(b).where(b.id == base_id).values(embedder=model))
    elif embedder != model:
        raise OtherModelError(
            f"The vectors of {name} are of {embedder}, and the embedding server gives those of"
            f" {model}. Run `ivr knowledge reembed {name}`."
        )


async def in_force(engine: AsyncEngine, base_id: int, document: str) -> set[Key]:
    """Heading and text of the document's passages in force that have a vector."""
    p = PassageRow
    query = select(p.heading, p.text).where(
        p.knowledge_base_id == base_id, p.document == document, standing(), p.embedding.is_not(None)
    )
    async with engine.connect() as connection:
        return {(row[0], row[1]) for row in await connection.execute(query)}


async def staged(engine: AsyncEngine, taken: Taken) -> dict[int, tuple[Any, ...]]:
    """What an earlier worker, now dead, stored of the document: by position its heading, text, page,
    and whether it is suspicious. Without language and tags, for who changes those adds it anew."""
    p = PassageRow
    query = select(p.position, p.heading, p.text, p.page, p.suspicious).where(
        _staged(taken.revision_id)
    )
    async with engine.connect() as connection:
        return {row[0]: tuple(row[1:]) for row in await connection.execute(query)}


async def forget_staged(
    engine: AsyncEngine, taken: Taken, lease: datetime, positions: Sequence[int]
) -> datetime:
    """Erase what was stored at these places of the document and does not fit any more."""
    async with engine.begin() as connection:
        lease = await renew(connection, taken, lease)
        await connection.execute(
            delete(PassageRow).where(_staged(taken.revision_id), PassageRow.position.in_(positions))
        )
        return lease


async def stage(
    engine: AsyncEngine,
    taken: Taken,
    lease: datetime,
    passages: Sequence[NewPassage],
    *,
    model: str,
    done: int,
    total: int,
) -> datetime:
    """Store some passages of the document's revision, in no version yet. ``model``: of their
    vectors; empty when none of them has one.

    Raises LostDocumentError, OtherModelError; nothing is stored then.
    """
    async with engine.begin() as connection:
        lease = await renew(connection, taken, lease, done=done, total=total)
        if model:
            await claim_model(connection, taken.base_id, model)
        await write_passages(
            connection, taken.base_id, passages, language=taken.language, revision=taken.revision_id
        )
        return lease


async def make_ready(engine: AsyncEngine, taken: Taken, lease: datetime) -> None:
    """All passages of the document's revision are stored: the next version may have them."""
    async with engine.begin() as connection:
        await renew(connection, taken, lease, state=State.READY)
        await connection.execute(_COPY_VECTORS, {"revision": taken.revision_id})
        d = DocumentRow
        await connection.execute(update(d).where(d.id == taken.id).values(taken_at=None))


# A passage that moved to another page, or got other tags, is a new row with the vector it had.
_COPY_VECTORS = text(
    """
UPDATE passages s SET embedding = o.embedding FROM passages o
WHERE s.revision_id = :revision AND s.since_version IS NULL AND s.embedding IS NULL
  AND o.knowledge_base_id = s.knowledge_base_id AND o.document = s.document
  AND o.since_version IS NOT NULL AND o.until_version IS NULL AND o.embedding IS NOT NULL
  AND o.heading = s.heading AND o.text = s.text
  AND (o.page, o.language, o.tags) IS DISTINCT FROM (s.page, s.language, s.tags)
"""
)


# --- publishing -------------------------------------------------------------------------------------


async def bases_to_publish(engine: AsyncEngine) -> list[str]:
    """The bases that have something ready, or removed, and nothing under way (or that have waited
    long enough for it)."""
    d, b, p = DocumentRow, KnowledgeBaseRow, PassageRow
    waiting = func.min(d.updated_at).filter(d.state == State.READY)
    long_ago = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, PATIENCE_S)
    under_way = func.count().filter(d.state.in_((State.WAITING, *AT_WORK)))
    ready = select(b.name).join(d, d.knowledge_base_id == b.id).group_by(b.id, b.name)
    ready = ready.having(waiting.is_not(None), or_(under_way == 0, waiting < long_ago))
    gone = select(b.name).where(
        select(p.id)
        .join(d, and_(d.knowledge_base_id == p.knowledge_base_id, d.name == p.document))
        .where(d.knowledge_base_id == b.id, d.state == State.REMOVED, _not_yet_ended())
        .exists()
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
        kept = await _keep_unchanged(connection, part)
        await _end_old(connection, part, kept, version)
        await _begin_new(connection, part, version)
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


_SAME = """
  (o.knowledge_base_id, o.document, o.heading, o.text, o.language, o.tags)
  = (s.knowledge_base_id, s.document, s.heading, s.text, s.language, s.tags)
  AND o.page IS NOT DISTINCT FROM s.page
  AND o.since_version IS NOT NULL AND o.until_version IS NULL AND o.embedding IS NOT NULL"""

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
  AND NOT EXISTS (SELECT FROM passages o WHERE {_SAME})
"""
)

# Texts that stand in a document twice are paired one to one. The old row stays as it is, place in
# the document included: to write it again would write it into the index of vectors again.
_KEPT = text(
    """
WITH s AS (
  SELECT p.*, row_number() OVER (PARTITION BY document, heading, text, page, p.language, p.tags
    ORDER BY position) AS nth
  FROM passages p JOIN documents d ON d.revision_id = p.revision_id
  WHERE d.id = ANY(:ready) AND p.since_version IS NULL),
o AS (
  SELECT p.*, row_number() OVER (PARTITION BY document, heading, text, page, language, tags
    ORDER BY position) AS nth
  FROM passages p
  WHERE knowledge_base_id = :base AND document = ANY(:names) AND since_version IS NOT NULL
    AND until_version IS NULL AND embedding IS NOT NULL)
SELECT o.id AS old, s.id AS new FROM s JOIN o
  ON (o.document, o.heading, o.text, o.language, o.tags, o.nth)
   = (s.document, s.heading, s.text, s.language, s.tags, s.nth)
  AND o.page IS NOT DISTINCT FROM s.page
"""
)


async def _keep_unchanged(connection: AsyncConnection, part: _Part) -> list[int]:
    """The passages in force that stay, each in the place of one just stored that is the same."""
    rows = (
        await connection.execute(
            _KEPT,
            {
                "ready": list(part.ready),
                "base": part.base_id,
                "names": list(part.ready.values()),
            },
        )
    ).all()
    await connection.execute(
        text("DELETE FROM passages WHERE id = ANY(:ids)"), {"ids": [row.new for row in rows]}
    )
    # a second copy of a text, of which one is in force: the vector is there, the row is not
    await connection.execute(_FILL, {"ready": list(part.ready)})
    return [row.old for row in rows]


_FILL = text(
    f"""
UPDATE passages s SET embedding = o.embedding FROM passages o, documents d
WHERE d.id = ANY(:ready) AND s.revision_id = d.revision_id AND s.since_version IS NULL
  AND s.embedding IS NULL AND {_SAME}
"""
)


async def _end_old(connection: AsyncConnection, part: _Part, kept: list[int], version: int) -> None:
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
            "kept": kept,
        },
    )


async def _begin_new(connection: AsyncConnection, part: _Part, version: int) -> None:
    """Passages that are part of the version for the first time."""
    await connection.execute(
        text(
            "UPDATE passages p SET since_version = :version FROM documents d"
            " WHERE d.id = ANY(:ready) AND p.revision_id = d.revision_id"
            " AND p.since_version IS NULL"
        ),
        {"version": version, "ready": list(part.ready)},
    )


def _not_yet_ended() -> ColumnElement[bool]:
    """Whether the version in force has a passage that no document has any more."""
    p, b = PassageRow, KnowledgeBaseRow
    ended_next = or_(p.until_version.is_(None), p.until_version > b.version)
    return and_(p.since_version <= b.version, ended_next)


def standing() -> ColumnElement[bool]:
    """Whether a passage is part of the latest version, in force or prepared."""
    return and_(PassageRow.since_version.is_not(None), PassageRow.until_version.is_(None))


def _staged(revision_id: int) -> ColumnElement[bool]:
    return and_(PassageRow.revision_id == revision_id, PassageRow.since_version.is_(None))
