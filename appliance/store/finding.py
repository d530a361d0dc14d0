"""The SQL of searches: passages found by meaning and by words, fused, in one round trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
from psycopg import sql

from appliance.store.knowledge_models import EMBEDDING_DIMENSIONS
from appliance.store.lanes import Driver
from appliance.store.passages import Scope, StoredPassage

RRF_K = 60
"""Reciprocal rank fusion: 1 / (k + rank), summed; k as in Cormack et al., SIGIR 2009."""
CANDIDATES = 20
"""Of each of the two lists."""
EXACT_MOST = 4000
"""Up to so many passages in a scope each one's distance is computed (4 ms); of more, those that the
base's HNSW index leads to."""
DRAWN_MOST = 1500
"""Passages weighed by their words; which ones, the rarest words of the question say."""
RARE_MOST = 600
"""So many passages may hold the words that draw; always the rarest word does."""
MOST_WORDS = 10
"""Of a question, the rarest; each number of words has a statement."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a scope is searched; true for as long as the version exists."""

    base: int
    embedder: str
    """Whose vectors the version has; empty: not known."""
    approximate: bool
    """By the base's HNSW index; else every passage's distance is computed."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What the words of one version weigh, as far as it is known."""

    held_by: Mapping[str, int] = field(default_factory=dict)
    """Word → how many passages hold it; empty: not known, then all weigh the same."""
    idf: Mapping[str, float] = field(default_factory=dict)
    mean_words: float = 0.0
    """Different words of a passage, the mean; 0: not known, then length counts for nothing."""


@dataclass(frozen=True, slots=True)
class Found:
    """A passage with its place in either list (from 1; None: not in it)."""

    passage: StoredPassage
    similarity: float | None
    """Cosine of question and passage, -1 to 1; None when the search had no vector."""
    dense_rank: int | None
    sparse_rank: int | None
    fused: float


_PLAN = """
SELECT b.id, coalesce(v.embedder, ''), (SELECT count(*) FROM (
    SELECT FROM passages WHERE knowledge_base_id = b.id AND {version} AND {filters}
    LIMIT {most}) counted)
FROM knowledge_bases b LEFT JOIN knowledge_versions v
  ON v.knowledge_base_id = b.id AND v.version = %(version)s::integer
WHERE b.name = %(name)s AND b.version >= %(version)s::integer
"""
_DENSE = """
dense AS (
  SELECT id, row_number() OVER (ORDER BY distance, id) AS rank FROM (
    SELECT id, embedding <=> %(vector)s::vector AS distance FROM passages
    WHERE {scope} AND embedding IS NOT NULL
    ORDER BY {order} LIMIT {candidates}) nearest)
"""
_NO_DENSE = "dense AS (SELECT 0::bigint AS id, 0::bigint AS rank WHERE false)"
NEAREST_TO = f"embedding::halfvec({EMBEDDING_DIMENSIONS})"
"""What a large base's index of vectors is over, see ``store.baseindex``."""
_NEAREST = f"{NEAREST_TO} <=> %(vector)s::vector::halfvec({EMBEDDING_DIMENSIONS})"
_EVERY = "(embedding <=> %(vector)s::vector) + 0"
"""A sum is no order that an index has: all distances are computed, whatever the planner thinks."""
_SPARSE = """
sparse AS (
  SELECT id, row_number() OVER (ORDER BY weight DESC, id) AS rank FROM (
    SELECT id, ({weight}) / (0.6 + 0.4 * least(length(terms) * %(per_word)s::float4, 4)) AS weight
    FROM (SELECT id, terms FROM passages
      WHERE {scope} AND terms @@ %(draw)s::tsquery
      LIMIT {drawn}) drawn
    ORDER BY weight DESC, id LIMIT {candidates}) matching)
"""
_NO_SPARSE = "sparse AS (SELECT 0::bigint AS id, 0::bigint AS rank WHERE false)"
_FUSED = """
WITH {dense}, {sparse},
fused AS (
  SELECT id, dense.rank AS dense_rank, sparse.rank AS sparse_rank,
    coalesce(1.0 / ({k} + dense.rank), 0) + coalesce(1.0 / ({k} + sparse.rank), 0) AS fused
  FROM dense FULL JOIN sparse USING (id)
  ORDER BY fused DESC, dense_rank, id LIMIT %(limit)s::integer)
SELECT p.id::text, p.document, p.heading, p.text, p.language, p.page, p.tags,
  {similarity}, f.dense_rank, f.sparse_rank, f.fused::float8
FROM fused f JOIN passages p USING (id) ORDER BY f.fused DESC, f.dense_rank, p.id
"""


_VERSION = (
    "since_version <= %(version)s::integer"
    " AND (until_version IS NULL OR until_version > %(version)s::integer) AND NOT suspicious"
)


