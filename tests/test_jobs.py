"""Documents read by a real ``ivr jobs``, with Redis and the workers killed in the middle.

One ``ivr jobs`` serves all tests, each with a knowledge base of its own: what a test kills is there
again when it ends.
"""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from review_kit import log_call
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.events import Agent
from appliance.jobs.celery import make_app
from appliance.jobs.enqueue import tell_workers
from appliance.jobs.periodic import schedule
from appliance.knowledge import ingest
from appliance.ops.postgres.server import EmbeddedPostgres
from appliance.settings import REDIS_SECRET
from appliance.store import documents
from appliance.store.agents import publish_agent
from appliance.store.database import open_engine
from appliance.store.documents import NewDocument
from appliance.store.passages import read, version_of
from tests.conftest import TEMPLATE, drop_database, make_database
from tests.jobs_kit import Jobs, until, value
from tests.knowledge_servers import EmbedProcess

pytestmark = pytest.mark.server

PARAGRAPHS = 320
"""Stored in five steps."""


def text_of(paragraphs: int) -> str:
    return "# Long\n\n" + "\n\n".join(
        f"Paragraph {n} of a long text says that the tariff number {n} costs {n * 7} rupees a month."
        for n in range(paragraphs)
    )


LONG = text_of(PARAGRAPHS)


@pytest.fixture(scope="module")
def database(postgres: EmbeddedPostgres) -> Iterator[str]:
    name = f"t{uuid.uuid4().hex[:12]}"
    make_database(postgres, name, TEMPLATE)
    yield postgres.url.rpartition("/")[0] + f"/{name}"
    drop_database(postgres, name)


@pytest.fixture(scope="module")
def jobs(
    tmp_path_factory: pytest.TempPathFactory, database: str, embed_process: EmbedProcess
) -> Iterator[Jobs]:
    kit = Jobs(tmp_path_factory.mktemp("jobs"), database, embed_process.url)
    kit.redis.start()
    kit.start()
    yield kit
    kit.stop()
    kit.redis.kill()


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    """On the database that all tests share."""
    engine = open_engine(database)
    yield engine
    await engine.dispose()


class Base:
    """A knowledge base of one test."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.name = f"kb-{uuid.uuid4().hex[:6]}"

    async def add(self, name: str, original: str) -> int:
        given = NewDocument(name, original.encode())
        return (await ingest.add(self.engine, self.name, given)).document_id

    async def told(self, jobs: Jobs, ids: Sequence[int]) -> bool:
        return await tell_workers(jobs.settings, ids)

    async def states(self) -> list[str]:
        found = await self.value("string_agg(d.state, ' ' ORDER BY d.id)")
        return str(found or "").split()

    async def value(self, what: str) -> object:
        """Of the base's documents."""
        return await value(
            self.engine,
            f"SELECT {what} FROM documents d JOIN knowledge_bases b ON b.id = d.knowledge_base_id"
            f" WHERE b.name = '{self.name}'",
        )

    async def in_the_middle(self) -> bool:
        """Whether a document has some of its passages stored."""
        return bool(await self.value("count(*) FILTER (WHERE state = 'embedding' AND done > 0)"))

    async def staged(self) -> int:
        """Passages that are in no version yet."""
        return int(
            await value(
                self.engine,
                "SELECT count(*) FROM passages p JOIN knowledge_bases b ON b.id ="
                f" p.knowledge_base_id WHERE b.name = '{self.name}' AND since_version IS NULL",
            )
        )

    async def in_force(self, text: str) -> bool:
        found = await read(self.engine, self.name, await self.version())
        return [passage.text for passage in found] == [text]

    async def published(self, count: int) -> bool:
        return await self.states() == ["published"] * count

    async def version(self) -> int:
        return await version_of(self.engine, self.name)

    async def passages(self) -> int:
        return (await self.published_now())[1]

    async def published_now(self) -> tuple[int, int]:
        """The version of new calls, and how many passages it holds."""
        while True:
            version = await self.version()
            count = len(await read(self.engine, self.name, version))
            if version == await self.version():  # none was published in between
                return version, count

    async def expire(self) -> None:
        """The minute that the leases of killed workers have left."""
        async with self.engine.begin() as connection:
            await connection.exec_driver_sql(
                "UPDATE documents SET taken_at = taken_at - '1 min'::interval"
            )


@pytest.fixture
def base(engine: AsyncEngine) -> Base:
    return Base(engine)


async def test_a_folder_is_read_and_published(jobs: Jobs, base: Base) -> None:
    ids = [await base.add(f"{n}.md", f"# D{n}\n\nText of document {n}.") for n in range(6)]
    assert await base.told(jobs, ids)
    await until(lambda: base.published(6))
    assert await base.passages() == 6
    assert jobs.settings.secret(REDIS_SECRET) not in jobs.said()
    assert "Traceback" not in jobs.said()


