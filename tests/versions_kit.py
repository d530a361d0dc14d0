"""A version of a base made of passages alone, without the documents that they are read from."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.store.documents import lock_base
from appliance.store.knowledge_models import KnowledgeBaseRow, PassageRow
from appliance.store.passages import standing
from appliance.store.publishing import begin_version
from appliance.store.staging import NewPassage, write_passages


async def add_version(
    engine: AsyncEngine, name: str, language: str, passages: Sequence[NewPassage]
) -> int:
    """Make ``passages`` all that the next version of ``name`` has, in force at once; its number."""
    b, p = KnowledgeBaseRow, PassageRow
    async with engine.begin() as connection:
        base = await lock_base(connection, name)
        version = int(await connection.scalar(select(b.version + 1).where(b.id == base)) or 1)
        ours = update(p).where(p.knowledge_base_id == base, standing())
        await connection.execute(ours.values(until_version=version))
        await write_passages(connection, base, passages, language=language, since=version)
        await begin_version(connection, base, version)
    return version