def own_passages(base: int) -> str:
    """The passages of a large base, as its indexes have it."""
    return f"knowledge_base_id + 0 = {int(base)}"


def _in_scope(base: int, filters: str, *, by_index: bool) -> str:
    """Which passages are looked at; ``by_index``: through the base's own indexes and no other."""
    if by_index:
        version = _VERSION.replace("since_version <=", "since_version + 0 <=")
        return f"{own_passages(base)} AND {version} AND {filters}"
    return f"knowledge_base_id = {int(base)} AND {_VERSION} AND {filters}"


def filters_sql(scope: Scope) -> str:
    """The tags and languages of a scope as a condition.

    They stand in it as literals, for a plan that is made once must know them.
    """
    conditions = ["true"]
    if scope.tags:
        conditions.append(f"tags && {_texts(scope.tags)}")
    if scope.languages:
        conditions.append(f"split_part(language, '-', 1) = ANY ({_texts(scope.languages)})")
    return " AND ".join(conditions)


def _texts(texts: Sequence[str]) -> str:
    values = ", ".join(sql.Literal(text.replace("\0", "")).as_string() for text in texts)
    return f"ARRAY[{values}]::text[]".replace("%", "%%")


async def plan_of(connection: Driver, scope: Scope) -> Plan | None:
    """How ``scope`` is to be searched; None when there is no such version (yet)."""
    query = _PLAN.format(version=_VERSION, filters=filters_sql(scope), most=EXACT_MOST + 1)
    cursor = await connection.execute(query, {"name": scope.knowledge, "version": scope.version})
    row = await cursor.fetchone()
    return Plan(row[0], row[1], row[2] > EXACT_MOST) if row else None


async def find(
    connection: Driver,
    plan: Plan,
    scope: Scope,
    words: Sequence[str],
    weights: Weights,
    vector: Sequence[float] | None,
    limit: int,
) -> list[Found]:
    """The best ``limit`` passages for a question, fused from both lists; ``vector`` None: by words
    alone; no ``words``: by meaning alone."""
    asked = _rarest(words, weights)
    query = _statement(
        plan.base, filters_sql(scope), plan.approximate, vector is not None, len(asked)
    )
    parameters: dict[str, Any] = {"version": scope.version, "limit": limit}
    if vector is not None:
        values = np.asarray(vector, np.float32)
        parameters["vector"] = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    if asked:
        parameters["draw"] = " | ".join(_lexeme(word) for word in _drawing(asked, weights))
        parameters["per_word"] = 1 / weights.mean_words if weights.mean_words else 0.0
        for place, word in enumerate(asked):
            parameters[f"word{place}"] = _lexeme(word)
            parameters[f"idf{place}"] = weights.idf.get(word, 1.0)
    cursor = await connection.execute(query, parameters)
    return [_found(row) for row in await cursor.fetchall()]


@lru_cache(maxsize=512)
def _statement(base: int, filters: str, approximate: bool, dense: bool, words: int) -> str:
    scope = _in_scope(base, filters, by_index=approximate)
    common = {"scope": scope, "candidates": CANDIDATES}
    weight = " + ".join(
        f"%(idf{n})s::float4 * (terms @@ %(word{n})s::tsquery)::integer" for n in range(words)
    )
    return _FUSED.format(
        k=RRF_K,
        dense=_DENSE.format(order=_NEAREST if approximate else _EVERY, **common)
        if dense
        else _NO_DENSE,
        sparse=_SPARSE.format(weight=weight, drawn=DRAWN_MOST, **common) if words else _NO_SPARSE,
        similarity="1 - (p.embedding <=> %(vector)s::vector)" if dense else "NULL::float8",
    )


def _rarest(words: Sequence[str], weights: Weights) -> list[str]:
    """The question's words, the rarest first; those that stand nowhere are left out."""
    different = list(dict.fromkeys(words))
    if weights.held_by:
        different = [word for word in different if weights.held_by.get(word)]
        different.sort(key=lambda word: weights.held_by[word])
    return different[:MOST_WORDS]


def _drawing(asked: Sequence[str], weights: Weights) -> list[str]:
    """Those of the words (rarest first) by which passages are drawn to be weighed."""
    drawing, held = [asked[0]], weights.held_by.get(asked[0], 0)
    for word in asked[1:]:
        held += weights.held_by.get(word, 0)
        if held > RARE_MOST:
            break
        drawing.append(word)
    return drawing


def _lexeme(term: str) -> str:
    """A word as a tsquery writes it, whatever it holds."""
    escaped = term.replace("\\", "\\\\").replace("'", "''").replace("\0", "")
    return f"'{escaped}'"


def _found(row: tuple[Any, ...]) -> Found:
    number, document, heading, text, language, page, tags = row[:7]
    passage = StoredPassage(number, document, heading, text, language, page, tuple(tags))
    return Found(passage, *row[7:])
