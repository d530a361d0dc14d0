"""What is stored of a document while it is read: its text, then its passages, in no version yet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.errors import UserError
from appliance.store.documents import State
from appliance.store.knowledge_models import DocumentRow, KnowledgeBaseRow, PassageRow, RevisionRow
from appliance.store.leases import Taken, renew
from appliance.store.passages import standing
from appliance.store.staging import Key, NewPassage, write_passages


class OtherModelError(UserError):
    """The base has vectors of one model, and these are of another."""


async def keep_text(
    engine: AsyncEngine,
    taken: Taken,
    lease: datetime,
    *,
    media_type: str,
    language: str,
    pages: list[dict[str, Any]],
    notes: Sequence[str],
    total: int,
) -> datetime:
    """Store what was read from the original of the document's revision; ``total`` passages follow."""
    async with engine.begin() as connection:
        progress = {"state": State.EMBEDDING, "done": 0, "total": total}
        lease = await renew(connection, taken, lease, **progress)
        await connection.execute(
            update(RevisionRow)
            .where(RevisionRow.id == taken.revision_id)
            .values(media_type=media_type, language=language, pages=pages, notes=list(notes))
        )
        return lease


async def claim_model(connection: AsyncConnection, base_id: int, model: str) -> None:
    """Make sure that the base's vectors are of ``model``, until the transaction ends.

    Raises OtherModelError. A base that has no vectors yet takes the model for its own.
    """
    b = KnowledgeBaseRow
    query = select(b.name, b.embedder).where(b.id == base_id)
    query = query.with_for_update(read=True, key_share=True)
    name, embedder = (await connection.execute(query)).one()
    if embedder == "":  # who was quicker with another model is seen by the update
        first = update(b).where(b.id == base_id, b.embedder.in_(("", model)))
        await connection.execute(first.values(embedder=model))
        embedder = (await connection.execute(query)).one().embedder
    if embedder != model:
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
        return {int(row[0]): tuple(row[1:]) for row in await connection.execute(query)}


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


def _staged(revision_id: int) -> ColumnElement[bool]:
    return and_(PassageRow.revision_id == revision_id, PassageRow.since_version.is_(None))
