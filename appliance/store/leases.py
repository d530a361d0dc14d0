"""Who works on a document holds a lease: taken, renewed with every sign of life, ended by an outcome.

The lease is ``taken_at``. It is the token of the worker too: what a worker writes after another took
its document over is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Interval, and_, func, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.store.documents import AFRESH, AT_WORK, State, forget_staged
from appliance.store.knowledge_models import DocumentRow, KnowledgeBaseRow, RevisionRow

LEASE_S = 60.0
"""Without a sign of life for so long a worker counts as dead, and its document is taken up again."""
MOST_ATTEMPTS = 3
RETRY_S = (30, 300)
"""Before the second and the third attempt: a server that starts again, one that is mended."""
OUTAGE_RETRY_S = 30
MOST_DUE = 1000
"""Documents that one sweep tells the queue of; the next sweep tells of the others."""


class LostDocumentError(Exception):
    """Another worker, or a person, took the document: what we have of it is void."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A document to be worked on, and the lease to do so."""

    id: int
    base_id: int
    base: str
    name: str
    language: str
    tags: tuple[str, ...]
    revision_id: int
    original: bytes
    media_type: str
    attempts: int
    lease: datetime


def _due() -> ColumnElement[bool]:
    d = DocumentRow
    expired = func.clock_timestamp() - literal(timedelta(seconds=LEASE_S), Interval)
    return or_(
        d.state == State.WAITING,
        and_(d.state == State.FAILED, d.next_at <= func.clock_timestamp()),
        and_(d.state.in_(AT_WORK), or_(d.taken_at.is_(None), d.taken_at < expired)),
    )


async def due(engine: AsyncEngine) -> list[int]:
    """The documents that somebody should take, the longest waiting first."""
    query = select(DocumentRow.id).where(_due()).order_by(DocumentRow.updated_at).limit(MOST_DUE)
    async with engine.connect() as connection:
        return list((await connection.execute(query)).scalars())


async def take(engine: AsyncEngine, document_id: int) -> Taken | None:
    """The document, for who asks to work on it; None when it is not due or another has it.

    One whose workers died every time is given up here. The attempt counts from the moment that it is
    begun, also where fetching the original is what ends it.
    """
    d, r = DocumentRow, RevisionRow
    async with engine.begin() as connection:
        query = select(d.attempts).where(d.id == document_id, _due())
        attempts = await connection.scalar(query.with_for_update(skip_locked=True))
        if attempts is None:
            return None
        if attempts >= MOST_ATTEMPTS:
            await connection.execute(
                update(d).where(d.id == document_id).values(**_failed(_DIED, None))
            )
            return None
        lease: datetime = await connection.scalar(  # type: ignore[assignment]
            update(d)
            .where(d.id == document_id)
            .values({**AFRESH, "state": State.READING, "attempts": attempts + 1})
            .values(taken_at=func.clock_timestamp())
            .returning(d.taken_at)
        )
    original = (
        select(
            *(d.id, d.knowledge_base_id.label("base_id"), d.name, d.language),
            KnowledgeBaseRow.name.label("base"),
            *(d.tags, d.revision_id, r.original, r.media_type, d.attempts),
        )
        .join(r, r.id == d.revision_id)
        .join(KnowledgeBaseRow, KnowledgeBaseRow.id == d.knowledge_base_id)
        .where(d.id == document_id, d.taken_at == lease)
    )
    async with engine.connect() as connection:
        row = (await connection.execute(original)).one_or_none()
    if row is None:  # somebody added it anew meanwhile
        return None
    fields: dict[str, Any] = {**row._mapping, "tags": tuple(row.tags), "lease": lease}
    return Taken(**fields)


_DIED = "The process that read it died each time; the document may be too much for this machine."


async def renew(
    connection: AsyncConnection, taken: Taken, lease: datetime, **values: Any
) -> datetime:
    """A sign of life, with what is new of the document; the next one names the lease returned.

    Raises LostDocumentError when the lease is not ours any more.
    """
    d = DocumentRow
    renewed: datetime | None = await connection.scalar(
        update(d)
        .where(d.id == taken.id, d.taken_at == lease, d.state.in_(AT_WORK))
        .values(taken_at=func.clock_timestamp(), updated_at=func.now(), **values)
        .returning(d.taken_at)
    )
    if renewed is None:
        raise LostDocumentError
    return renewed


async def sign_of_life(
    engine: AsyncEngine, taken: Taken, lease: datetime, **values: Any
) -> datetime:
    """:func:`renew`, in a transaction of its own."""
    async with engine.begin() as connection:
        return await renew(connection, taken, lease, **values)


async def fail(
    engine: AsyncEngine, taken: Taken, lease: datetime, why: str, *, outage: bool = False
) -> bool:
    """It did not work this time; whether it is tried again, later.

    ``outage``: a server is away, the document is not to blame. That is no attempt: it waits for as
    long as the server is away.
    """
    if outage:
        values = _failed(why, timedelta(seconds=OUTAGE_RETRY_S)) | {"attempts": taken.attempts - 1}
        return await _end(engine, taken, lease, values)
    again = taken.attempts < MOST_ATTEMPTS
    wait = timedelta(seconds=RETRY_S[min(taken.attempts, len(RETRY_S)) - 1]) if again else None
    return await _end(engine, taken, lease, _failed(why, wait)) and again


def _failed(why: str, wait: timedelta | None) -> dict[str, Any]:
    later = None if wait is None else func.now() + literal(wait, Interval)
    return {"state": State.FAILED, "error": why, "next_at": later, "taken_at": None}


async def refuse(engine: AsyncEngine, taken: Taken, lease: datetime, why: str) -> bool:
    """It will never work; ``why`` is one sentence for the person who added it."""
    values = {"state": State.REFUSED, "error": why, "taken_at": None, "next_at": None}
    return await _end(engine, taken, lease, values)


async def _end(engine: AsyncEngine, taken: Taken, lease: datetime, values: dict[str, Any]) -> bool:
    """Whether the document was still ours to end."""
    d = DocumentRow
    async with engine.begin() as connection:
        ended = await connection.execute(
            update(d)
            .where(d.id == taken.id, d.taken_at == lease, d.state.in_(AT_WORK))
            .values(updated_at=func.now(), **values)
        )
        if ended.rowcount and values["state"] == State.REFUSED:
            await forget_staged(connection, taken.id)
        return bool(ended.rowcount)
