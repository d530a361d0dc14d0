"""The SQL of another model: all passages in force, each with a new vector, as one version."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import AsyncConnection as Driver
from sqlalchemy import delete, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.store.documents import State, lock_base
from appliance.store.knowledge_models import DocumentRow, KnowledgeBaseRow, PassageRow
from appliance.store.passages import standing
from appliance.store.publishing import Published, begin_version
from appliance.store.staging import Floats, vector_text


@dataclass(frozen=True, slots=True)
class Unembedded:
    """What is embedded of a passage."""

    id: int
    heading: str
    text: str


async def standing_after(
    engine: AsyncEngine, base_id: int, last_id: int, limit: int
) -> list[Unembedded]:
    """The next ``limit`` passages in force whose id is above ``last_id``, by id."""
    p = PassageRow
    query = (
        select(p.id, p.heading, p.text)
        .where(p.knowledge_base_id == base_id, standing(), p.id > last_id)
        .order_by(p.id)
        .limit(limit)
    )
    async with engine.connect() as connection:
        return [Unembedded(*row) for row in await connection.execute(query)]


async def put_vectors(
    engine: AsyncEngine, base: str, model: str, vectors: dict[int, Floats]
) -> Published | None:
    """Make the next version of copies of all passages in force, each with its new vector of ``model``.

    What is stored and not yet in a version has vectors of the old model: those documents are read
    again. None, and nothing is changed, when a passage in force is not among ``vectors``.
    """
    b, d, p = KnowledgeBaseRow, DocumentRow, PassageRow
    async with engine.begin() as connection:
        base_id = await lock_base(connection, base, alone=True)
        ids = select(p.id).where(p.knowledge_base_id == base_id, standing())
        if set((await connection.execute(ids)).scalars()) != vectors.keys():
            return None
        await _send(connection, vectors)
        query = select(b.version + 1).where(b.id == base_id)
        version = int(await connection.scalar(query) or 1)
        count = (await connection.execute(_REPLACE, {"version": version, "base": base_id})).rowcount
        await connection.execute(
            delete(p).where(p.knowledge_base_id == base_id, p.since_version.is_(None))
        )
        unfinished = (State.READY, State.READING, State.EMBEDDING, State.FAILED)
        await connection.execute(
            update(d)
            .where(d.knowledge_base_id == base_id, d.state.in_(unfinished))
            .values(state=State.WAITING, taken_at=None, next_at=None, attempts=0, error="")
        )
        await connection.execute(update(b).where(b.id == base_id).values(embedder=model))
        await begin_version(connection, base_id, version)
        return Published(base, version, count, count)


async def _send(connection: AsyncConnection, vectors: dict[int, Floats]) -> None:
    await connection.execute(
        text("CREATE TEMPORARY TABLE new_vectors (id bigint, vector vector) ON COMMIT DROP")
    )
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    assert isinstance(driver, Driver)
    async with driver.cursor() as cursor, cursor.copy("COPY new_vectors FROM STDIN") as copy:
        for key, vector in vectors.items():
            await copy.write_row((key, vector_text(vector)))


_REPLACE = text(
    """
WITH old AS (
  UPDATE passages SET until_version = :version
  WHERE knowledge_base_id = :base AND since_version IS NOT NULL AND until_version IS NULL
  RETURNING *)
INSERT INTO passages (knowledge_base_id, revision_id, since_version, document, page, heading,
  position, text, language, tags, suspicious, embedding, terms)
SELECT knowledge_base_id, revision_id, :version, document, page, heading,
  position, text, language, tags, suspicious, v.vector, terms
FROM old JOIN new_vectors v USING (id)
"""
)
