"""The passages in force that a document's next version keeps: their rows, vectors and places stay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.store.ordering import arranged

SAME = """
  (o.knowledge_base_id, o.document, o.heading, o.text, o.language, o.tags)
  = (s.knowledge_base_id, s.document, s.heading, s.text, s.language, s.tags)
  AND o.page IS NOT DISTINCT FROM s.page
  AND o.since_version IS NOT NULL AND o.until_version IS NULL AND o.embedding IS NOT NULL"""
"""Of a stored passage ``s`` and one in force ``o`` that nobody could tell apart."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a version has of the one before, and where the rest goes."""

    ids: Sequence[int]
    """Passages in force that stay."""
    places: Mapping[int, float]
    """Id of a stored passage → its place among them; others have the one that they were stored with."""


@dataclass(slots=True)
class _Document:
    """The passages of one document, by their number in it."""

    stored: dict[int, int]
    """→ id of the passage as it was stored now."""
    pairs: dict[int, tuple[int, float]]
    """→ id and place of the one in force that is the same."""


async def keep_unchanged(
    connection: AsyncConnection, base_id: int, ready: Mapping[int, str]
) -> Kept:
    """Give up what was stored of these documents (id → name) where the same is in force already."""
    ids: list[int] = []
    twins: list[int] = []
    moved: list[tuple[int, int]] = []
    places: dict[int, float] = {}
    for document in await _documents(connection, base_id, ready):
        kept = {number: place for number, (_, place) in document.pairs.items()}
        fresh, anew = arranged(len(document.stored), kept)
        places |= {document.stored[number]: place for number, place in fresh.items()}
        for number, (old, _) in document.pairs.items():
            twin = document.stored[number]
            if number in anew:
                moved.append((old, twin))
            else:
                ids.append(old)
                twins.append(twin)
    if moved:
        columns = {"old": [old for old, _ in moved], "new": [new for _, new in moved]}
        await connection.execute(_MOVE, columns)
    await connection.execute(text("DELETE FROM passages WHERE id = ANY(:ids)"), {"ids": twins})
    # a second copy of a text, of which one is in force: the vector is there, the row is not
    await connection.execute(_FILL, {"ready": list(ready)})
    return Kept(ids, places)


async def begin(
    connection: AsyncConnection, ready: Mapping[int, str], kept: Kept, version: int
) -> None:
    """Assign what is stored of the documents, each passage in its place, to ``version``."""
    places = {"ids": list(kept.places), "places": list(kept.places.values())}
    await connection.execute(_BEGIN, {"version": version, "ready": list(ready), **places})


async def _documents(
    connection: AsyncConnection, base_id: int, ready: Mapping[int, str]
) -> list[_Document]:
    """The documents that have something in common with what is in force of them."""
    parameters = {"ready": list(ready), "base": base_id, "names": list(ready.values())}
    pairs: dict[str, dict[int, tuple[int, float]]] = defaultdict(dict)
    for row in await connection.execute(_PAIRS, parameters):
        pairs[row.document][row.new] = (row.old, row.place)
    stored: dict[str, list[int]] = defaultdict(list)
    if pairs:
        names = {"ready": list(ready), "names": list(pairs)}
        for row in await connection.execute(_STORED, names):
            stored[row.document].append(row.id)
    return [
        _Document(
            dict(enumerate(ids)),
            {n: pairs[name][key] for n, key in enumerate(ids) if key in pairs[name]},
        )
        for name, ids in stored.items()
    ]


# Texts that stand in a document twice are paired one to one.
_PAIRS = text(
    """
WITH s AS (
  SELECT p.*, row_number() OVER (PARTITION BY document, heading, text, page, p.language, p.tags
    ORDER BY position) AS nth
  FROM passages p JOIN documents d ON d.revision_id = p.revision_id
  WHERE d.id = ANY(:ready) AND p.since_version IS NULL),
o AS (
  SELECT p.*, row_number() OVER (PARTITION BY document, heading, text, page, language, tags
    ORDER BY position) AS nth
  FROM passages p
  WHERE knowledge_base_id = :base AND document = ANY(:names) AND since_version IS NOT NULL
    AND until_version IS NULL AND embedding IS NOT NULL)
SELECT s.document, o.id AS old, o.position AS place, s.id AS new FROM s JOIN o
  ON (o.document, o.heading, o.text, o.language, o.tags, o.nth)
   = (s.document, s.heading, s.text, s.language, s.tags, s.nth)
  AND o.page IS NOT DISTINCT FROM s.page
"""
)
_STORED = text(
    """
SELECT p.document, p.id FROM passages p JOIN documents d ON d.revision_id = p.revision_id
WHERE d.id = ANY(:ready) AND p.since_version IS NULL AND p.document = ANY(:names)
ORDER BY p.document, p.position
"""
)
# the same passage at another place: a new row, with the vector that it has and what a person allowed
_MOVE = text(
    """
UPDATE passages s SET embedding = o.embedding, suspicious = s.suspicious AND o.suspicious
FROM unnest(CAST(:old AS bigint[]), CAST(:new AS bigint[])) moved (old, new)
  JOIN passages o ON o.id = moved.old
WHERE s.id = moved.new
"""
)
_FILL = text(
    f"""
UPDATE passages s SET embedding = o.embedding FROM passages o, documents d
WHERE d.id = ANY(:ready) AND s.revision_id = d.revision_id AND s.since_version IS NULL
  AND s.embedding IS NULL AND {SAME}
"""
)
_BEGIN = text(
    """
UPDATE passages p SET since_version = :version, position = coalesce(placed.place, p.position)
FROM passages s JOIN documents d ON d.revision_id = s.revision_id
  LEFT JOIN unnest(CAST(:ids AS bigint[]), CAST(:places AS float8[])) placed (id, place)
    ON placed.id = s.id
WHERE d.id = ANY(:ready) AND s.since_version IS NULL AND p.id = s.id
"""
)
