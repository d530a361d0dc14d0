"""What the console shows of bases, and of one document: within a tenant, by number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.store.documents import State, check_names, lock_base
from appliance.store.knowledge_models import DocumentRow, KnowledgeBaseRow, RevisionRow
from appliance.store.tenancy import visible_bases


@dataclass(frozen=True, slots=True)
class BaseUser:
    """An agent that answers from a base."""

    agent_id: str
    name: str
    published: bool
    """False: only its draft does."""


@dataclass(frozen=True, slots=True)
class BaseFacts:
    """One knowledge base, and how it stands."""

    id: int
    name: str
    tenant: str
    version: int
    published_at: datetime | None
    embedder: str
    documents: Mapping[str, int]
    """State -> how many documents are in it; those removed are left out."""
    size_bytes: int
    """Of the originals of its documents."""
    passages: int
    """In force."""
    suspicious: int
    """Of them, kept out of searches until somebody allows them."""
    users: tuple[BaseUser, ...]


@dataclass(frozen=True, slots=True)
class BaseKey:
    """Which base is meant."""

    id: int
    name: str
    tenant: str
    version: int


@dataclass(frozen=True, slots=True)
class PassageView:
    """A passage of a document as a person reads it."""

    id: int
    page: int | None
    heading: str
    text: str
    language: str
    tags: tuple[str, ...]
    suspicious: bool
    in_force: bool
    """False: it will be, with the next version."""


@dataclass(frozen=True, slots=True)
class Original:
    """A document as it was given."""

    name: str
    media_type: str
    content: bytes


async def list_bases_of(
    engine: AsyncEngine, tenant: str | None, base_id: int = 0
) -> list[BaseFacts]:
    """The bases of a tenant (None: of all) by name, or the one of that number."""
    parameters = {"tenant": tenant, "base": base_id}
    async with engine.connect() as connection:
        rows = (await connection.execute(_BASES, parameters)).mappings().all()
        users = await _users(connection, [row["name"] for row in rows])
    return [BaseFacts(**row, users=tuple(users.get(row["name"], ()))) for row in rows]


async def find_base(engine: AsyncEngine, base_id: int, tenant: str | None) -> BaseKey | None:
    """The base of that number, if it is one of the tenant's and was not dropped."""
    b = KnowledgeBaseRow
    query = select(b.id, b.name, b.tenant, b.version).where(
        b.id == base_id, b.dropped_at.is_(None), visible_bases(tenant)
    )
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    return BaseKey(*row) if row else None


async def find_base_named(engine: AsyncEngine, name: str, tenant: str | None) -> BaseKey | None:
    """As :func:`find_base`, by its name."""
    b = KnowledgeBaseRow
    query = select(b.id, b.name, b.tenant, b.version).where(
        b.name == name, b.dropped_at.is_(None), visible_bases(tenant)
    )
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    return BaseKey(*row) if row else None


async def create_base(connection: AsyncConnection, name: str, tenant: str) -> tuple[int, bool]:
    """The number of a base of that name for ``tenant``, and whether it was made just now.

    Raises UserError: a name that will not do or is taken, no such tenant, it is being dropped.
    """
    check_names(name)
    query = select(KnowledgeBaseRow.id).where(
        KnowledgeBaseRow.name == name, KnowledgeBaseRow.dropped_at.is_(None)
    )
    known = (await connection.execute(query)).scalar_one_or_none() is not None
    return await lock_base(connection, name, tenant=tenant), not known


async def _users(connection: AsyncConnection, names: Sequence[str]) -> dict[str, list[BaseUser]]:
    found: dict[str, list[BaseUser]] = {}
    for row in await connection.execute(_USERS, {"names": list(names)}):
        found.setdefault(row.base, []).append(BaseUser(row.id, row.name, row.published))
    return found


async def passages_of(
    engine: AsyncEngine,
    base_id: int,
    document: str,
    *,
    suspicious_only: bool = False,
    limit: int = 50,
    offset: int = 0,
) -> tuple[list[PassageView], int]:
    """Passages of a document in their order, and how many there are: those of the latest version, and
    those that the next one will have."""
    parameters = {
        "base": base_id,
        "document": document,
        "suspicious": suspicious_only,
        "limit": limit,
        "offset": offset,
    }
    async with engine.connect() as connection:
        total = int(await connection.scalar(_PASSAGE_COUNT, parameters) or 0)
        rows = await connection.execute(_PASSAGES, parameters)
        return [_passage(row) for row in rows], total


