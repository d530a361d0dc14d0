"""Passages on their way into a version: written many at a time, in no version until published."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray
from psycopg import AsyncConnection as Driver
from sqlalchemy.ext.asyncio import AsyncConnection

Floats = Sequence[float] | NDArray[np.float32]
Key = tuple[str, str]
"""Heading and text: what a vector is made of."""
LONGEST_LEXEME_BYTES = 2046
"""Of a word in a tsvector; longer ones are no words."""
MOST_TERMS_BYTES = 1_000_000
"""A tsvector holds 1 MiB."""

_COPY = (
    "COPY passages (knowledge_base_id, revision_id, since_version, document, page, heading,"
    " position, text, language, tags, suspicious, embedding, terms) FROM STDIN"
)


@dataclass(frozen=True, slots=True)
class NewPassage:
    """A passage to store, with its unit-length vector and its words as ``knowledge.words`` has them.

    ``vector`` None: the passage in force with the same heading and text has it, and is kept.
    """

    document: str
    heading: str
    position: int
    text: str
    vector: Floats | None
    terms: Sequence[str] = ()
    page: int | None = None
    language: str = ""
    tags: Sequence[str] = ()
    suspicious: bool = False


async def write_passages(
    connection: AsyncConnection,
    base: int,
    passages: Iterable[NewPassage],
    *,
    language: str,
    revision: int | None = None,
    since: int | None = None,
) -> None:
    """Store ``passages`` of the base with id ``base`` by one COPY, in the transaction under way.

    ``language``: BCP 47, of those that do not say theirs. ``since`` None: they are part of no
    version yet, and no search sees them.
    """
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    assert isinstance(driver, Driver)
    async with driver.cursor() as cursor, cursor.copy(_COPY) as copy:
        for p in passages:
            vector = None if p.vector is None else vector_text(p.vector)
            await copy.write_row(
                (
                    *(base, revision, since, p.document, p.page, p.heading, p.position, p.text),
                    *(p.language or language, list(p.tags), p.suspicious, vector, _terms(p.terms)),
                )
            )


def vector_text(vector: Floats) -> str:
    """As pgvector reads it, in the few digits that a 4-byte float has."""
    values = np.asarray(vector, np.float32)
    return orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def _terms(words: Sequence[str]) -> str:
    """A tsvector without places, as Postgres reads it: each word once, quoted."""
    found, size = [], 0
    for word in dict.fromkeys(words):
        length = len(word.encode())
        if length > LONGEST_LEXEME_BYTES or not word:
            continue
        size += length + 8
        if size > MOST_TERMS_BYTES:
            break
        escaped = word.replace("\\", "\\\\").replace("'", "''")
        found.append(f"'{escaped}'")
    return " ".join(found)
