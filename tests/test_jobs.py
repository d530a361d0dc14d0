"""Documents read by a real ``ivr jobs``, with Redis and the workers killed in the middle."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.jobs.enqueue import tell_workers
from appliance.knowledge import ingest
from appliance.settings import REDIS_SECRET
from appliance.store.documents import NewDocument
from appliance.store.passages import read, version_of
from tests.jobs_kit import Jobs, until, value
from tests.knowledge_servers import EmbedProcess

pytestmark = pytest.mark.server

LONG = "# Long\n\n" + "\n\n".join(
    f"Paragraph {n} of a long text says that the tariff number {n} costs {n * 7} rupees a month."
    for n in range(600)
)


@pytest.fixture
def jobs(tmp_path: Path, database_url: str, embed_process: EmbedProcess) -> Iterator[Jobs]:
    kit = Jobs(tmp_path, database_url, embed_process.url)
    kit.redis.start()
    kit.start()
    yield kit
    kit.stop()
    kit.redis.kill()


async def add(engine: AsyncEngine, name: str, original: str) -> int:
    given = NewDocument(name, original.encode())
    return (await ingest.add(engine, "kb", given)).document_id


async def counts(engine: AsyncEngine) -> dict[str, int]:
    async with engine.connect() as connection:
        rows = await connection.execute(
            text("SELECT state, count(*) FROM documents GROUP BY state")
        )
        return {row[0]: row[1] for row in rows}


async def test_a_folder_is_read_and_published(jobs: Jobs, engine: AsyncEngine) -> None:
    ids = [await add(engine, f"{n}.md", f"# D{n}\n\nText of document {n}.") for n in range(12)]
    assert await tell_workers(jobs.settings, ids)

    async def published() -> bool:
        return await counts(engine) == {"published": 12}

    await until(published)
    version = await version_of(engine, "kb")
    assert len(await read(engine, "kb", version)) == 12
    assert jobs.settings.secret(REDIS_SECRET) not in jobs.said()
    assert jobs.stop() == 0
    assert "Traceback" not in jobs.said()


async def test_a_worker_killed_in_the_middle(jobs: Jobs, engine: AsyncEngine) -> None:
    await add(engine, "first.md", "# F\n\nFirst.")

    async def first() -> bool:
        return await version_of(engine, "kb") == 1

    await until(first)  # by the sweep: nobody told the workers
    ids = [await add(engine, "long.md", LONG)]
    await tell_workers(jobs.settings, ids)
    query = "SELECT done FROM documents WHERE name = 'long.md' AND state = 'embedding'"

    async def in_the_middle() -> bool:
        return (await value(engine, query) or 0) > 0

    await until(in_the_middle)
    workers = jobs.children()
    jobs.kill()
    stored = await value(engine, "SELECT count(*) FROM passages WHERE since_version IS NULL")
    assert 0 < stored < 600
    assert await version_of(engine, "kb") == 1 and len(await read(engine, "kb", 1)) == 1
    for pid in workers:
        await until(lambda pid=pid: gone(pid))
    async with engine.begin() as connection:  # the minute that its lease has left
        await connection.execute(
            text("UPDATE documents SET taken_at = taken_at - '1 min'::interval")
        )
    jobs.start()

    async def second() -> bool:
        found = await read(engine, "kb", version := await version_of(engine, "kb"))
        assert (version, len(found)) in ((1, 1), (2, 601))  # never a part of it
        return version == 2

    await until(second)
    assert await value(engine, "SELECT attempts FROM documents WHERE name = 'long.md'") == 2
    assert await value(engine, "SELECT min(id) FROM passages WHERE since_version = 2")
    assert await value(engine, "SELECT count(*) FROM passages WHERE since_version IS NULL") == 0


async def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def test_a_child_killed_in_the_middle(jobs: Jobs, engine: AsyncEngine) -> None:
    await tell_workers(jobs.settings, [await add(engine, "long.md", LONG)])

    async def in_the_middle() -> bool:
        return (
            await value(engine, "SELECT done FROM documents WHERE state = 'embedding'") or 0
        ) > 0

    await until(in_the_middle)
    for pid in jobs.children():
        if b"jobs" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE documents SET taken_at = taken_at - '1 min'::interval")
        )

    async def published() -> bool:
        return await counts(engine) == {"published": 1}

    await until(published)
    assert await value(engine, "SELECT attempts FROM documents") == 2
    assert jobs.process is not None and jobs.process.poll() is None


async def test_redis_killed_in_the_middle(jobs: Jobs, engine: AsyncEngine) -> None:
    ids = [await add(engine, f"{n}.md", f"# D{n}\n\nText of document {n}.") for n in range(5)]
    ids.append(await add(engine, "long.md", LONG))
    await tell_workers(jobs.settings, ids)

    async def begun() -> bool:
        return (await value(engine, "SELECT count(*) FROM documents WHERE state <> 'waiting'")) > 0

    await until(begun)
    await asyncio.to_thread(jobs.redis.kill)
    for file in (jobs.settings.data_dir / "redis").glob("*.aof"):
        file.unlink()  # nor does it remember anything
    late = await add(engine, "late.md", "# L\n\nAdded while Redis was away.")
    assert not await tell_workers(jobs.settings, [late])
    await asyncio.sleep(1)
    await asyncio.to_thread(jobs.redis.start)

    async def published() -> bool:
        return await counts(engine) == {"published": 7}

    await until(published, 60)
    assert len(await read(engine, "kb", await version_of(engine, "kb"))) == 606
