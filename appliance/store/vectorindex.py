"""One HNSW index for each large base: a search then meets no other base's passages on its way."""

from __future__ import annotations

import logging

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.store.finding import EXACT_MOST
from appliance.store.knowledge_models import EMBEDDING_DIMENSIONS, KnowledgeBaseRow

PREFIX = "hnsw_passages_"
LOCK = 0x1DE7
"""Of pg_advisory_lock, with the base's id: one index of a base is made at a time."""
WORK_MEMORY = "256MB"
"""The graph of 100 000 passages is made in it (110 MB): a minute; without, several."""

_log = logging.getLogger(__name__)

_STATE = text("""
SELECT (SELECT count(*) FROM (
    SELECT FROM passages WHERE knowledge_base_id = :base AND embedding IS NOT NULL LIMIT :most) counted),
  (SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass(:index))
""")


async def index_base(engine: AsyncEngine, name: str) -> bool:
    """Make the index of the base ``name`` where it has become large enough for one.

    To be called when its passages are written and before they come into force: it takes a minute
    for 100 000, reads and writes go on meanwhile, and what is added later joins it by itself.
    Again is a no-op. Whether there is an index then. Halves of floats: pgvector 0.7 or newer.
    """
    async with engine.connect() as plain:
        connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
        found = select(KnowledgeBaseRow.id).where(KnowledgeBaseRow.name == name)
        base = await connection.scalar(found)
        if base is None:
            return False
        await connection.execute(text(f"SELECT pg_advisory_lock({LOCK}, {base})"))
        try:
            return await _index(connection, base, f"{PREFIX}{base}")
        finally:
            await connection.execute(text("SELECT pg_advisory_unlock_all()"))
            await connection.execute(text("RESET maintenance_work_mem"))


async def _index(connection: AsyncConnection, base: int, name: str) -> bool:
    state = {"base": base, "most": EXACT_MOST + 1, "index": name}
    passages, valid = (await connection.execute(_STATE, state)).one()
    if valid or passages <= EXACT_MOST:
        return bool(valid)
    if valid is not None:  # somebody was killed while making it
        await connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))
    await connection.execute(text(f"SET maintenance_work_mem = '{WORK_MEMORY}'"))
    _log.info("= knowledge base %d gets its index of vectors", base)
    await connection.execute(
        text(
            f"CREATE INDEX CONCURRENTLY {name} ON passages USING hnsw"
            f" ((embedding::halfvec({EMBEDDING_DIMENSIONS})) halfvec_cosine_ops)"
            f" WHERE knowledge_base_id = {int(base)}"
        )
    )
    return True


async def drop_orphans(engine: AsyncEngine) -> int:
    """Take away the indexes of bases that are gone; how many there were."""
    async with engine.connect() as plain:
        connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
        names = await connection.execute(
            text(
                "SELECT c.relname FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid"
                " WHERE i.indrelid = 'passages'::regclass AND starts_with(c.relname, :prefix)"
                " AND NOT EXISTS (SELECT FROM knowledge_bases b"
                "  WHERE c.relname = :prefix || b.id::text)"
            ),
            {"prefix": PREFIX},
        )
        gone = [str(name) for (name,) in names]
        for name in gone:
            await connection.execute(text(f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"'))
    return len(gone)
