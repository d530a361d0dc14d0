"""The SQL of passages: those of one version, read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.store.knowledge_models import KnowledgeBaseRow, PassageRow

READ_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """One passage of one version; ``language`` as BCP 47."""

    id: str
    document: str
    heading: str
    text: str
    language: str
    page: int | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """What a search looks through: one version of a base, all of it or a part."""

    knowledge: str
    version: int
    tags: tuple[str, ...] = ()
    """Documents with one of them; empty: all."""
    languages: tuple[str, ...] = ()
    """BCP 47 primary subtags; empty: all."""


async def version_of(engine: AsyncEngine, name: str) -> int:
    """The version of the knowledge base that is in force; 0 when there is none."""
    b = KnowledgeBaseRow
    query = select(b.version).where(b.name == name, b.dropped_at.is_(None))
    async with engine.connect() as connection:
        return (await connection.scalar(query)) or 0


def standing() -> ColumnElement[bool]:
    """Whether a passage is part of the latest version, in force or prepared."""
    return and_(PassageRow.since_version.is_not(None), PassageRow.until_version.is_(None))


def _in_force(version: int) -> ColumnElement[bool]:
    p = PassageRow
    return and_(
        p.since_version <= version, or_(p.until_version.is_(None), p.until_version > version)
    )


def _of_version(name: str, version: int) -> tuple[ColumnElement[bool], ...]:
    return KnowledgeBaseRow.name == name, _in_force(version), ~PassageRow.suspicious


def _reading(name: str, version: int) -> Select[*tuple[Any, ...]]:
    p = PassageRow
    return (
        select(p.id, p.document, p.heading, p.text, p.language, p.page, p.tags)
        .join(KnowledgeBaseRow, KnowledgeBaseRow.id == p.knowledge_base_id)
        .where(*_of_version(name, version))
        .order_by(p.document, p.position)
    )


def _stored(row: Any) -> StoredPassage:
    number, document, heading, text, language, page, tags = row
    return StoredPassage(str(number), document, heading, text, language, page, tuple(tags))


async def read(engine: AsyncEngine, name: str, version: int) -> list[StoredPassage]:
    """All passages of one version, in the order of their documents."""
    async with engine.connect() as connection:
        rows = await connection.execute(_reading(name, version))
        return [_stored(row) for row in rows]


def read_in_turn(engine: Engine, name: str, version: int) -> Iterator[StoredPassage]:
    """As :func:`read`, a few at a time: of a version too large to be held as objects."""
    with engine.connect() as connection:
        streaming = connection.execution_options(stream_results=True, yield_per=READ_AT_ONCE)
        for row in streaming.execute(_reading(name, version)):
            yield _stored(row)


async def stamp_of(engine: AsyncEngine, name: str, version: int) -> tuple[int, str]:
    """How many passages a version has, and a mark that tells their content from any other."""
    p = PassageRow
    content = func.concat_ws(
        "\x1f", p.document, p.heading, p.text, p.language, p.page, func.array_to_string(p.tags, ",")
    )
    query = (
        select(func.count(), func.coalesce(func.sum(func.hashtextextended(content, p.id)), 0))
        .join(KnowledgeBaseRow, KnowledgeBaseRow.id == p.knowledge_base_id)
        .where(*_of_version(name, version))
    )
    async with engine.connect() as connection:
        count, total = (await connection.execute(query)).one()
        return int(count), f"{count}.{int(total)}"