def _passage(row: Any) -> PassageView:
    return PassageView(
        row.id, row.page, row.heading, row.text, row.language, tuple(row.tags), row.suspicious,
        row.in_force,
    )  # fmt: skip


async def suspicious_passage_of(
    engine: AsyncEngine, base_id: int, passage_id: int
) -> tuple[str, int] | None:
    """The document and page of a suspicious passage of this base; None: there is none."""
    async with engine.connect() as connection:
        row = (
            await connection.execute(_SUSPICIOUS, {"base": base_id, "passage": passage_id})
        ).one_or_none()
    return (row.document, row.page or 0) if row else None


async def original_of(engine: AsyncEngine, base_id: int, document_id: int) -> Original | None:
    """A document as it was last given; None: there is none."""
    query = (
        select(DocumentRow.name, RevisionRow.media_type, RevisionRow.original)
        .join(RevisionRow, RevisionRow.id == DocumentRow.revision_id)
        .where(
            DocumentRow.id == document_id,
            DocumentRow.knowledge_base_id == base_id,
            DocumentRow.state != State.REMOVED,
        )
    )
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    return Original(row.name, row.media_type, row.original) if row else None


async def progress_stamp(engine: AsyncEngine, base_id: int) -> tuple[str, bool]:
    """What changes whenever a document of the base gets further, and whether one still will."""
    async with engine.connect() as connection:
        row = (await connection.execute(_STAMP, {"base": base_id})).one()
    return row.stamp, row.open


_BASES = text(
    """
SELECT b.id, b.name, b.tenant, b.version, b.published_at, b.embedder,
  coalesce((SELECT jsonb_object_agg(state, n) FROM (
    SELECT state, count(*) AS n FROM documents
    WHERE knowledge_base_id = b.id AND state <> 'removed' GROUP BY state) counted), '{}')
    AS documents,
  coalesce((SELECT sum(r.size_bytes) FROM documents d JOIN document_revisions r
    ON r.id = d.revision_id WHERE d.knowledge_base_id = b.id AND d.state <> 'removed'), 0)::bigint
    AS size_bytes,
  p.passages, p.suspicious
FROM knowledge_bases b CROSS JOIN LATERAL (
  SELECT count(*)::integer AS passages, (count(*) FILTER (WHERE suspicious))::integer AS suspicious
  FROM passages WHERE knowledge_base_id = b.id
    AND since_version IS NOT NULL AND until_version IS NULL) p
WHERE b.dropped_at IS NULL AND (CAST(:tenant AS text) IS NULL OR b.tenant = :tenant)
  AND (:base = 0 OR b.id = :base)
ORDER BY b.name
"""
)
# an agent of another tenant that names the base answers nothing from it
_USERS = text(
    """
SELECT b.name AS base, a.id, a.name, bool_or(u.published) AS published
FROM knowledge_bases b JOIN agents a ON a.tenant = b.tenant
CROSS JOIN LATERAL (
  (SELECT config, true AS published FROM agent_versions
   WHERE agent_id = a.id ORDER BY version DESC LIMIT 1)
  UNION ALL SELECT config, false FROM agent_drafts WHERE agent_id = a.id) u
WHERE b.name = ANY(:names) AND u.config->>'knowledge' = b.name
GROUP BY b.name, a.id, a.name ORDER BY a.name, a.id
"""
)
_PASSAGE_COUNT = text(
    """
SELECT count(*) FROM passages WHERE knowledge_base_id = :base AND document = :document
  AND until_version IS NULL AND (NOT :suspicious OR suspicious)
"""
)
_PASSAGES = text(
    """
SELECT id, page, heading, text, language, tags, suspicious, since_version IS NOT NULL AS in_force
FROM passages WHERE knowledge_base_id = :base AND document = :document
  AND until_version IS NULL AND (NOT :suspicious OR suspicious)
ORDER BY position, id LIMIT :limit OFFSET :offset
"""
)
_SUSPICIOUS = text(
    """
SELECT document, page FROM passages
WHERE knowledge_base_id = :base AND id = :passage AND suspicious AND until_version IS NULL
"""
)
_STAMP = text(
    """
SELECT b.version || coalesce(md5(string_agg(
    d.id || d.state || d.done || d.total || d.error || d.source_error, ',' ORDER BY d.id)), '')
    AS stamp,
  coalesce(bool_or(d.state IN ('waiting', 'reading', 'embedding', 'ready')
    OR (d.state = 'failed' AND d.next_at IS NOT NULL)), false) AS open
FROM knowledge_bases b LEFT JOIN documents d ON d.knowledge_base_id = b.id
WHERE b.id = :base GROUP BY b.id
"""
)
