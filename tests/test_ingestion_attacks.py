"""Ingestion under attack: what fails again and again, what races with the night's erasing, a Redis that
is full or poisoned. Nothing of it may stop other documents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.engines.embedder import HttpEmbedder
from appliance.engines.pool import Pool
from appliance.jobs.celery import make_app
from appliance.jobs.enqueue import READ, send_documents
from appliance.knowledge import ingest
from appliance.knowledge.reading import ReadOptions
from appliance.knowledge.work import read_one
from appliance.ops.keeping.ports import free_port
from appliance.store import golden, leases, pruning
from appliance.store.documents import NewDocument, State, add_in, lock_base
from appliance.store.golden import KEPT_ANSWERS, GoldenAnswer, NewQuestion, Verdict
from tests.jobs_kit import Jobs, until
from tests.knowledge_servers import EmbedProcess
from tests.letters import Letters
from tests.redis_server import RedisProcess

pytestmark = pytest.mark.server

AGE = timedelta(days=7)


async def add(engine: AsyncEngine, name: str, original: str) -> int:
    given = NewDocument(name, original.encode())
    return (await ingest.add(engine, "kb", given)).document_id


async def run(engine: AsyncEngine, statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement))


async def values(engine: AsyncEngine, query: str) -> list[object]:
    async with engine.connect() as connection:
        return list((await connection.execute(text(query))).scalars())


async def work(engine: AsyncEngine, letters: Letters | None = None) -> None:
    for document_id in await leases.due(engine):
        await read_one(engine, letters or Letters(), ReadOptions(), document_id)


# --- what fails again and again -------------------------------------------------------------------


@asynccontextmanager
async def embedder_that_refuses(word: str, status: int) -> AsyncIterator[HttpEmbedder]:
    """A real server that answers texts with ``word`` in them with ``status``."""

    async def embeddings(request: web.Request) -> web.Response:
        texts = (await request.json())["input"]
        if any(word in text for text in texts):
            return web.Response(status=status)
        rows = await Letters().embed(texts)
        data = [{"index": at, "embedding": row} for at, row in enumerate(rows)]
        return web.json_response({"data": data, "model": "letters"})

    app = web.Application()
    app.router.add_post("/v1/embeddings", embeddings)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    async with aiohttp.ClientSession() as http:
        pool = Pool("embed", [f"http://127.0.0.1:{port}"], http)
        yield HttpEmbedder(pool, http, 5000)
    await runner.cleanup()


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_passage_that_the_embedder_refuses_is_no_outage(
    engine: AsyncEngine, status: int
) -> None:
    bad = await add(engine, "bad.md", "# T\n\nA paragraph with poison in it.")
    good = await add(engine, "good.md", "# T\n\nA paragraph.")
    async with embedder_that_refuses("poison", status) as embedder:
        for _ in range(5):
            for document_id in await leases.due(engine):
                await read_one(engine, embedder, ReadOptions(), document_id)
            await run(engine, "UPDATE documents SET next_at = now() WHERE next_at IS NOT NULL")
    assert bad < good
    states = [State.FAILED, State.READY]
    assert await values(engine, "SELECT state FROM documents ORDER BY id") == states
    (error,) = await values(engine, f"SELECT error FROM documents WHERE id = {bad}")
    assert "refuses a passage" in str(error) and "away" not in str(error)
    assert await leases.due(engine) == []  # given up, with a reason


async def test_a_busy_embedder_is_an_outage(engine: AsyncEngine) -> None:
    await add(engine, "busy.md", "# T\n\nA paragraph with poison in it.")
    async with embedder_that_refuses("poison", 429) as embedder:
        for _ in range(5):
            for document_id in await leases.due(engine):
                await read_one(engine, embedder, ReadOptions(), document_id)
            await run(engine, "UPDATE documents SET next_at = now() WHERE next_at IS NOT NULL")
    assert len(await leases.due(engine)) == 1


async def test_a_document_that_cannot_even_be_fetched_is_given_up(engine: AsyncEngine) -> None:
    """It stood at the head of the queue for ever, and the sweep names no more than are read at once."""
    lost = await add(engine, "lost.md", "# T\n\nA paragraph.")
    await add(engine, "other.md", "# T\n\nAnother paragraph.")
    await run(engine, f"DELETE FROM document_revisions WHERE document_id = {lost}")
    for _ in range(5):
        assert await leases.take(engine, lost) is None
        await run(engine, "UPDATE documents SET taken_at = taken_at - '61 s'::interval")
    assert lost not in await leases.due(engine)
    assert await values(engine, f"SELECT state FROM documents WHERE id = {lost}") == ["failed"]


# --- the night's erasing --------------------------------------------------------------------------


async def test_an_original_that_is_added_again_is_not_erased_under_it(engine: AsyncEngine) -> None:
    for count in (1, 2):
        await add(engine, "a.md", f"# T\n\nVersion {count}.")
        await work(engine)
        await ingest.publish(engine, "kb")
    await run(engine, "UPDATE knowledge_versions SET published_at = now() - '9 days'::interval")
    await run(engine, "UPDATE document_revisions SET created_at = now() - '9 days'::interval")
    async with engine.begin() as connection:
        base = await lock_base(connection, "kb")
        again = NewDocument("a.md", b"# T\n\nVersion 1.")
        await add_in(connection, base, again)
        erasing = asyncio.create_task(pruning.prune(engine, AGE))
        await asyncio.sleep(0.3)  # it has come to the original that we have in hand
    await erasing
    await work(engine)
    await ingest.publish(engine, "kb")
    assert await values(engine, "SELECT state FROM documents") == ["published"]
    standing = "SELECT text FROM passages WHERE until_version IS NULL"
    assert await values(engine, standing) == ["Version 1."]


async def test_what_is_stored_of_a_document_that_failed_does_not_stay_for_ever(
    engine: AsyncEngine,
) -> None:
    document_id = await add(
        engine, "long.md", "# T\n\n" + "\n\n".join(f"P {n}." for n in range(200))
    )
    await work(engine, Letters(down_after=200))
    await run(engine, "UPDATE documents SET next_at = NULL, taken_at = NULL")  # given up
    staged = "SELECT count(*) FROM passages WHERE since_version IS NULL"
    assert await values(engine, staged) > [0]
    await pruning.prune(engine, AGE)
    assert await values(engine, staged) > [0]  # somebody may try it again
    await run(engine, "UPDATE documents SET updated_at = now() - '9 days'::interval")
    await pruning.prune(engine, AGE)
    assert await values(engine, staged) == [0]
    await run(engine, f"UPDATE documents SET state = 'waiting' WHERE id = {document_id}")
    await work(engine)
    await ingest.publish(engine, "kb")
    assert await values(engine, "SELECT state FROM documents") == ["published"]


async def test_of_a_golden_question_the_latest_answers_are_kept(engine: AsyncEngine) -> None:
    await run(engine, "INSERT INTO agents (id, name) VALUES ('a', 'A')")
    await golden.add_questions(engine, [NewQuestion("a", "When are you open?")], "me")
    (question,) = await golden.list_questions(engine)
    begin = datetime(2026, 1, 1, tzinfo=UTC)

    async def answer(day: int, verdict: Verdict) -> None:
        said = GoldenAnswer(begin + timedelta(days=day), 1, 1, str(day), "llm", (), verdict, None)
        async with engine.begin() as connection:
            await golden.keep_golden_answer(connection, question.id, said)

    await answer(0, "same")
    for day in range(1, 2 * KEPT_ANSWERS):
        await answer(day, "failed")
    (question,) = await golden.list_questions(engine)
    assert (
        question.last is not None and question.last.answer == "0"
    )  # what the next is compared with
    assert await values(engine, "SELECT count(*) FROM golden_answers") == [KEPT_ANSWERS + 1]
    await answer(100, "same")
    assert await values(engine, "SELECT count(*) FROM golden_answers") == [KEPT_ANSWERS]


# --- Redis ----------------------------------------------------------------------------------------


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    process = RedisProcess(tmp_path / "var")
    process.start()
    yield process
    process.kill()


async def test_a_redis_that_is_full_is_a_line_in_the_log(redis: RedisProcess) -> None:
    with redis.client() as client:
        client.config_set("maxmemory", "1")
    app = make_app(redis.settings)
    try:
        assert await asyncio.to_thread(send_documents, app, list(range(20))) is False
    finally:
        app.close()


@pytest.fixture
def jobs(tmp_path: Path, database_url: str, embed_process: EmbedProcess) -> Iterator[Jobs]:
    kit = Jobs(tmp_path, database_url, embed_process.url)
    kit.redis.start()
    yield kit
    kit.stop()
    kit.redis.kill()


PICKLED = Path("/tmp/pwn")
"""What the pickle among them would make."""
POISON = (
    b"[]",
    b'{"body": "gASVKAAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjA10b3VjaCAvdG1wL3B3bpSFlFKULg==",'
    b' "content-type": "application/x-python-serialize", "content-encoding": "binary",'
    b' "headers": {"task": "ivr.read", "id": "1"}, "properties": {"delivery_info": {"exchange": "",'
    b' "routing_key": "jobs"}, "delivery_tag": "1", "body_encoding": "base64"}}',
)


async def test_a_poisoned_queue_stops_no_document(jobs: Jobs, engine: AsyncEngine) -> None:
    app = make_app(jobs.settings)
    app.send_task("ivr.nothing", (1,), retry=False)
    app.send_task(READ, ("1; DROP TABLE documents", {"a": 1}), retry=False)
    app.send_task(READ, ("x",), retry=False)
    app.send_task(READ, (2**80,), retry=False)
    app.send_task(READ, (-1,), retry=False)
    app.close()
    with jobs.redis.client() as client:
        queues = [key for key in client.keys("*") if client.type(key) == b"list"]
        assert queues
        for message in POISON:
            for queue in queues:
                client.rpush(queue, message)
    jobs.start()
    await add(engine, "a.md", "# T\n\nA paragraph.")

    async def published() -> bool:
        assert jobs.process is not None
        if jobs.process.poll() is not None:
            jobs.start()  # as ``ivr up`` does; a message is out of the queue before it is read
        return await values(engine, "SELECT state FROM documents") == ["published"]

    await until(published)
    assert "untrusted content of type pickle" in jobs.said()
    assert not PICKLED.exists()
