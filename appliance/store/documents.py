"""The SQL of documents: added, taken for work, what became of them.

Who works on a document holds a lease: ``taken_at``, renewed with every sign of life. It is the token
of the worker too: what a worker writes after another took its document over is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from sqlalchemy import ColumnElement, Interval, and_, delete, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.errors import UserError
from appliance.store.knowledge_models import DocumentRow, KnowledgeBaseRow, PassageRow, RevisionRow

LEASE_S = 60.0
"""Without a sign of life for so long a worker counts as dead, and its document is taken up again."""
MOST_ATTEMPTS = 3
RETRY_S = (30, 300)
"""Before the second and the third attempt: a server that starts again, one that is mended."""
OUTAGE_RETRY_S = 30
MOST_DUE = 1000
"""Documents that one sweep tells the queue of; the next sweep tells of the others."""
MOST_NAME_CHARS = 500


class State(StrEnum):
    """How far a document is."""

    WAITING = "waiting"
    READING = "reading"
    EMBEDDING = "embedding"
    READY = "ready"
    """Stored, not yet in a version."""
    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    """Read again, and its passages are those in force."""
    FAILED = "failed"
    """It is tried again while ``next_at`` says when."""
    REFUSED = "refused"
    REMOVED = "removed"
    """The next version is without it."""


AT_WORK = (State.READING, State.EMBEDDING)
OPEN = (State.WAITING, *AT_WORK, State.READY)
"""Not yet what it will be."""


class DuplicateDocumentError(UserError):
    """The same content is in the base under another name."""


class LostDocumentError(Exception):
    """Another worker, or a person, took the document: what we have of it is void."""


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document as somebody gives it."""

    name: str
    """File name or URL, as a citation says it."""
    original: bytes
    media_type: str = ""
    source: str = "upload"
    """Or the path or URL that it was read from."""
    tags: tuple[str, ...] = ()
    language: str = ""
    """BCP 47; empty: found in its text."""
    added_by: str = ""


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a document that was given."""

    document_id: int
    name: str
    outcome: Literal["added", "changed", "unchanged"]


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


async def add(engine: AsyncEngine, base: str, new: NewDocument) -> Added:
    """Store a document, waiting to be read. The same again changes nothing (``unchanged``); one that
    failed, was refused or removed is taken up anew.

    Raises DuplicateDocumentError: the base has this content under another name.
    """
    check_names(base, new.name)
    async with engine.begin() as connection:
        base_id = await lock_base(connection, base)
        return await add_in(connection, base_id, new)


def check_names(base: str, document: str = "-") -> None:
    """Raises UserError where one of the names is empty or too long."""
    if not base or len(base) > 100 or not base.isprintable():
        raise UserError("The name of a knowledge base has 1 to 100 printable characters.")
    if not document or len(document) > MOST_NAME_CHARS or not document.isprintable():
        raise UserError(
            f"The name of a document has 1 to {MOST_NAME_CHARS} printable characters; rename it."
        )


async def lock_base(connection: AsyncConnection, base: str) -> int:
    """The id of the base, made if it is not there; nobody else changes it in this transaction."""
    await connection.execute(insert(KnowledgeBaseRow).values(name=base).on_conflict_do_nothing())
    query = select(KnowledgeBaseRow.id).where(KnowledgeBaseRow.name == base).with_for_update()
    return (await connection.execute(query)).scalar_one()


async def add_in(connection: AsyncConnection, base_id: int, new: NewDocument) -> Added:
    """:func:`add`, in a transaction that has the base's lock."""
    d, r = DocumentRow, RevisionRow
    sha256 = hashlib.sha256(new.original).hexdigest()
    now = select(d.id, d.name, d.state, d.tags, d.language, r.sha256).join(
        r, r.id == d.revision_id, isouter=True
    )
    same = now.where(d.knowledge_base_id == base_id, r.sha256 == sha256, d.name != new.name)
    if other := (await connection.execute(same.where(d.state != State.REMOVED))).first():
        raise DuplicateDocumentError(
            f"{new.name} has the same content as {other.name}, which is there already. Remove that"
            " one first if you want the new name."
        )
    mine = now.where(d.knowledge_base_id == base_id, d.name == new.name).with_for_update(of=d)
    old = (await connection.execute(mine)).first()
    if old and (old.sha256, tuple(old.tags), old.language) == (sha256, new.tags, new.language):
        if old.state not in (State.FAILED, State.REFUSED, State.REMOVED):
            return Added(old.id, new.name, "unchanged")
    document_id = await _put(connection, base_id, new, sha256)
    return Added(document_id, new.name, "changed" if old else "added")


