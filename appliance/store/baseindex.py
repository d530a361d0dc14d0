"""The indexes of a large base, of vectors and of words: its searches meet no other base's passages.

Both are partial, ``WHERE knowledge_base_id + 0 = 7``. The sum keeps the planner from joining them with
the index over ``knowledge_base_id``, which would read an entry of every passage of the base.
"""

from __future__ import annotations

import logging

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.store.finding import EXACT_MOST, NEAREST_TO, own_passages
from appliance.store.knowledge_models import KnowledgeBaseRow

KINDS = {
    "hnsw": f"hnsw (({NEAREST_TO}) halfvec_cosine_ops)",
    # no list of what is new, which every search would have to go through
    "gin": "gin (terms) WITH (fastupdate = off)",
}
"""Halves of floats (pgvector 0.7 and newer) take half the room, and lose nothing that counts."""
LOCK = 0x1DE7
"""Of pg_advisory_lock, with the base's id: one index of a base is made at a time."""
WORK_MEMORY = "256MB"
"""The graph of 100 000 passages is made in it (110 MB): a minute; without, several."""

_log = logging.getLogger(__name__)

_SIZE = text(
    "SELECT count(*) FROM (SELECT FROM passages WHERE knowledge_base_id = :base LIMIT :most) counted"
)
_VALID = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:index)")


async def index_base(engine: AsyncEngine, name: str) -> bool:
    """Make the indexes of the base ``name`` where it has become large enough for them.

    To be called when its passages are written and before they come into force: it takes a minute
    for 100 000, reads and writes go on meanwhile, and what is added later joins by itself. Again
    is a no-op. Whether it has them then.
    """
    async with engine.connect() as plain:
        connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
        base = await _large(connection, name)
        if base is None:
            return False
        await connection.execute(text(f"SELECT pg_advisory_lock({LOCK}, {base})"))
        try:
            for kind in KINDS:
                await _index(connection, base, kind)
        finally:
            await connection.execute(text("SELECT pg_advisory_unlock_all()"))
            await connection.execute(text("RESET maintenance_work_mem"))
    return True


async def is_large(engine: AsyncEngine, name: str) -> bool:
    """Whether the base has passages enough for indexes of its own: a version of it takes minutes."""
    async with engine.connect() as connection:
        return await _large(connection, name) is not None


async def _large(connection: AsyncConnection, name: str) -> int | None:
    """The id of the base, when it is a large one."""
    found = select(KnowledgeBaseRow.id).where(KnowledgeBaseRow.name == name)
    base = await connection.scalar(found)
    size = await connection.scalar(_SIZE, {"base": base, "most": EXACT_MOST + 1})
    return base if size is not None and size > EXACT_MOST else None


async def _index(connection: AsyncConnection, base: int, kind: str) -> None:
    name = f"{kind}_passages_{base}"
    valid = await connection.scalar(_VALID, {"index": name})
    if valid:
        return
    if valid is not None:  # somebody was killed while making it
        await connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))
    await connection.execute(text(f"SET maintenance_work_mem = '{WORK_MEMORY}'"))
    _log.info("= knowledge base %d gets its %s index", base, kind)
    using, _, options = KINDS[kind].partition(" WITH ")
    options = f" WITH {options}" if options else ""
    await connection.execute(
        text(
            f"CREATE INDEX CONCURRENTLY {name} ON passages USING {using}{options}"
            f" WHERE {indexed(base)}"
        )
    )


def indexed(base: int) -> str:
    """The passages that the indexes are over: what is in no version yet joins them when it comes into
    one, once. A search that asks for a version says as much: its comparison is true of no null."""
    return f"{own_passages(base)} AND since_version IS NOT NULL"


async def drop_orphans(engine: AsyncEngine) -> int:
    """Take away the indexes of bases that are gone, or dropped; how many there were."""
    async with engine.connect() as plain:
        connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
        names = await connection.execute(
            text(
                "SELECT c.relname FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid"
                " WHERE i.indrelid = 'passages'::regclass"
                " AND c.relname ~ '^(hnsw|gin)_passages_[0-9]+$' AND NOT EXISTS ("
                "  SELECT FROM knowledge_bases b WHERE b.dropped_at IS NULL"
                "  AND c.relname ~ ('_passages_' || b.id::text || '$'))"
            )
        )
        gone = [str(name) for (name,) in names]
        for name in gone:
            await connection.execute(text(f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"'))
    return len(gone)
