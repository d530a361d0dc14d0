"""The documents that have a URL: asked for again, and what their servers said."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.store.documents import URL, Added, NewDocument, State, add_in, lock_base
from appliance.store.knowledge_models import DocumentRow, KnowledgeBaseRow, RevisionRow


@dataclass(frozen=True, slots=True)
class Source:
    """Where a document is read from, and what its server said the last time."""

    document_id: int
    base: str
    name: str
    url: str
    etag: str
    modified: str


async def list_sources(engine: AsyncEngine, base: str = "") -> list[Source]:
    """The URLs of a base's documents, or of all, those first that were asked longest ago."""
    d, b = DocumentRow, KnowledgeBaseRow
    query = (
        select(d.id, b.name.label("base"), d.name, d.source, d.etag, d.modified)
        .join(b, b.id == d.knowledge_base_id)
        .where(_has_url(), b.dropped_at.is_(None))
        .order_by(d.asked_at.nulls_first(), d.id)
    )
    if base:
        query = query.where(b.name == base)
    async with engine.connect() as connection:
        return [Source(*row) for row in await connection.execute(query)]


async def put_content(engine: AsyncEngine, source: Source, new: NewDocument) -> Added | None:
    """Store what came from ``source`` now: a revision to be read where it differs, and nothing where
    it does not (``unchanged``), whatever became of it. None: the document is not from there any more.

    ``new`` has the name, tags and language of the document as they are now, whatever it says. Raises
    DuplicateDocumentError: the same content is in the base under another name.
    """
    d, r = DocumentRow, RevisionRow
    async with engine.begin() as connection:
        base_id = await lock_base(connection, source.base)
        query = (
            select(d.name, d.tags, d.language, d.added_by, r.sha256)
            .join(r, r.id == d.revision_id)
            .where(d.knowledge_base_id == base_id, _same(source))
            .with_for_update(of=d)
        )
        row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        if row.sha256 == hashlib.sha256(new.original).hexdigest():
            said = {"etag": new.etag, "modified": new.modified}
            await connection.execute(_noted(source, source_error="", asked_at=func.now(), **said))
            return Added(source.document_id, row.name, "unchanged")
        given = NewDocument(
            *(row.name, new.original, new.media_type, source.url, tuple(row.tags), row.language),
            *(row.added_by, new.etag, new.modified),
        )
        return await add_in(connection, base_id, given)


async def note_unchanged(engine: AsyncEngine, source: Source) -> None:
    """Its server says that it has what we have."""
    async with engine.begin() as connection:
        await connection.execute(_noted(source, source_error="", asked_at=func.now()))


async def note_trouble(engine: AsyncEngine, source: Source, why: str, *, asked: bool) -> None:
    """It did not come: ``why`` is one sentence for a person. What was read of it before stays as it
    is. ``asked`` False: it was not even asked, and is the first to be the next time."""
    values: dict[str, Any] = {"asked_at": func.now()} if asked else {}
    async with engine.begin() as connection:
        await connection.execute(_noted(source, source_error=why, **values))


def _noted(source: Source, **values: Any) -> Any:
    return update(DocumentRow).where(_same(source)).values(**values)


def _same(source: Source) -> ColumnElement[bool]:
    d = DocumentRow
    return and_(d.id == source.document_id, d.source == source.url, d.state != State.REMOVED)


def _has_url() -> ColumnElement[bool]:
    d = DocumentRow
    return and_(d.source.regexp_match(URL, flags="i"), d.state != State.REMOVED)
