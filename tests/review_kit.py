"""A small helpline for tests of review: real Postgres, a real embedder, calls in the journal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zlib import crc32

import aiohttp
import orjson
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine
from tinyserver import Tiny, tiny

from appliance.engines.embedder import HttpEmbedder
from appliance.engines.pool import Pool
from appliance.events import Agent, CallRecord, Passage, ReplySource, Stages, Turn
from appliance.knowledge.ingest import load
from appliance.settings import Database, Engines, Settings
from appliance.store.agents import publish_agent
from appliance.store.rows import upsert
from tests.knowledge_servers import KEY

FAQ = """# Helpline

### What is the late fee?
The late fee is one hundred rupees if you pay after the tenth.

### When are you open?
We are open from nine in the morning to six in the evening, Monday to Saturday.

### How can I pay my bill?
You can pay by card, by UPI or in cash at our office in the market.

### How long does installation take?
A technician installs the router within two days of your order.
"""
LLM_PATH = "/v1/chat/completions"
Writer = Callable[[str], str]
"""What a language model writes to the last message of its prompt."""


def settings_of(folder: Path, database_url: str, embed_url: str, llm_url: str = "") -> Settings:
    """Settings of an appliance with these servers and no others."""
    engines: dict[str, object] = {"embed": {"urls": [embed_url]}, "key": KEY}
    if llm_url:
        engines["llm"] = {"urls": [llm_url], "model": "small"}
    return Settings(
        data_dir=folder,
        database=Database(url=database_url),
        engines=Engines.model_validate(engines),
    )


async def load_text(engine: AsyncEngine, folder: Path, embed_url: str, text: str) -> int:
    """Make ``text`` the next version of the knowledge base; returns its number."""
    file = folder / "faq.md"
    file.write_text(text)
    async with aiohttp.ClientSession() as http:
        pool = Pool("embed", (embed_url,), http, lambda url: KEY)
        await pool.check()
        return (await load(engine, HttpEmbedder(pool, http, 10_000), "helpline", [file])).version


async def helpline(
    engine: AsyncEngine, folder: Path, embed_url: str, text: str = FAQ, **fields: object
) -> Agent:
    """The agent ``asha``, published, with ``text`` for its knowledge."""
    await load_text(engine, folder, embed_url, text)
    agent = Agent("asha", 1, "Asha", knowledge="helpline", greeting="Hello.", **fields)  # type: ignore[arg-type]
    return await publish_agent(engine, agent)


@asynccontextmanager
async def language_model(write: Writer) -> AsyncIterator[Tiny]:
    """An OpenAI-shaped server that writes word by word what ``write`` says."""

    async def handler(request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        response = web.StreamResponse()
        await response.prepare(request)
        for word in write(body["messages"][-1]["content"]).split(" "):
            event = {"choices": [{"index": 0, "delta": {"content": word + " "}}]}
            await response.write(b"data: " + orjson.dumps(event) + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response

    async with tiny(LLM_PATH, handler) as server:
        yield server


def from_prompt(prompt: str) -> str:
    """An obedient model: says what the first passage of the prompt says."""
    for line in prompt.splitlines():
        if line.startswith("- "):
            return "Sure. " + line.partition(": ")[2]
    return "I am sorry, I do not have that information."


async def log_call(
    engine: AsyncEngine,
    agent: Agent,
    turns: Sequence[tuple[str, str]],
    *,
    call_id: str = "call-1",
    source: ReplySource = "extractive",
    passages: tuple[Passage, ...] = (),
    ended: timedelta = timedelta(minutes=5),
    recording: str = "",
) -> CallRecord:
    """A call that ended so long ago, with turns of (said, heard) 10 s apart."""
    end = datetime.now(UTC) - ended
    begin = end - timedelta(seconds=10 * len(turns) + 5)
    caller = f"+9198765{crc32(call_id.encode()) % 100_000:05}"  # another in each call
    call = CallRecord(
        call_id, "1001", caller, agent.id, agent.version, agent.language, begin, end,
        "NORMAL_CLEARING", "caller", len(turns), recording,
    )  # fmt: skip
    rows: list[CallRecord | Turn] = [call]
    for number, (said, heard) in enumerate(turns, 1):
        at = 10_000 * number
        stages = Stages(speech_start=at, speech_end=at + 2000, first_frame=at + 2600)
        rows.append(
            Turn(
                call_id,
                number,
                begin + timedelta(seconds=10 * number),
                said,
                heard,
                heard,
                source,
                stages,
                600,
                passages,
            )
        )
    async with engine.begin() as connection:
        await upsert(connection, rows)
    return call
