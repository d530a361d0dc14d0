"""The SQL of documents: added, tried again, removed. Who reads them holds a lease: ``store.leases``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from sqlalchemy import ColumnElement, delete, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.errors import UserError
from appliance.store.access_models import MAIN_TENANT
from appliance.store.knowledge_models import (
    DocumentRow,
    KnowledgeBaseRow,
    KnowledgeVersionRow,
    PassageRow,
    RevisionRow,
)

MOST_NAME_CHARS = 500
URL = "^https?://"
"""What a source begins with, in letters of either case, that can be asked again."""


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


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document as somebody gives it."""

    name: str
    """File name or URL, as a citation says it."""
    original: bytes
    media_type: str = ""
    source: str = "upload"
    """Or the URL that it was read from, and is asked for again."""
    tags: tuple[str, ...] = ()
    language: str = ""
    """BCP 47; empty: found in its text."""
    added_by: str = ""
    etag: str = ""
    modified: str = ""
    """What the URL's server said of it: its ETag and Last-Modified headers."""


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a document that was given."""

    document_id: int
    name: str
    outcome: Literal["added", "changed", "unchanged"]


async def add(engine: AsyncEngine, base: str, new: NewDocument, tenant: str = "") -> Added:
    """Store a document, waiting to be read. The same again changes nothing (``unchanged``); one that
    failed, was refused or removed is taken up anew.

    ``tenant``: whose the base is, or is to be; empty: whoever's, and the main tenant's if it is new.

    Raises DuplicateDocumentError: the base has this content under another name; UserError: a name that
    is taken.
    """
    check_names(base, new.name)
    async with engine.begin() as connection:
        base_id = await lock_base(connection, base, tenant=tenant)
        return await add_in(connection, base_id, new)


def check_names(base: str, document: str = "-") -> None:
    """Raises UserError where one of the names is empty or too long."""
    if not base or len(base) > 100 or not base.isprintable():
        raise UserError("The name of a knowledge base has 1 to 100 printable characters.")
    if not document or len(document) > MOST_NAME_CHARS or not document.isprintable():
        raise UserError(
            f"The name of a document has 1 to {MOST_NAME_CHARS} printable characters; rename it."
        )


async def lock_base(
    connection: AsyncConnection, base: str, *, alone: bool = False, tenant: str = ""
) -> int:
    """The id of the base, made if it is not there; nobody else adds to it or publishes in this
    transaction. ``alone``: nor does anybody store passages of a document meanwhile, which one who
    publishes for minutes must not keep from doing so. ``tenant``: whose it is, or is to be; empty:
    whoever's.

    Raises UserError: it is being dropped, or another tenant's; there is no such tenant.
    """
    b = KnowledgeBaseRow
    made = insert(b).values(name=base, tenant=tenant or MAIN_TENANT).on_conflict_do_nothing()
    try:
        await connection.execute(made)
    except IntegrityError as e:
        raise UserError(f"There is no tenant {tenant!r}; `ivr tenants list` shows all.") from e
    query = select(b.id, b.tenant, b.dropped_at).where(b.name == base)
    query = query.with_for_update(key_share=not alone)
    row = (await connection.execute(query)).one()
    if tenant and row.tenant != tenant:  # whose it is, is nobody else's business
        raise UserError(f"The name {base} is taken; choose another.")
    if row.dropped_at is not None:
        if await connection.scalar(select(b.id).where(b.id == row.id, what_is_left())):
            raise UserError(
                f"{base} is being dropped; wait for `ivr knowledge drop {base}`, or run it again."
            )
        await connection.execute(update(b).where(b.id == row.id).values(dropped_at=None))
    return int(row.id)


def what_is_left() -> ColumnElement[bool]:
    """Whether there is anything of a base."""
    of = KnowledgeBaseRow.id
    tables = (PassageRow, DocumentRow, KnowledgeVersionRow)
    return or_(*(select(1).where(table.knowledge_base_id == of).exists() for table in tables))


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
            now_from = update(d).where(d.id == old.id).values(_source_of(new))
            await connection.execute(now_from)
            return Added(old.id, new.name, "unchanged")
    document_id = await _put(connection, base_id, new, sha256)
    return Added(document_id, new.name, "changed" if old else "added")


async def _put(connection: AsyncConnection, base_id: int, new: NewDocument, sha256: str) -> int:
    values: dict[str, Any] = {
        **_source_of(new),
        "tags": list(new.tags),
        "language": new.language,
        "added_by": new.added_by,
        **AFRESH,
    }
    document = (
        insert(DocumentRow)
        .values(knowledge_base_id=base_id, name=new.name, **values)
        .on_conflict_do_update(index_elements=["knowledge_base_id", "name"], set_=values)
        .returning(DocumentRow.id)
    )
    document_id = (await connection.execute(document)).scalar_one()
    await forget_staged(connection, document_id)
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


def is_url(source: str) -> bool:
    """Whether a document can be asked for again."""
    return bool(re.match(URL, source, re.IGNORECASE))


def _source_of(new: NewDocument) -> dict[str, Any]:
    return {
        "source": new.source,
        "etag": new.etag,
        "modified": new.modified,
        "asked_at": func.now() if is_url(new.source) else None,
        "source_error": "",
    }


AFRESH: dict[str, Any] = {
    "state": State.WAITING,
    "error": "",
    "done": 0,
    "total": 0,
    "attempts": 0,
    "taken_at": None,
    "next_at": None,
    "updated_at": func.now(),
}
"""A document that is to be read, as if it had never been."""


async def forget_staged(connection: AsyncConnection, document_id: int) -> None:
    """Passages of the document that are stored and were not published."""
    p = PassageRow
    revisions = select(RevisionRow.id).where(RevisionRow.document_id == document_id)
    await connection.execute(
        delete(p).where(p.revision_id.in_(revisions), p.since_version.is_(None))
    )


async def retry(engine: AsyncEngine, base: str, names: Sequence[str] = ()) -> list[int]:
    """Take up again what failed or was refused: the documents named, or all of the base's."""
    async with engine.begin() as connection:
        return await retry_in(connection, base, names)


async def retry_in(connection: AsyncConnection, base: str, names: Sequence[str] = ()) -> list[int]:
    """:func:`retry`, in a transaction of the caller's."""
    d = DocumentRow
    statement = (
        update(d)
        .where(
            d.knowledge_base_id == _base_id(base),
            d.state.in_((State.FAILED, State.REFUSED)),
            d.name.in_(names) if names else literal(True),
        )
        .values(AFRESH)
        .returning(d.id)
    )
    return list((await connection.execute(statement)).scalars())


async def remove(engine: AsyncEngine, base: str, names: Sequence[str]) -> list[str]:
    """Leave the documents out of the next version; returns those that were there."""
    async with engine.begin() as connection:
        return await remove_in(connection, base, names)


async def remove_in(connection: AsyncConnection, base: str, names: Sequence[str]) -> list[str]:
    """:func:`remove`, in a transaction of the caller's."""
    d = DocumentRow
    removed = await connection.execute(
        update(d)
        .where(
            d.knowledge_base_id == _base_id(base),
            d.name.in_(names),
            d.state != State.REMOVED,
        )
        .values({**AFRESH, "state": State.REMOVED})
        .returning(d.id, d.name)
    )
    rows = removed.all()
    for row in rows:
        await forget_staged(connection, row.id)
    return [row.name for row in rows]


def _base_id(base: str) -> Any:
    return select(KnowledgeBaseRow.id).where(KnowledgeBaseRow.name == base).scalar_subquery()