async def _put(connection: AsyncConnection, base_id: int, new: NewDocument, sha256: str) -> int:
    values: dict[str, Any] = {
        "source": new.source,
        "tags": list(new.tags),
        "language": new.language,
        "added_by": new.added_by,
        **_AFRESH,
    }
    document = (
        insert(DocumentRow)
        .values(knowledge_base_id=base_id, name=new.name, **values)
        .on_conflict_do_update(index_elements=["knowledge_base_id", "name"], set_=values)
        .returning(DocumentRow.id)
    )
    document_id = (await connection.execute(document)).scalar_one()
    await _forget_staged(connection, document_id)
    revision = (
        insert(RevisionRow)
        .values(
            document_id=document_id,
            sha256=sha256,
            media_type=new.media_type,
            size_bytes=len(new.original),
            original=new.original,
        )
        .on_conflict_do_update(
            index_elements=["document_id", "sha256"], set_={"media_type": new.media_type}
        )
        .returning(RevisionRow.id)
    )
    revision_id = (await connection.execute(revision)).scalar_one()
    await connection.execute(
        update(DocumentRow).where(DocumentRow.id == document_id).values(revision_id=revision_id)
    )
    return document_id


_AFRESH: dict[str, Any] = {
    "state": State.WAITING,
    "error": "",
    "done": 0,
    "total": 0,
    "attempts": 0,
    "taken_at": None,
    "next_at": None,
    "updated_at": func.now(),
}


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

    One whose workers died every time is given up here.
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
            .values({**_AFRESH, "state": State.READING, "attempts": attempts + 1})
            .values(taken_at=func.clock_timestamp())
            .returning(d.taken_at)
        )
        row = (
            await connection.execute(
                select(
                    *(d.id, d.knowledge_base_id.label("base_id"), d.name, d.language),
                    KnowledgeBaseRow.name.label("base"),
                    *(d.tags, d.revision_id, r.original, r.media_type, d.attempts),
                )
                .join(r, r.id == d.revision_id)
                .join(KnowledgeBaseRow, KnowledgeBaseRow.id == d.knowledge_base_id)
                .where(d.id == document_id)
            )
        ).one()
    fields: dict[str, Any] = {**row._mapping, "tags": tuple(row.tags), "lease": lease}
    return Taken(**fields)


_DIED = "The process that read it died each time; the document may be too much for this machine."


async def _forget_staged(connection: AsyncConnection, document_id: int) -> None:
    """Passages of the document that are stored and were not published."""
    p = PassageRow
    revisions = select(RevisionRow.id).where(RevisionRow.document_id == document_id)
    await connection.execute(
        delete(p).where(p.revision_id.in_(revisions), p.since_version.is_(None))
    )


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
            await _forget_staged(connection, taken.id)
        return bool(ended.rowcount)


async def retry(engine: AsyncEngine, base: str, names: Sequence[str] = ()) -> list[int]:
    """Take up again what failed or was refused: the documents named, or all of the base's."""
    d = DocumentRow
    statement = (
        update(d)
        .where(
            d.knowledge_base_id == _base_id(base),
            d.state.in_((State.FAILED, State.REFUSED)),
            d.name.in_(names) if names else literal(True),
        )
        .values(_AFRESH)
        .returning(d.id)
    )
    async with engine.begin() as connection:
        return list((await connection.execute(statement)).scalars())


async def remove(engine: AsyncEngine, base: str, names: Sequence[str]) -> list[str]:
    """Leave the documents out of the next version; returns those that were there."""
    d = DocumentRow
    async with engine.begin() as connection:
        removed = await connection.execute(
            update(d)
            .where(
                d.knowledge_base_id == _base_id(base),
                d.name.in_(names),
                d.state != State.REMOVED,
            )
            .values({**_AFRESH, "state": State.REMOVED})
            .returning(d.id, d.name)
        )
        rows = removed.all()
        for row in rows:
            await _forget_staged(connection, row.id)
    return [row.name for row in rows]


def _base_id(base: str) -> Any:
    return select(KnowledgeBaseRow.id).where(KnowledgeBaseRow.name == base).scalar_subquery()
