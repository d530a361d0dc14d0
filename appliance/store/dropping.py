"""A knowledge base taken away: first from everybody's sight, then row by row.

The base's own row stays, and with it the number of its last version: workers and cached answers know a
version by its number, which must never be that of another one if the base is made again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.errors import UserError
from appliance.store.baseindex import drop_orphans
from appliance.store.database import Also, nothing_else
from appliance.store.documents import AFRESH, State, what_is_left
from appliance.store.knowledge_models import DocumentRow, KnowledgeBaseRow

PASSAGES_AT_ONCE = 5000
ORIGINALS_AT_ONCE = 50
"""Of 50 MB at most each."""
DOCUMENTS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Dropped:
    """What went."""

    base: str
    documents: int
    passages: int


async def drop(
    engine: AsyncEngine,
    base: str,
    progress: Callable[[int], None] = lambda passages: None,
    also: Also = nothing_else,
) -> Dropped:
    """Take a base away with its documents, versions and passages. Killed in the middle it goes on
    where it was, when it is asked again or at night.

    ``progress``: passages erased so far; ``also``: written when it goes from sight. Raises UserError:
    there is no such base, or an agent (or a call under way) answers from it.
    """
    async with engine.begin() as connection:
        base_id = await _begin(connection, base)
        await also(connection)
    await drop_orphans(engine)  # before its rows, each of which would be taken out of the graph
    passages = await _erase(engine, _PASSAGES, base_id, PASSAGES_AT_ONCE, progress)
    await _erase(engine, _ORIGINALS, base_id, ORIGINALS_AT_ONCE)
    await _erase(engine, _VERSIONS, base_id, DOCUMENTS_AT_ONCE)
    documents = await _erase(engine, _DOCUMENTS, base_id, DOCUMENTS_AT_ONCE)
    return Dropped(base, documents, passages)


async def finish_drops(engine: AsyncEngine) -> int:
    """Go on with what somebody who was killed had begun to drop; how many bases that were."""
    b = KnowledgeBaseRow
    query = select(b.name).where(b.dropped_at.is_not(None), what_is_left())
    async with engine.connect() as connection:
        names = list((await connection.execute(query)).scalars())
    for name in names:
        await drop(engine, name)
    return len(names)


async def _begin(connection: AsyncConnection, base: str) -> int:
    """From the end of the transaction on nobody sees the base, or writes to it. Its id."""
    b, d = KnowledgeBaseRow, DocumentRow
    query = select(b.id, (b.dropped_at.is_not(None) & ~what_is_left()).label("gone"))
    row = (await connection.execute(query.where(b.name == base).with_for_update())).one_or_none()
    if row is None or row.gone:
        raise UserError(f"There is no knowledge base {base}; `ivr knowledge list` shows all.")
    if agents := list((await connection.execute(_USED, {"base": base})).scalars()):
        raise UserError(
            f"{base} is what {', '.join(agents)} answers from; publish without it first, and let its"
            " calls end."
        )
    await connection.execute(
        update(d).where(d.knowledge_base_id == row.id).values({**AFRESH, "state": State.REMOVED})
    )
    gone: dict[str, Any] = {"dropped_at": func.now(), "embedder": "", "published_at": None}
    await connection.execute(update(b).where(b.id == row.id).values(gone))
    return int(row.id)


# a call that seems to live for a day has lost its worker, and its end with it
_USED = text(
    """
SELECT a.id FROM agents a JOIN LATERAL (
  SELECT config FROM agent_versions WHERE agent_id = a.id ORDER BY version DESC LIMIT 1) v ON true
WHERE v.config->>'knowledge' = :base
UNION
SELECT c.agent_id FROM calls c JOIN agent_versions v
  ON v.agent_id = c.agent_id AND v.version = c.agent_version
WHERE c.ended_at IS NULL AND c.started_at > now() - '1 day'::interval
  AND v.config->>'knowledge' = :base
ORDER BY 1
"""
)


async def _erase(
    engine: AsyncEngine,
    statement: str,
    base_id: int,
    at_once: int,
    progress: Callable[[int], None] = lambda count: None,
) -> int:
    """Some rows in each transaction, until there are none; how many there were."""
    count = 0
    while True:
        async with engine.begin() as connection:
            rows = await connection.execute(text(statement), {"base": base_id, "most": at_once})
        if not rows.rowcount:
            return count
        count += rows.rowcount
        progress(count)


_PASSAGES = """
DELETE FROM passages WHERE id IN (
  SELECT id FROM passages WHERE knowledge_base_id = :base LIMIT :most)
"""
_ORIGINALS = """
DELETE FROM document_revisions WHERE id IN (
  SELECT r.id FROM document_revisions r JOIN documents d ON d.id = r.document_id
  WHERE d.knowledge_base_id = :base LIMIT :most)
"""
_VERSIONS = """
DELETE FROM knowledge_versions WHERE knowledge_base_id = :base AND version IN (
  SELECT version FROM knowledge_versions WHERE knowledge_base_id = :base LIMIT :most)
"""
_DOCUMENTS = """
DELETE FROM documents WHERE id IN (
  SELECT id FROM documents WHERE knowledge_base_id = :base LIMIT :most)
"""
