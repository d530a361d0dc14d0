"""Searches where a large base and small ones share a table: each finds its own, by its own filters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.knowledge.memory import Memory
from appliance.knowledge.words import content_words
from appliance.store import baseindex, documents, finding, leases, publishing, revisions
from appliance.store.baseindex import drop_orphans, index_base
from appliance.store.documents import NewDocument
from appliance.store.finding import CANDIDATES, Found, Weights, find, plan_of
from appliance.store.lanes import Driver, Lanes
from appliance.store.passages import Scope, read
from appliance.store.staging import NewPassage
from tests.versions_kit import add_version

MANY = 1200
EXACT = 300
"""In place of EXACT_MOST, so that a base of 1 200 is a large one."""
WORDS = "fee router plan speed cable bill refund modem signal tower account number".split()

pytestmark = pytest.mark.server


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


CHANCE = np.random.default_rng(5)
VECTORS = unit(CHANCE.normal(size=(MANY, 384)).astype(np.float32))
TEXTS = [f"{WORDS[n % 12]} {WORDS[n // 12 % 12]} item{n}" for n in range(MANY)]


def passage(number: int, **more: object) -> NewPassage:
    words = content_words(TEXTS[number])
    return NewPassage("d", "", number, TEXTS[number], VECTORS[number], words, **more)  # type: ignore[arg-type]


@pytest.fixture
async def lanes(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lanes]:
    """Two bases: ``big`` with its indexes, and ``small`` that is nearest to nothing."""
    monkeypatch.setattr(finding, "EXACT_MOST", EXACT)
    monkeypatch.setattr(baseindex, "EXACT_MOST", EXACT)
    rows = [
        passage(
            n,
            tags=("rare",) if n % 100 == 0 else ("half",) if n % 2 else (),
            language="hi-IN" if n % 3 == 0 else "en",
            suspicious=n == 7,
        )
        for n in range(MANY)
    ]
    await add_version(engine, "big", "en", rows)
    far = [NewPassage("s", "", n, f"small {TEXTS[n]}", -VECTORS[n], ["fee"]) for n in range(3)]
    await add_version(engine, "small", "en", far)
    assert await index_base(engine, "big") and not await index_base(engine, "small")
    async with engine.begin() as connection:
        await connection.execute(text("ANALYZE passages"))
    opened = Lanes(engine.url)
    yield opened
    await opened.close()


async def ask(
    lanes: Lanes,
    scope: Scope,
    words: Sequence[str] = (),
    vector: NDArray[np.float32] | None = None,
    limit: int = 5,
    weights: Weights | None = None,
) -> list[Found]:
    async def work(connection: Driver) -> list[Found]:
        plan = await plan_of(connection, scope)
        assert plan is not None
        given = None if vector is None else vector.tolist()
        return await find(connection, plan, scope, words, weights or Weights(), given, limit)

    return await lanes.run(work)


def numbers(found: Sequence[Found]) -> set[int]:
    return {int(hit.passage.text.rpartition("item")[2]) for hit in found}


async def test_the_index_leads_to_nearly_all_that_is_nearest(lanes: Lanes) -> None:
    found = nearest = 0
    for vector in unit(VECTORS[:40] + 0.03 * CHANCE.normal(size=(40, 384)).astype(np.float32)):
        hits = await ask(lanes, Scope("big", 1), (), vector, CANDIDATES)
        exact = set(np.argsort(-(VECTORS @ vector))[:CANDIDATES].tolist()) - {7}
        found += len(numbers(hits) & exact)
        nearest += len(exact)
        order = [hit.similarity for hit in hits if hit.similarity is not None]
        assert len(order) == len(hits) and order == sorted(order, reverse=True)
    assert found / nearest > 0.7  # chance vectors of 384 numbers are the hardest there are


async def test_both_indexes_are_used(lanes: Lanes, engine: AsyncEngine) -> None:
    for n in range(8):  # the plan for any values comes after some for given ones
        await ask(lanes, Scope("big", 1), ["item30"], VECTORS[n])
    await lanes.run(lambda connection: connection.execute("SELECT pg_stat_force_next_flush()"))
    query = text(
        "SELECT relname, idx_scan FROM pg_stat_user_indexes WHERE indexrelname ~ '^(hnsw|gin)_pass'"
    )
    for _ in range(100):
        async with engine.begin() as connection:
            used = [count for _, count in await connection.execute(query)]
        if used and min(used) > 0:
            break
        await asyncio.sleep(0.1)
    assert len(used) == 2 and min(used) > 0


async def test_a_small_base_finds_its_own_beside_a_large_one(lanes: Lanes) -> None:
    found = await ask(lanes, Scope("small", 1), ["fee"], VECTORS[0])
    assert len(found) == 3 and all(hit.passage.document == "s" for hit in found)
    assert all(hit.dense_rank and hit.sparse_rank for hit in found)


async def test_tags_languages_and_suspicion_narrow_a_large_base(lanes: Lanes) -> None:
    rare = await ask(lanes, Scope("big", 1, ("rare",)), ["router"], VECTORS[1], CANDIDATES)
    assert numbers(rare) == set(range(0, MANY, 100))  # 12: all of them, though none is near
    half = await ask(lanes, Scope("big", 1, ("half", "none")), ["fee"], VECTORS[2], CANDIDATES)
    assert len(half) == CANDIDATES and all(number % 2 for number in numbers(half))
    hindi = await ask(lanes, Scope("big", 1, languages=("hi",)), ["fee"], VECTORS[1], CANDIDATES)
    assert len(hindi) == CANDIDATES and all(number % 3 == 0 for number in numbers(hindi))
    assert await ask(lanes, Scope("big", 1, ("no such",)), ["fee"], VECTORS[0]) == []
    assert await ask(lanes, Scope("big", 1, ("%s' OR '1'='1",)), ["fee"], VECTORS[0]) == []
    assert 7 not in numbers(await ask(lanes, Scope("big", 1), content_words(TEXTS[7]), VECTORS[7]))


async def test_words_are_weighed_by_how_rare_they_are(lanes: Lanes, engine: AsyncEngine) -> None:
    memory = Memory(await read(engine, "big", 1))
    words = content_words("what is the fee of item30 and the router")
    found = await ask(lanes, Scope("big", 1), words, weights=memory.weights(words))
    assert numbers(found[:1]) == {30} and found[0].sparse_rank == 1
    nowhere = content_words("zebra")
    assert await ask(lanes, Scope("big", 1), nowhere, weights=memory.weights(nowhere)) == []


async def test_a_version_sees_what_was_in_force_then(lanes: Lanes, engine: AsyncEngine) -> None:
    await add_version(engine, "big", "en", [passage(n) for n in range(600, MANY)])
    old = await ask(lanes, Scope("big", 1), ["item5"], VECTORS[5])
    assert 5 in numbers(old)
    new = await ask(lanes, Scope("big", 2), ["item5"], VECTORS[5], CANDIDATES)
    assert len(new) == CANDIDATES and min(numbers(new)) >= 600


async def test_an_index_outlives_no_base_and_no_crash(lanes: Lanes, engine: AsyncEngine) -> None:
    names = text("SELECT indexname FROM pg_indexes WHERE indexname ~ '^(hnsw|gin)_passages_'")
    async with engine.begin() as connection:
        made = {name for (name,) in await connection.execute(names)}
        broken = next(name for name in made if name.startswith("gin"))
    assert len(made) == 2 and await drop_orphans(engine) == 0
    async with engine.begin() as connection:
        await connection.execute(text(f"DROP INDEX {broken}"))
    assert await index_base(engine, "big")
    async with engine.begin() as connection:
        assert {name for (name,) in await connection.execute(names)} == made
        await connection.execute(text("DELETE FROM knowledge_bases WHERE name = 'big'"))
    assert await drop_orphans(engine) == 2 and await drop_orphans(engine) == 0


async def test_what_is_in_no_version_is_in_no_index(lanes: Lanes, engine: AsyncEngine) -> None:
    """It would be indexed twice: when it is stored, and when it comes into force."""
    size = text("SELECT pg_relation_size(indexname::regclass) FROM pg_indexes WHERE indexname ~ :k")

    async def bytes_of(kind: str) -> int:
        async with engine.connect() as connection:
            return int(await connection.scalar(size, {"k": f"^{kind}_passages_"}) or 0)

    before = await bytes_of("hnsw"), await bytes_of("gin")
    added = await documents.add(engine, "big", NewDocument("new", b"new"))
    taken = await leases.take(engine, added.document_id)
    assert taken is not None
    rows = [
        NewPassage("new", "", n, f"{TEXTS[n]} new", -VECTORS[n], [f"new{n}"]) for n in range(200)
    ]
    lease = await revisions.stage(engine, taken, taken.lease, rows, model="", done=0, total=200)
    assert (await bytes_of("hnsw"), await bytes_of("gin")) == before
    await revisions.make_ready(engine, taken, lease)
    published = await publishing.publish(engine, "big")
    assert published is not None and published.added == 200
    assert await bytes_of("hnsw") > before[0] and await bytes_of("gin") > before[1]
    hits = await ask(lanes, Scope("big", 2), ["new5"], -VECTORS[5])
    assert hits[0].passage.text == f"{TEXTS[5]} new"
    assert (hits[0].dense_rank, hits[0].sparse_rank) == (1, 1)


async def test_a_lane_that_died_is_replaced(lanes: Lanes, engine: AsyncEngine) -> None:
    assert await ask(lanes, Scope("small", 1), ["fee"])
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname ="
                " current_database() AND application_name = 'ivr-search'"
            )
        )
    assert await ask(lanes, Scope("small", 1), ["fee"])