async def test_a_call_is_moderated_while_a_long_document_is_read(
    jobs: Jobs, base: Base, engine: AsyncEngine
) -> None:
    """With ``jobs.processes`` = 1; what the clock would send in a minute is sent now."""
    ids = [await base.add("endless.md", text_of(6000))]
    await base.told(jobs, ids)
    await until(base.in_the_middle)
    agent = await publish_agent(engine, Agent("asha", 1, "Asha"))
    call = await log_call(engine, agent, [("you are an idiot", "I see.")])
    entry = schedule(jobs.settings)["ivr.moderate"]
    app = make_app(jobs.settings)
    await asyncio.to_thread(app.send_task, entry["task"], **entry["options"])
    app.close()

    async def moderated() -> bool:
        query = "SELECT count(*) FROM calls WHERE moderated_at IS NOT NULL"
        return bool(await value(engine, query))

    await until(moderated, entry["schedule"])
    assert await base.in_the_middle() and await base.value("attempts") == 1
    assert await value(engine, f"SELECT count(*) FROM flags WHERE call_id = '{call.call_id}'")
    await base.add("short.md", "# S\n\nShort.")
    assert await documents.remove(engine, base.name, ["endless.md"]) == ["endless.md"]
    await until(lambda: base.in_force("Short."))


async def test_a_worker_killed_in_the_middle(jobs: Jobs, base: Base) -> None:
    await base.add("first.md", "# F\n\nFirst.")
    await until(lambda: base.published(1))  # by the sweep: nobody told the workers
    await base.told(jobs, [await base.add("long.md", LONG)])
    await until(base.in_the_middle)
    workers = jobs.children()
    jobs.kill()
    assert 0 < await base.staged() < PARAGRAPHS
    assert await base.version() == 1 and await base.passages() == 1
    for pid in workers:
        await until(lambda pid=pid: gone(pid))
    await base.expire()
    jobs.start()

    async def second() -> bool:
        found = await base.published_now()
        assert found in ((1, 1), (2, PARAGRAPHS + 1))  # never a part of it
        return found[0] == 2

    await until(second)
    assert await base.value("max(attempts)") == 2
    assert await base.staged() == 0


async def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def test_what_reads_documents_is_killed_in_the_middle(jobs: Jobs, base: Base) -> None:
    await base.told(jobs, [await base.add("long.md", LONG)])
    await until(base.in_the_middle)
    readers = set(jobs.children()) - set(jobs.own_children())
    assert readers
    for pid in readers:
        os.kill(pid, signal.SIGKILL)
    await base.expire()
    await until(lambda: base.published(1))
    assert await base.value("max(attempts)") == 2
    assert jobs.process is not None and jobs.process.poll() is None


async def test_a_part_that_dies_is_no_half_of_jobs_that_lives_on(jobs: Jobs) -> None:
    """`ivr up` starts it again: the clock, or what goes out, would be missed by nobody."""
    everyone, (_, part, *_) = jobs.children(), jobs.own_children()
    os.kill(part, signal.SIGKILL)
    assert jobs.process is not None
    assert await asyncio.to_thread(jobs.process.wait, 15) == 1
    for pid in everyone:
        await until(lambda pid=pid: gone(pid))
    assert "ended (-9); jobs stop" in jobs.said()
    jobs.start()


async def test_redis_killed_in_the_middle(jobs: Jobs, base: Base) -> None:
    ids = [await base.add(f"{n}.md", f"# D{n}\n\nText of document {n}.") for n in range(3)]
    ids.append(await base.add("long.md", LONG))
    await base.told(jobs, ids)

    async def begun() -> bool:
        return "waiting" not in (await base.states())[:1]

    await until(begun)
    await asyncio.to_thread(jobs.redis.kill)
    for file in (jobs.settings.data_dir / "redis").glob("*.aof"):
        file.unlink()  # nor does it remember anything
    late = await base.add("late.md", "# L\n\nAdded while Redis was away.")
    assert not await base.told(jobs, [late])
    await asyncio.sleep(1)
    await asyncio.to_thread(jobs.redis.start)
    await until(lambda: base.published(5), 60)
    assert await base.passages() == PARAGRAPHS + 4
    assert "Warning:" not in jobs.said(), "of Celery's next major version, to an operator"


async def test_told_to_stop(jobs: Jobs) -> None:
    await until(jobs.is_ready)
    everyone = jobs.children()
    assert jobs.stop() == 0
    for pid in everyone:
        await until(lambda pid=pid: gone(pid))
