"""The documents that reviewers correct a knowledge base by: read and written under one lock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.store.documents import Added, NewDocument, State, add_in, lock_base
from appliance.store.knowledge_models import DocumentRow, PassageRow, RevisionRow


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a document is."""

    state: State
    error: str


async def edit_document(
    engine: AsyncEngine, base: str, new: NewDocument, edit: Callable[[bytes], bytes]
) -> Added:
    """Store what ``edit`` makes of the document's present content (empty when there is none) as its
    next revision, to be read. Nobody else writes the base's documents meanwhile."""
    async with engine.begin() as connection:
        base_id = await lock_base(connection, base)
        content = edit(await _content(connection, base_id, new.name))
        return await add_in(connection, base_id, replace(new, original=content))


async def _content(connection: AsyncConnection, base_id: int, name: str) -> bytes:
    query = (
        select(RevisionRow.original)
        .join(DocumentRow, DocumentRow.revision_id == RevisionRow.id)
        .where(
            DocumentRow.knowledge_base_id == base_id,
            DocumentRow.name == name,
            DocumentRow.state != State.REMOVED,
        )
    )
    return (await connection.execute(query)).scalar_one_or_none() or b""


async def progress_of(engine: AsyncEngine, document_id: int) -> Progress | None:
    """How far a document is; None when it is gone."""
    query = select(DocumentRow.state, DocumentRow.error).where(DocumentRow.id == document_id)
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    return Progress(State(row.state), row.error) if row else None


async def hidden_headings(engine: AsyncEngine, document_id: int) -> set[str]:
    """Headings of the document's passages that searches leave out, for they read like orders to a
    language model."""
    query = (
        select(PassageRow.heading)
        .join(DocumentRow, DocumentRow.revision_id == PassageRow.revision_id)
        .where(
            DocumentRow.id == document_id,
            PassageRow.suspicious,
            PassageRow.until_version.is_(None),
        )
    )
    async with engine.connect() as connection:
        return set((await connection.execute(query)).scalars())
