"""A knowledge base taken away: refused while it is used, whole though killed, never mistaken later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError
from appliance.events import Agent, CallRecord
from appliance.jobs import documents as jobs
from appliance.knowledge import ingest
from appliance.knowledge.reading import ReadOptions
from appliance.knowledge.work import read_one
from appliance.settings import Settings
from appliance.store import baseindex, dropping, leases, publishing, revisions, versions
from appliance.store.agents import publish_agent
from appliance.store.document_views import list_bases
from appliance.store.documents import NewDocument
from appliance.store.dropping import Dropped, drop, finish_drops
from appliance.store.leases import LostDocumentError
from appliance.store.passages import read, version_of
from appliance.store.rows import upsert
from tests.letters import Letters

pytestmark = pytest.mark.server

TABLES = ("passages", "documents", "document_revisions", "knowledge_versions")


async def add(engine: AsyncEngine, base: str, *words: str) -> None:
    content = "# T\n\n" + "\n\n".join(f"{word} is a word." for word in words)
    await ingest.add(engine, base, NewDocument(f"{words[0]}.md", content.encode()))


async def fill(engine: AsyncEngine, base: str, *words: str) -> None:
    """Add a document of a paragraph for each word, read and in force."""
    await add(engine, base, *words)
    for document_id in await leases.due(engine):
        await read_one(engine, Letters(), ReadOptions(), document_id)
    await ingest.publish(engine, base)


async def counts(engine: AsyncEngine) -> dict[str, int]:
    async with engine.connect() as connection:
        return {
            table: await connection.scalar(text(f"SELECT count(*) FROM {table}"))
            for table in TABLES
        }


async def indexes(engine: AsyncEngine) -> int:
    query = "SELECT count(*) FROM pg_indexes WHERE indexname ~ '^(hnsw|gin)_passages_'"
    async with engine.connect() as connection:
        return int(await connection.scalar(text(query)) or 0)


async def names(engine: AsyncEngine) -> list[str]:
    return [base.name for base in await list_bases(engine)]


async def test_a_base_goes_with_all_it_has_and_no_other_does(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baseindex, "EXACT_MOST", 3)
    monkeypatch.setattr(dropping, "PASSAGES_AT_ONCE", 2)
    await fill(engine, "keep", "one")
    before = await counts(engine)
    await fill(engine, "kb", *"abcde")
    await fill(engine, "kb", *"fg")
    assert await indexes(engine) == 2
    told: list[int] = []
    assert await drop(engine, "kb", told.append) == Dropped("kb", 2, 7)
    assert told == [2, 4, 6, 7]
    assert await indexes(engine) == 0 and await counts(engine) == before
    assert await names(engine) == ["keep"] and len(await read(engine, "keep", 1)) == 1
    assert await versions.base_of(engine, "kb") is None and await version_of(engine, "kb") == 0
    for gone in ("kb", "never there"):
        with pytest.raises(UserError, match="There is no knowledge base"):
            await drop(engine, gone)


async def test_a_version_is_never_another_one(engine: AsyncEngine) -> None:
    """A worker that holds version 1 of the base that went, or its cached answers, is not wrong."""
    await fill(engine, "kb", "old")
    await drop(engine, "kb")
    await fill(engine, "kb", "new")
    assert await version_of(engine, "kb") == 2 and await read(engine, "kb", 1) == []
    assert [passage.text for passage in await read(engine, "kb", 2)] == ["new is a word."]
    assert [version.version for version in await versions.list_versions(engine, "kb")] == [2]
    assert await names(engine) == ["kb"]


async def test_what_agents_and_calls_answer_from_stays(engine: AsyncEngine) -> None:
    await fill(engine, "kb", "one")
    await fill(engine, "other", "two")
    asha = await publish_agent(engine, Agent("asha", 1, "Asha", knowledge="kb"))
    with pytest.raises(UserError, match="kb is what asha answers from"):
        await drop(engine, "kb")
    begun = datetime.now(UTC) - timedelta(minutes=2)
    call = CallRecord("c", "1001", "+919876543210", "asha", asha.version, "en", begun)
    async with engine.begin() as connection:
        await upsert(connection, [call])
    await publish_agent(engine, Agent("asha", 2, "Asha", knowledge="other"))
    with pytest.raises(UserError, match="let its calls end"):
        await drop(engine, "kb")
    assert len(await read(engine, "kb", 1)) == 1
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE calls SET ended_at = now()"))
    assert (await drop(engine, "kb")).passages == 1


async def test_killed_in_the_middle(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dropping, "PASSAGES_AT_ONCE", 2)
    await fill(engine, "kb", *"abcde")

    def die(erased: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await drop(engine, "kb", die)
    assert (await counts(engine))["passages"] == 3
    assert await names(engine) == [] and await version_of(engine, "kb") == 0
    assert await publishing.bases_to_publish(engine) == [] and await leases.due(engine) == []
    with pytest.raises(UserError, match="kb is being dropped"):
        await add(engine, "kb", "f")
    settings = Settings(data_dir=tmp_path)
    await jobs.prune(engine, settings)  # at night
    assert set((await counts(engine)).values()) == {0}
    assert await finish_drops(engine) == 0
    await fill(engine, "kb", "f")
    assert await version_of(engine, "kb") == 2


async def test_who_reads_a_document_of_it_stores_nothing_more(engine: AsyncEngine) -> None:
    await add(engine, "kb", "one")
    (document_id,) = await leases.due(engine)
    taken = await leases.take(engine, document_id)
    assert taken is not None
    await drop(engine, "kb")
    with pytest.raises(LostDocumentError):
        await revisions.stage(engine, taken, taken.lease, [], model="", done=1, total=1)
    assert set((await counts(engine)).values()) == {0}
